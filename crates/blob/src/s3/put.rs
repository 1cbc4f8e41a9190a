//! Writing a blob from a stream, with a bounded number of its parts in memory.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Method;
use tokio::io::AsyncRead;

use super::error::S3Error;
use super::metrics::Operation;
use super::parts::Part;
use super::request::{Answer, Ask};
use super::uploads::CHECKSUM;
use super::{MAX_PARTS, S3, failed};
use crate::blobs::{BlobError, BlobStat};
use crate::key::BlobKey;
use crate::upload::{UploadId, UploadedPart};

/// An upload that is taken back unless it comes to its end.
struct Begun<'a> {
    s3: &'a S3,
    object: &'a str,
    id: UploadId,
    n_on_their_way: usize,
    is_over: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.s3.abort_later(self.object.to_owned(), self.id.clone(), self.n_on_their_way);
        }
    }
}

impl S3 {
    pub(crate) async fn put(
        &self,
        key: BlobKey,
        mut source: impl AsyncRead + Unpin,
    ) -> Result<BlobStat, BlobError> {
        let object = self.object(key);
        let first = self.next_part(key, &mut source).await.map_err(source_failed(key))?;
        if first.is_last {
            let stat = BlobStat { size_bytes: first.bytes.len() as u64 };
            self.put_whole(&object, first.bytes, first.sha256).await.map_err(failed("writing", key))?;
            return Ok(stat);
        }
        let id = self.begin(&object).await.map_err(failed("beginning", key))?;
        let mut begun = Begun { s3: self, object: &object, id, n_on_their_way: 0, is_over: false };
        let mut parts = self.put_parts(key, &mut begun, first, source).await?;
        parts.sort_by_key(|part| part.number);
        let stat = self.complete(&object, &begun.id, &parts).await.map_err(failed("completing", key))?;
        begun.is_over = true;
        Ok(stat)
    }

    pub(super) async fn put_whole(&self, object: &str, bytes: Bytes, sha256: String) -> Result<(), S3Error> {
        let ask = Ask::new(Operation::Put, Method::PUT, object).header(CHECKSUM, sha256).body(bytes);
        let answer = self.0.client.ask(&ask).await?;
        self.read_end(answer).await
    }

    /// Reads the end of an answer without a body, which gives the connection back.
    pub(super) async fn read_end(&self, answer: Answer) -> Result<(), S3Error> {
        let within = self.settings().timeout;
        let read = tokio::time::timeout(within, answer.body.read(0)).await;
        read.map_err(|_| S3Error::TimedOut(within))?.map(drop).map_err(S3Error::Broken)
    }

    /// Sends parts while others are read; one that is being filled counts as one in memory.
    async fn put_parts(
        &self,
        key: BlobKey,
        begun: &mut Begun<'_>,
        first: Part,
        mut source: impl AsyncRead + Unpin,
    ) -> Result<Vec<UploadedPart>, BlobError> {
        let failed = failed("writing a part of", key);
        let (object, id) = (begun.object, begun.id.clone());
        let mut sending = FuturesUnordered::new();
        let mut sent = Vec::new();
        let mut next = first;
        let mut number = 0;
        loop {
            let is_last = next.is_last;
            // A source that ends with a whole part ends with an empty one too.
            if !next.bytes.is_empty() {
                number += 1;
                if number > MAX_PARTS {
                    return Err(BlobError::Io { act: "writing", key, source: too_large(self) });
                }
                sending.push(self.send_and_free(object, &id, number, next));
                begun.n_on_their_way = sending.len();
            }
            if is_last {
                break;
            }
            while sending.len() >= self.settings().parts {
                if let Some(part) = sending.next().await {
                    sent.push(part.map_err(&failed)?);
                }
            }
            let mut reading = std::pin::pin!(self.next_part(key, &mut source));
            next = loop {
                tokio::select! {
                    Some(part) = sending.next(), if !sending.is_empty() => sent.push(part.map_err(&failed)?),
                    part = &mut reading => break part.map_err(source_failed(key))?,
                }
                begun.n_on_their_way = sending.len();
            };
        }
        while let Some(part) = sending.next().await {
            sent.push(part.map_err(&failed)?);
            begun.n_on_their_way = sending.len();
        }
        Ok(sent)
    }

    async fn send_and_free(
        &self,
        object: &str,
        id: &UploadId,
        number: u16,
        part: Part,
    ) -> Result<UploadedPart, S3Error> {
        let Part { bytes, sha256, room, .. } = part;
        let sent = self.send_part(object, id, number, bytes, sha256).await;
        drop(room);
        sent
    }

    async fn next_part(&self, key: BlobKey, source: &mut (impl AsyncRead + Unpin)) -> io::Result<Part> {
        Part::read(source, self.settings().part_bytes(), self.0.rooms.of(key.family())).await
    }
}

fn source_failed(key: BlobKey) -> impl Fn(io::Error) -> BlobError {
    move |source| BlobError::Io { act: "reading what shall be", key, source }
}

fn too_large(s3: &S3) -> io::Error {
    let most = u64::from(MAX_PARTS).saturating_mul(s3.settings().part.bytes());
    let text = format!("it is larger than {MAX_PARTS} parts, {most} bytes: storage.s3.part_size");
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}
