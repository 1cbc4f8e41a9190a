//! Uploads in parts: begun, continued, listed, completed, taken back; by one process or by several after each other.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::error::S3Error;
use super::metrics::{ABORTED, Operation, SWEPT};
use super::parts::sha256;
use super::request::Ask;
use super::{S3, failed, xml};
use crate::blobs::{BlobError, BlobStat};
use crate::key::{BlobKey, Family};
use crate::upload::{UploadId, UploadedPart};

/// How often an upload is taken back again whose last parts were still on their way.
const ABORTS: u32 = 4;

/// Pause between two of them.
const ABORT_PAUSE: Duration = Duration::from_secs(1);

/// The most pages of uploads that one sweep reads.
const MAX_PAGES: usize = 100;

/// The header of a checksum.
pub(super) const CHECKSUM: &str = "x-amz-checksum-sha256";

impl S3 {
    pub(crate) async fn begin_upload(&self, key: BlobKey) -> Result<UploadId, BlobError> {
        self.begin(&self.object(key)).await.map_err(failed("beginning", key))
    }

    pub(crate) async fn put_part(
        &self,
        key: BlobKey,
        id: &UploadId,
        number: u16,
        bytes: Bytes,
    ) -> Result<UploadedPart, BlobError> {
        let sum = sha256(&bytes);
        self.send_part(&self.object(key), id, number, bytes, sum)
            .await
            .map_err(failed("writing a part of", key))
    }

    /// Lists what came; `None` if there is no such upload.
    pub(crate) async fn list_parts(
        &self,
        key: BlobKey,
        id: &UploadId,
    ) -> Result<Option<Vec<UploadedPart>>, BlobError> {
        self.parts_of(&self.object(key), id).await.map_err(failed("listing the parts of", key))
    }

    pub(crate) async fn complete_upload(
        &self,
        key: BlobKey,
        id: &UploadId,
        parts: &[UploadedPart],
    ) -> Result<BlobStat, BlobError> {
        self.complete(&self.object(key), id, parts).await.map_err(failed("completing", key))
    }

    pub(crate) async fn abort_upload(&self, key: BlobKey, id: &UploadId) -> Result<(), BlobError> {
        self.abort(&self.object(key), id).await.map(drop).map_err(failed("taking back", key))
    }

    pub(super) async fn begin(&self, object: &str) -> Result<UploadId, S3Error> {
        let ask = Ask::new(Operation::CreateUpload, Method::POST, object)
            .query("uploads", "")
            // Without it Amazon refuses checksums of parts.
            .header("x-amz-checksum-algorithm", "SHA256");
        let text = self.0.client.ask_xml(&ask).await?;
        let id = xml::element(&text, "UploadId").filter(|id| !id.is_empty());
        id.map(UploadId::new).ok_or(S3Error::Odd("no upload id"))
    }

