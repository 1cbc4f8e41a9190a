//! Signed URLs, for clients that then talk to the engine themselves.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hakata_runtime::secret::Secret;
use http::Method;

use super::metrics::Operation;
use super::request::Ask;
use super::settings::MAX_PUT_BYTES;
use super::uploads::CHECKSUM;
use super::{Presign, S3, failed};
use crate::blobs::{BlobError, Presigned};
use crate::key::BlobKey;

/// The longest that a signature may be good for. Source: Signature Version 4.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

impl S3 {
    /// Makes a URL that reads a blob; `None` if none are to be handed out.
    pub(crate) async fn presign_get(
        &self,
        key: BlobKey,
        ttl: Duration,
    ) -> Result<Option<Presigned>, BlobError> {
        if self.settings().presign == Presign::Off {
            return Ok(None);
        }
        let object = self.object(key);
        let ask = Ask::new(Operation::Get, Method::GET, &object);
        let url =
            self.0.client.presign(&ask, ttl.min(LONGEST)).await.map_err(failed("signing a URL of", key))?;
        Ok(Some(Presigned { url: Secret::new(url.into()), headers: Vec::new() }))
    }

    /// Makes a URL that writes exactly these bytes in one request; `None` if none are to be handed out, if there are
    /// too many for one request, or if the engine would take others.
    pub(crate) async fn presign_put(
        &self,
        key: BlobKey,
        size_bytes: u64,
        sha256: &[u8; 32],
        ttl: Duration,
    ) -> Result<Option<Presigned>, BlobError> {
        use std::sync::atomic::Ordering;
        let is_safe = self.0.checks_sums.load(Ordering::Relaxed);
        if self.settings().presign != Presign::GetAndPut || !is_safe || size_bytes > MAX_PUT_BYTES {
            return Ok(None);
        }
        let object = self.object(key);
        let ask = Ask::new(Operation::Put, Method::PUT, &object)
            .header("content-length", size_bytes.to_string())
            .header(CHECKSUM, STANDARD.encode(sha256));
        let url =
            self.0.client.presign(&ask, ttl.min(LONGEST)).await.map_err(failed("signing a URL of", key))?;
        let headers = ask.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Ok(Some(Presigned { url: Secret::new(url.into()), headers: headers.collect() }))
    }
}
