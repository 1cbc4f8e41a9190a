//! Reading objects.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use hakata_blob::{BlobError, BlobKey, BlobReader};
use hakata_names::{LfsObjectId, LfsOid};
use hakata_store::lfs_objects;
use tokio::io::{AsyncRead, ReadBuf};

use super::Operation;
use super::measure::{SENT, TRANSFERS, TransferOutcome};
use super::present::{Asked, look_up};
use crate::access::{Act, Grant, Read};
use crate::{Error, Forge, Kind};

/// An object that a repository has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    id: LfsObjectId,
    /// Its length in bytes.
    pub size_bytes: u64,
}

/// The bytes of an object, or a range of them, as a stream.
#[derive(Debug)]
pub struct Content {
    reader: BlobReader,
    size_bytes: u64,
    left_bytes: u64,
}

/// Finds an object of a repository.
///
/// # Errors
/// [`Kind::NotFound`] if the repository does not have it, whoever else does, or not any more ([`Error::is_removed`]).
pub async fn find(forge: &Forge, grant: &Grant<Read>, oid: &LfsOid) -> Result<Stored, Error> {
    found(forge, grant, oid).await?.ok_or_else(absent)
}

/// Reads an object, or a range of its bytes.
///
/// # Errors
/// When the bytes cannot be read. They are promised, so their absence is damage: it is logged as such, and the next who has
/// the object is asked to send it.
pub async fn read(
    forge: &Forge,
    _grant: &Grant<Read>,
    stored: Stored,
    range: Option<Range<u64>>,
) -> Result<Content, Error> {
    let size_bytes = range.as_ref().map_or(stored.size_bytes, |range| range.end.saturating_sub(range.start));
    let opened = forge.repositories().blobs().get(BlobKey::lfs(stored.id), range).await;
    match opened {
        Ok(reader) => Ok(Content { reader, size_bytes, left_bytes: size_bytes }),
        Err(error) => {
            TRANSFERS.get((Operation::Download, TransferOutcome::Failed)).inc();
            let BlobError::Absent(_) = error else { return Err(failed(error)) };
            tracing::error!(lfs.object = stored.id.get(), %error, "an LFS object is to be sent again");
            let now = forge.clock().now_ms();
            lfs_objects::note_bad(&mut forge.db().write().await?, stored.id, now).await?;
            Err(absent())
        }
    }
}

/// Says whether an upload came to its end: the repository has an object of that name and length.
///
/// # Errors
/// [`Kind::NotFound`] if it has none, [`Kind::Invalid`] if it has another length.
pub async fn verify<A: Act>(
    forge: &Forge,
    grant: &Grant<A>,
    oid: &LfsOid,
    size_bytes: u64,
) -> Result<(), Error> {
    let stored = found(forge, grant, oid).await?.ok_or_else(absent)?;
    if stored.size_bytes != size_bytes {
        let words = format!("the object has {} bytes, not {size_bytes}", stored.size_bytes);
        return Err(Error::new(Kind::Invalid, words));
    }
    Ok(())
}

/// Finds an object of a repository; `None`: it does not have it, or its bytes are bad.
pub(super) async fn found<A: Act>(
    forge: &Forge,
    grant: &Grant<A>,
    oid: &LfsOid,
) -> Result<Option<Stored>, Error> {
    let found = look_up(forge, grant.repository(), &[*oid], Asked::ToFetch).await?;
    if found.removed.contains(oid) {
        return Err(Error::removed());
    }
    let at = found.linked.get(oid).filter(|at| !at.is_bad);
    Ok(at.map(|at| Stored { id: at.id, size_bytes: u64::try_from(at.size_bytes).unwrap_or(0) }))
}

fn absent() -> Error {
    Error::new(Kind::NotFound, "the object does not exist")
}

pub(super) fn failed(error: BlobError) -> Error {
    match error {
        BlobError::Stopped { .. } => {
            Error::new(Kind::Unavailable, "the server is busy or stopping").with_source(error)
        }
        error => Error::internal(error),
    }
}

impl AsyncRead for Content {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.reader).poll_read(cx, buf);
        let n = (buf.filled().len() - before) as u64;
        if n > 0 {
            self.left_bytes = self.left_bytes.saturating_sub(n);
        }
        polled
    }
}

/// Whoever takes the bytes may leave before their end.
impl Drop for Content {
    fn drop(&mut self) {
        SENT.add(self.size_bytes - self.left_bytes);
        let outcome = if self.left_bytes == 0 { TransferOutcome::Done } else { TransferOutcome::Broken };
        TRANSFERS.get((Operation::Download, outcome)).inc();
    }
}