    pub(super) async fn send_part(
        &self,
        object: &str,
        id: &UploadId,
        number: u16,
        bytes: Bytes,
        sha256: String,
    ) -> Result<UploadedPart, S3Error> {
        let size_bytes = bytes.len() as u64;
        let ask = Ask::new(Operation::PutPart, Method::PUT, object)
            .query("partNumber", number.to_string())
            .query("uploadId", id.as_str())
            .header(CHECKSUM, sha256.clone())
            .body(bytes);
        let answer = self.0.client.ask(&ask).await?;
        let tag = answer.headers.get(http::header::ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.unwrap_or_default().to_owned();
        // The answer has no body; reading its end gives the connection back.
        self.read_end(answer).await?;
        Ok(UploadedPart { number, size_bytes, tag, sha256: Some(sha256) })
    }

    /// Puts the parts together. An engine may take minutes for many gigabytes, and sends blanks meanwhile.
    pub(super) async fn complete(
        &self,
        object: &str,
        id: &UploadId,
        parts: &[UploadedPart],
    ) -> Result<BlobStat, S3Error> {
        let listed = parts.iter().map(|part| (part.number, part.tag.as_str(), part.sha256.as_deref()));
        let body = Bytes::from(xml::complete(listed));
        let size_bytes = parts.iter().map(|part| part.size_bytes).sum();
        let within = self.settings().complete_timeout;
        let completed = timeout(within, self.complete_within(object, id, body, size_bytes)).await;
        completed.map_err(|_| S3Error::TimedOut(within))??;
        Ok(BlobStat { size_bytes })
    }

    async fn complete_within(
        &self,
        object: &str,
        id: &UploadId,
        body: Bytes,
        size_bytes: u64,
    ) -> Result<(), S3Error> {
        let ask = Ask::new(Operation::CompleteUpload, Method::POST, object)
            .query("uploadId", id.as_str())
            .body(body);
        let mut pause = Duration::from_millis(200);
        loop {
            let error = match self.0.client.ask_xml_patiently(&ask).await {
                // An engine may begin to say yes before it knows.
                Ok(text) => match xml::refusal(&text) {
                    None => return Ok(()),
                    Some(refusal) => {
                        S3Error::refused(http::StatusCode::OK, Some(refusal), &http::HeaderMap::new())
                    }
                },
                Err(error) => error,
            };
            // Perhaps an earlier answer was lost, and the engine knows no such upload any more, in its own words.
            let is_unknown = error.is_absent() || error.status() == Some(403);
            if is_unknown && self.size_of(object).await?.is_some_and(|at| at.size_bytes == size_bytes) {
                return Ok(());
            }
            if error.status() != Some(200) || !error.is_transient() {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Takes an upload back; false if there was none.
    pub(super) async fn abort(&self, object: &str, id: &UploadId) -> Result<bool, S3Error> {
        let ask = Ask::new(Operation::AbortUpload, Method::DELETE, object).query("uploadId", id.as_str());
        match self.0.client.ask(&ask).await {
            Ok(_) => {
                ABORTED.inc();
                Ok(true)
            }
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes an upload back in a task; a part that was on its way may arrive later than the first word of it.
    pub(super) fn abort_later(&self, object: String, id: UploadId, n_on_their_way: usize) {
        let s3 = self.clone();
        let aborting = async move {
            for n in 0..ABORTS {
                match s3.abort(&object, &id).await {
                    Ok(true) if n_on_their_way > 0 => tokio::time::sleep(ABORT_PAUSE).await,
                    Ok(_) => return,
                    // An engine that forgot the upload may say so in other words.
                    Err(_) if n > 0 => return,
                    Err(error) => {
                        tracing::warn!(%error, %object, "an upload is left to the sweeper");
                        return;
                    }
                }
            }
        };
        drop(self.0.tasks.spawn("blob.abort_upload", aborting));
    }

    async fn parts_of(&self, object: &str, id: &UploadId) -> Result<Option<Vec<UploadedPart>>, S3Error> {
        let (mut found, mut marker) = (Vec::new(), None::<String>);
        loop {
            let mut ask = Ask::new(Operation::ListParts, Method::GET, object);
            if let Some(marker) = &marker {
                ask = ask.query("part-number-marker", marker.clone());
            }
            let ask = ask.query("uploadId", id.as_str());
            let text = match self.0.client.ask_xml(&ask).await {
                Ok(text) => text,
                Err(error) if error.is_absent() => return Ok(None),
                Err(error) => return Err(error),
            };
            let page = xml::parts(&text).ok_or(S3Error::Odd("no list of parts"))?;
            found.extend(page.parts.into_iter().map(|part| UploadedPart {
                number: part.number,
                size_bytes: part.size_bytes,
                tag: part.tag,
                sha256: part.sha256,
            }));
            match page.next {
                // A marker that stands still would be an endless list.
                Some(next) if marker.as_ref() != Some(&next) => marker = Some(next),
                _ => break,
            }
        }
        found.sort_by_key(|part: &UploadedPart| part.number);
        Ok(Some(found))
    }

    /// Takes back uploads of such blobs that were begun longer ago than `age`: their writers died. An engine that cannot
    /// list uploads needs a rule of its own for this.
    pub(crate) async fn sweep_uploads(&self, of: Family, age: Duration) -> Result<usize, S3Error> {
        use std::sync::atomic::Ordering;
        if self.0.cannot_list.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let prefix = self.within(&format!("{}/", of.name()));
        let (mut n, mut marker, since) = (0, None::<(String, String)>, Instant::now());
        for _ in 0..MAX_PAGES {
            let page = match self.uploads_page(&prefix, marker.as_ref()).await {
                Ok(page) => page,
                Err(error) if matches!(error.status(), Some(405 | 501)) => {
                    self.0.cannot_list.store(true, Ordering::Relaxed);
                    tracing::info!(
                        "the bucket's engine does not list uploads: it must end abandoned ones itself"
                    );
                    return Ok(n);
                }
                Err(error) => return Err(error),
            };
            for (object, id, begun) in page.uploads {
                let begun = begun.parse::<Timestamp>().ok();
                let is_old = begun.is_some_and(|begun| is_older(begun, age));
                if is_old && object.starts_with(&prefix) && self.abort(&object, &UploadId::new(id)).await? {
                    SWEPT.inc();
                    n += 1;
                }
            }
            marker = page.next;
            if marker.is_none() {
                break;
            }
        }
        tracing::debug!(n, took_ms = since.elapsed().as_millis(), "swept uploads");
        Ok(n)
    }

    async fn uploads_page(
        &self,
        prefix: &str,
        marker: Option<&(String, String)>,
    ) -> Result<xml::UploadsPage, S3Error> {
        let mut ask = Ask { object: None, ..Ask::new(Operation::ListUploads, Method::GET, "") };
        if let Some((key, _)) = marker {
            ask = ask.query("key-marker", key.clone());
        }
        ask = ask.query("prefix", prefix);
        if let Some((_, id)) = marker {
            ask = ask.query("upload-id-marker", id.clone());
        }
        let text = self.0.client.ask_xml(&ask.query("uploads", "")).await?;
        xml::uploads(&text).ok_or(S3Error::Odd("no list of uploads"))
    }
}

fn is_older(begun: Timestamp, age: Duration) -> bool {
    let lasted = Timestamp::now().duration_since(begun);
    !lasted.is_negative() && lasted.unsigned_abs() > age
}
