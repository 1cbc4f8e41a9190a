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

/// What is good for less is not handed out: credentials are about to end, and their renewal is under way.
const SHORTEST: Duration = Duration::from_secs(60);

impl S3 {
    /// Makes a URL that reads a blob; `None` if none are to be handed out.
    pub(crate) async fn presign_get(
        &self,
        key: BlobKey,
        ttl: Duration,
    ) -> Result<Option<Presigned>, BlobError> {
        if self.hands_out() == Presign::Off {
            return Ok(None);
        }
        let object = self.object(key);
        // What the answer says of itself, whoever shows the URL to a browser.
        let ask = Ask::new(Operation::Get, Method::GET, &object)
            .query("response-cache-control", "private, max-age=31536000, immutable")
            .query("response-content-disposition", "attachment")
            .query("response-content-type", "application/octet-stream");
        self.presign(key, &ask, ttl).await
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
        if self.hands_out() != Presign::GetAndPut || size_bytes > MAX_PUT_BYTES {
            return Ok(None);
        }
        let object = self.object(key);
        let ask = Ask::new(Operation::Put, Method::PUT, &object)
            .header("content-length", size_bytes.to_string())
            .header(CHECKSUM, STANDARD.encode(sha256));
        self.presign(key, &ask, ttl).await
    }

    async fn presign(
        &self,
        key: BlobKey,
        ask: &Ask<'_>,
        ttl: Duration,
    ) -> Result<Option<Presigned>, BlobError> {
        let signed = self.0.client.presign(ask, ttl.min(LONGEST)).await;
        let (url, expires_in) = signed.map_err(failed("signing a URL of", key))?;
        if expires_in < ttl.min(SHORTEST) {
            return Ok(None);
        }
        let headers = ask.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Ok(Some(Presigned { url: Secret::new(url.into()), headers: headers.collect(), expires_in }))
    }
}
