//! The store of blobs, whichever engine keeps the bytes.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hakata_runtime::blocking::{Blocking, BlockingError};
use hakata_runtime::metrics::{Counter, Metric};
use tokio::io::{AsyncRead, ReadBuf};

use crate::fs::{Fs, FsReader};
use crate::key::BlobKey;

static PUT: Counter = Counter::new("hakata_blobs_put_total", "Blobs written and synced");
static PUT_BYTES: Counter = Counter::new("hakata_blob_put_bytes_total", "Bytes of blobs written and synced");
static DELETED: Counter = Counter::new("hakata_blobs_deleted_total", "Blobs deleted");

/// Where blobs are kept; cheap to clone.
#[derive(Clone, Debug)]
pub enum Blobs {
    /// In a local directory.
    Fs(Fs),
}

/// What is known of a blob without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// Its length.
    pub size_bytes: u64,
}

/// Whether there was anything to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The blob was there and is gone.
    Yes,
    /// No such blob.
    Absent,
}

/// A URL that reads a blob without asking us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presigned {
    /// The URL, secret until it expires.
    pub url: String,
}

/// The bytes of a blob as a stream.
#[derive(Debug)]
pub struct BlobReader(FsReader);

/// Why a store of blobs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenBlobsError {
    /// The directory cannot be made, read or cleaned.
    #[error("opening the blob directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pool of blocking work is closed.
    #[error("opening the blob directory")]
    Stopped(#[source] BlockingError),
}

/// Why a blob could not be written, read or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no blob of that name although the caller was promised one.
    #[error("blob {0} does not exist")]
    Absent(BlobKey),
    /// The engine failed.
    #[error("{act} blob {key}")]
    Io {
        /// What we were doing.
        act: &'static str,
        /// With which blob.
        key: BlobKey,
        /// What the system said.
        source: io::Error,
    },
    /// The process is stopping, or the work panicked.
    #[error("working on blob {key}")]
    Stopped {
        /// With which blob.
        key: BlobKey,
        /// Why nothing ran.
        source: BlockingError,
    },
}

impl Blobs {
    /// Opens a directory of blobs, making it if need be, and deletes what writers that died left in it.
    ///
    /// Other processes may use the directory too, if their keys come from the same database.
    ///
    /// # Errors
    /// [`OpenBlobsError`] if the directory cannot be used.
    pub async fn open_fs(dir: PathBuf, blocking: Blocking) -> Result<Self, OpenBlobsError> {
        Fs::open(dir, blocking).await.map(Self::Fs)
    }

    /// Writes a blob from a stream. When this returns it is complete, under its name and on stable storage; when it
    /// fails or is dropped there is nothing under the name.
    ///
    /// # Errors
    /// [`BlobError::Io`], also when `source` fails.
    pub async fn put(&self, key: BlobKey, source: impl AsyncRead + Unpin) -> Result<BlobStat, BlobError> {
        let Self::Fs(fs) = self;
        let stat = fs.put(key, source).await?;
        count(&[stat]);
        Ok(stat)
    }

    /// Writes blobs from files, by linking where that is possible: the files must not change afterwards. All of them
    /// are on stable storage when this returns. Cheaper than one by one, as directories are synced once.
    ///
    /// # Errors
    /// [`BlobError::Io`]; some of the blobs may then exist.
    pub async fn put_files(&self, files: Vec<(BlobKey, PathBuf)>) -> Result<Vec<BlobStat>, BlobError> {
        let Self::Fs(fs) = self;
        let stats = fs.put_files(files).await?;
        count(&stats);
        Ok(stats)
    }

    /// Reads a blob or a range of its bytes.
    ///
    /// # Errors
    /// [`BlobError::Absent`], [`BlobError::Io`].
    pub async fn get(&self, key: BlobKey, range: Option<Range<u64>>) -> Result<BlobReader, BlobError> {
        let Self::Fs(fs) = self;
        fs.get(key, range).await.map(BlobReader)
    }

    /// Finds what is known of a blob; `None` if it does not exist.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn stat(&self, key: BlobKey) -> Result<Option<BlobStat>, BlobError> {
        let Self::Fs(fs) = self;
        fs.stat(key).await
    }

    /// Deletes a blob, durably.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn delete(&self, key: BlobKey) -> Result<Deleted, BlobError> {
        let Self::Fs(fs) = self;
        let deleted = fs.delete(key).await?;
        if deleted == Deleted::Yes {
            DELETED.inc();
        }
        Ok(deleted)
    }

    /// Makes a URL for reading the blob directly; `None` if the engine has no such thing, as a directory has not.
    pub fn presign(&self, _key: BlobKey, _ttl: Duration) -> Option<Presigned> {
        let Self::Fs(_) = self;
        None
    }

    /// Returns the local file of a blob, for linking it elsewhere; `None` if the engine keeps no files here. The
    /// file must never be changed.
    pub fn local_path(&self, key: BlobKey) -> Option<PathBuf> {
        let Self::Fs(fs) = self;
        Some(fs.path_of(key))
    }
}

impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

fn count(stats: &[BlobStat]) {
    for stat in stats {
        PUT.inc();
        PUT_BYTES.add(stat.size_bytes);
    }
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&PUT, &PUT_BYTES, &DELETED];
    all.extend(crate::fs::metrics());
    all
}
