//! Blobs in a bucket of Amazon S3, or of any engine that speaks its protocol.
//!
//! ```text
//! <prefix>/packs/<2 hex>/<14 hex>.<part>    complete; the engine shows nothing before that
//! <prefix>/probe/<16 hex>                   written, read and deleted when a process starts (probe.rs)
//! ```
//! What is larger than a part goes as an upload in parts: at most so many of them are in memory at one time, each with
//! its SHA-256, which the engine checks. Nothing is copied when the last byte has come. An upload that is given up, or
//! whose future is dropped, is taken back by a task.

mod credentials;
mod error;
mod http;
mod metrics;
mod parts;
mod presign;
mod probe;
mod put;
mod read;
mod request;
mod settings;
mod uploads;
mod xml;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::http::{Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hakata_runtime::tasks::Tasks;
use tokio::sync::Semaphore;

use crate::blobs::{BlobError, BlobStat, Deleted, OpenBlobsError};
use crate::key::BlobKey;
use metrics::Operation;
use parts::Rooms;
use request::{Ask, Client};
use uploads::CHECKSUM;

pub use error::S3Error;
pub(crate) use metrics::metrics;
pub use probe::UnusableBucket;
pub(crate) use read::S3Reader;
pub use settings::{CredentialSource, MAX_PARTS, MIN_PART, Presign, S3Settings, UrlStyle};

/// A bucket of blobs; cheap to clone.
#[derive(Clone)]
pub struct S3(Arc<Inner>);

struct Inner {
    client: Client,
    tasks: Tasks,
    /// Parts that may still be made, over all writes.
    rooms: Rooms,
    /// Whether the engine was seen to refuse a wrong checksum, and to tell that of what it has.
    checks_sums: AtomicBool,
    /// Whether the engine was seen not to list uploads.
    cannot_list: AtomicBool,
}

impl S3 {
    /// Opens a bucket, and sees whether it can be written, read and deleted from.
    pub(crate) async fn open(settings: S3Settings, tasks: Tasks) -> Result<Self, OpenBlobsError> {
        let name = settings.bucket.clone();
        let unusable = |source| OpenBlobsError::Bucket { bucket: name.clone(), source };
        let memory = settings.upload_memory.bytes() / settings.part.bytes().max(1);
        let n_parts = usize::try_from(memory).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let client = Client::new(settings, tasks.clone());
        let client = client.map_err(|error| unusable(UnusableBucket::Settings(error)))?;
        let s3 = Self(Arc::new(Inner {
            client,
            tasks,
            rooms: Rooms::new(n_parts),
            checks_sums: AtomicBool::new(false),
            cannot_list: AtomicBool::new(false),
        }));
        let checks_sums = s3.probe().await.map_err(unusable)?;
        s3.0.checks_sums.store(checks_sums, Ordering::Relaxed);
        Ok(s3)
    }

    /// Writes files one after another: each is as large as an upload may be.
    pub(crate) async fn put_files(&self, files: Vec<(BlobKey, PathBuf)>) -> Result<Vec<BlobStat>, BlobError> {
        let mut stats = Vec::with_capacity(files.len());
        for (key, path) in files {
            let file = tokio::fs::File::open(path).await;
            let file = file.map_err(|source| BlobError::Io { act: "reading what shall be", key, source })?;
            stats.push(self.put(key, file).await?);
        }
        Ok(stats)
    }

    /// Tells what may be handed out as URLs: no writing where the engine does not vouch for what it takes.
    pub(crate) fn hands_out(&self) -> Presign {
        match self.settings().presign {
            Presign::GetAndPut if !self.0.checks_sums.load(Ordering::Relaxed) => Presign::Get,
            presign => presign,
        }
    }

    pub(crate) fn part_bytes(&self) -> u64 {
        self.settings().part.bytes()
    }

    pub(crate) async fn stat(&self, key: BlobKey) -> Result<Option<BlobStat>, BlobError> {
        self.size_of(&self.object(key)).await.map_err(failed("looking up", key))
    }

    pub(crate) async fn delete(&self, key: BlobKey) -> Result<Deleted, BlobError> {
        let object = self.object(key);
        // An engine answers the same whether there was something to delete or not.
        if self.size_of(&object).await.map_err(failed("deleting", key))?.is_none() {
            return Ok(Deleted::Absent);
        }
        match self.0.client.ask(&Ask::new(Operation::Delete, Method::DELETE, &object)).await {
            Ok(_) => Ok(Deleted::Yes),
            Err(error) if error.is_absent() => Ok(Deleted::Absent),
            Err(error) => Err(failed("deleting", key)(error)),
        }
    }

    async fn size_of(&self, object: &str) -> Result<Option<BlobStat>, S3Error> {
        let head = self.head(&Ask::new(Operation::Head, Method::HEAD, object)).await?;
        Ok(head.map(|(stat, _)| stat))
    }

    /// Looks an object up together with its SHA-256, if the engine tells one.
    pub(crate) async fn stat_with_sum(
        &self,
        key: BlobKey,
    ) -> Result<Option<(BlobStat, Option<[u8; 32]>)>, BlobError> {
        self.sum_of(&self.object(key)).await.map_err(failed("looking up", key))
    }

    async fn sum_of(&self, object: &str) -> Result<Option<(BlobStat, Option<[u8; 32]>)>, S3Error> {
        let ask = Ask::new(Operation::Head, Method::HEAD, object).header("x-amz-checksum-mode", "ENABLED");
        let found = self.head(&ask).await?;
        // That of an object in parts is one of its parts' checksums, `BASE64-N`.
        let sum = |headers: &::http::HeaderMap| STANDARD.decode(headers.get(CHECKSUM)?).ok()?.try_into().ok();
        Ok(found.map(|(stat, headers)| (stat, sum(&headers))))
    }

    async fn head(&self, ask: &Ask<'_>) -> Result<Option<(BlobStat, ::http::HeaderMap)>, S3Error> {
        match self.0.client.ask(ask).await {
            Ok(answer) => {
                let length = answer.headers.get(header::CONTENT_LENGTH);
                let size_bytes = length.and_then(|length| length.to_str().ok()?.parse().ok());
                let size_bytes = size_bytes.ok_or(S3Error::Odd("no length"))?;
                Ok(Some((BlobStat { size_bytes }, answer.headers)))
            }
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names a blob in the bucket.
    fn object(&self, key: BlobKey) -> String {
        self.within(&key.to_string())
    }

    fn within(&self, name: &str) -> String {
        match self.0.client.settings.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    fn settings(&self) -> &S3Settings {
        &self.0.client.settings
    }
}

/// Says what was done with which blob.
fn failed(act: &'static str, key: BlobKey) -> impl Fn(S3Error) -> BlobError {
    move |error| BlobError::Io { act, key, source: error.into_io() }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("client", &self.0.client).finish_non_exhaustive()
    }
}
