//! The store of blobs, whichever engine keeps the bytes.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hakata_runtime::blocking::{Blocking, BlockingError};
use hakata_runtime::metrics::{Counter, Metric};
use hakata_runtime::secret::Secret;
use hakata_runtime::tasks::Tasks;
use tokio::io::{AsyncRead, ReadBuf};

use crate::fs::{self, Fs, FsReader};
use crate::key::{BlobKey, Family};
use crate::moving::Moving;
use crate::s3::{self, Presign, S3, S3Reader, S3Settings, UnusableBucket};
use crate::upload::{UploadId, UploadedPart};

static PUT: Counter = Counter::new("hakata_blobs_put_total", "Blobs written and synced");
static PUT_BYTES: Counter = Counter::new("hakata_blob_put_bytes_total", "Bytes of blobs written and synced");
static DELETED: Counter = Counter::new("hakata_blobs_deleted_total", "Blobs deleted");

/// Where blobs are kept; cheap to clone.
#[derive(Clone, Debug)]
pub enum Blobs {
    /// In a local directory.
    Fs(Fs),
    /// In a bucket.
    S3(S3),
    /// In one of them, and on the way to the other.
    Moving(Moving),
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

/// A URL that reads or writes a blob without asking us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presigned {
    /// The URL, secret until it expires.
    pub url: Secret<String>,
    /// What the request must carry, by names in lower case.
    pub headers: Vec<(String, String)>,
    /// How long it is good: as long as was asked for, or as long as the credentials behind it are.
    pub expires_in: Duration,
}

/// The bytes of a blob as a stream.
#[derive(Debug)]
pub struct BlobReader(Reader);

#[derive(Debug)]
enum Reader {
    Fs(FsReader),
    S3(Box<S3Reader>),
}

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
    /// The bucket cannot be used.
    #[error("opening bucket {bucket}")]
    Bucket {
        /// Its name.
        bucket: String,
        /// What to change.
        source: UnusableBucket,
    },
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

/// Why abandoned uploads could not be looked for.
#[derive(Debug, thiserror::Error)]
#[error("looking for abandoned uploads")]
pub struct SweepUploadsError(#[source] s3::S3Error);

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

    /// Opens a bucket, and sees whether it can be written, read and deleted from. `tasks` owns what is taken back when
    /// a write is given up.
    ///
    /// # Errors
    /// [`OpenBlobsError::Bucket`], with a sentence that says what to change.
    pub async fn open_s3(settings: S3Settings, tasks: Tasks) -> Result<Self, OpenBlobsError> {
        S3::open(settings, tasks).await.map(Self::S3)
    }

    /// Puts a store in the place of another: blobs are written to `to`, and read from `from` as long as `to` has not got
    /// them. Whoever copies them all may leave `from` then.
    #[must_use]
    pub fn moving(to: Self, from: Self) -> Self {
        Self::Moving(Moving::new(to, from))
    }

    /// Writes a blob from a stream. When this returns it is complete, under its name and on stable storage; when it
    /// fails or is dropped there is nothing under the name. A [`Checked`](crate::Checked) source is verified first.
    ///
    /// # Errors
    /// [`BlobError::Io`], also when `source` fails.
    pub async fn put(&self, key: BlobKey, source: impl AsyncRead + Unpin) -> Result<BlobStat, BlobError> {
        let stat = match self {
            Self::Fs(fs) => fs.put(key, source).await?,
            Self::S3(s3) => s3.put(key, source).await?,
            Self::Moving(both) => return Box::pin(both.to().put(key, source)).await,
        };
        count(&[stat]);
        Ok(stat)
    }

    /// Writes blobs from files, by linking where that is possible: the files must not change afterwards. All of them
    /// are on stable storage when this returns. Cheaper than one by one, as directories are synced once.
    ///
    /// # Errors
    /// [`BlobError::Io`]; some of the blobs may then exist.
    pub async fn put_files(&self, files: Vec<(BlobKey, PathBuf)>) -> Result<Vec<BlobStat>, BlobError> {
        let stats = match self {
            Self::Fs(fs) => fs.put_files(files).await?,
            Self::S3(s3) => s3.put_files(files).await?,
            Self::Moving(both) => return Box::pin(both.to().put_files(files)).await,
        };
        count(&stats);
        Ok(stats)
    }

    /// Reads a blob or a range of its bytes. A reader of a bucket goes on where its connection breaks.
    ///
    /// # Errors
    /// [`BlobError::Absent`], [`BlobError::Io`].
    pub async fn get(&self, key: BlobKey, range: Option<Range<u64>>) -> Result<BlobReader, BlobError> {
        let reader = match self {
            Self::Fs(fs) => Reader::Fs(fs.get(key, range).await?),
            Self::S3(s3) => Reader::S3(Box::new(s3.get(key, range).await?)),
            Self::Moving(both) => return Box::pin(both.get(key, range)).await,
        };
        Ok(BlobReader(reader))
    }

    /// Finds what is known of a blob; `None` if it does not exist.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn stat(&self, key: BlobKey) -> Result<Option<BlobStat>, BlobError> {
        match self {
            Self::Fs(fs) => fs.stat(key).await,
            Self::S3(s3) => s3.stat(key).await,
            Self::Moving(both) => Box::pin(both.stat(key)).await,
        }
    }

    /// Deletes a blob, durably.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn delete(&self, key: BlobKey) -> Result<Deleted, BlobError> {
        let deleted = match self {
            Self::Fs(fs) => fs.delete(key).await?,
            Self::S3(s3) => s3.delete(key).await?,
            Self::Moving(both) => return Box::pin(both.delete(key)).await,
        };
        if deleted == Deleted::Yes {
            DELETED.inc();
        }
        Ok(deleted)
    }

    /// Finds the length of a blob and its SHA-256, as far as the engine tells that: a directory does not, and a bucket
    /// only that of what came in one request. `None` if there is no such blob.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn stat_with_sum(
        &self,
        key: BlobKey,
    ) -> Result<Option<(BlobStat, Option<[u8; 32]>)>, BlobError> {
        match self {
            Self::Fs(fs) => Ok(fs.stat(key).await?.map(|stat| (stat, None))),
            Self::S3(s3) => s3.stat_with_sum(key).await,
            Self::Moving(both) => {
                Box::pin(async {
                    match both.to().stat_with_sum(key).await? {
                        None => both.from().stat_with_sum(key).await,
                        found => Ok(found),
                    }
                })
                .await
            }
        }
    }

    /// Tells what URLs [`presign_get`](Self::presign_get) and [`presign_put`](Self::presign_put) make at all.
    pub fn hands_out(&self) -> Presign {
        match self {
            Self::Fs(_) => Presign::Off,
            Self::S3(s3) => s3.hands_out(),
            Self::Moving(both) => both.to().hands_out(),
        }
    }

    /// Makes a URL for reading the blob directly; `None` if the engine has no such thing, as a directory has not, or if
    /// none are to be handed out.
    ///
    /// # Errors
    /// [`BlobError::Io`], if there are no credentials to sign with.
    pub async fn presign_get(&self, key: BlobKey, ttl: Duration) -> Result<Option<Presigned>, BlobError> {
        match self {
            Self::Fs(_) => Ok(None),
            Self::S3(s3) => s3.presign_get(key, ttl).await,
            // What is not there yet is read through us.
            Self::Moving(both) => {
                Box::pin(async {
                    match both.to().stat(key).await? {
                        Some(_) => both.to().presign_get(key, ttl).await,
                        None => Ok(None),
                    }
                })
                .await
            }
        }
    }

    /// Makes a URL for writing the blob directly, with exactly these bytes and in one request; `None` as for reading,
    /// and where the engine would take other bytes or not so many at once.
    ///
    /// # Errors
    /// [`BlobError::Io`], if there are no credentials to sign with.
    pub async fn presign_put(
        &self,
        key: BlobKey,
        size_bytes: u64,
        sha256: &[u8; 32],
        ttl: Duration,
    ) -> Result<Option<Presigned>, BlobError> {
        match self {
            Self::Fs(_) => Ok(None),
            Self::S3(s3) => s3.presign_put(key, size_bytes, sha256, ttl).await,
            Self::Moving(both) => Box::pin(both.to().presign_put(key, size_bytes, sha256, ttl)).await,
        }
    }

    /// Returns the local file of a blob, for linking it elsewhere; `None` if the engine keeps no files here. The
    /// file must never be changed.
    pub fn local_path(&self, key: BlobKey) -> Option<PathBuf> {
        match self {
            Self::Fs(fs) => Some(fs.path_of(key)),
            Self::S3(_) => None,
            Self::Moving(both) => both.local_path(key),
        }
    }
}

/// Uploads that go over several requests. Every part but the last has [`Blobs::part_bytes`] bytes, so the length of an
/// unbroken row of parts is where to go on. Nothing is visible under the key before an upload is completed.
impl Blobs {
    /// Returns the length of each part but the last, in bytes. An upload that another configuration began may have
    /// parts of another length in a bucket; their lengths are in their list.
    pub fn part_bytes(&self) -> u64 {
        match self {
            Self::Fs(_) => fs::PART_BYTES,
            Self::S3(s3) => s3.part_bytes(),
            Self::Moving(both) => both.to().part_bytes(),
        }
    }

    /// Begins an upload. Its id belongs into a row before the first part is put: an engine may not be able to list
    /// uploads.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn begin_upload(&self, key: BlobKey) -> Result<UploadId, BlobError> {
        match self {
            Self::Fs(fs) => fs.begin_upload(key).await,
            Self::S3(s3) => s3.begin_upload(key).await,
            Self::Moving(both) => Box::pin(both.to().begin_upload(key)).await,
        }
    }

    /// Keeps a part durably; one of the same number is replaced. Parts may come in any order and at the same time.
    /// Whoever calls this bounds how many are in memory.
    ///
    /// # Errors
    /// [`BlobError::Io`], also when there is no such upload.
    pub async fn put_part(
        &self,
        key: BlobKey,
        id: &UploadId,
        number: u16,
        bytes: Bytes,
    ) -> Result<UploadedPart, BlobError> {
        match self {
            Self::Fs(fs) => fs.put_part(key, id, number, bytes).await,
            Self::S3(s3) => s3.put_part(key, id, number, bytes).await,
            Self::Moving(both) => Box::pin(both.to().put_part(key, id, number, bytes)).await,
        }
    }

    /// Lists the parts that are kept, by number; `None` if there is no such upload.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn list_parts(
        &self,
        key: BlobKey,
        id: &UploadId,
    ) -> Result<Option<Vec<UploadedPart>>, BlobError> {
        match self {
            Self::Fs(fs) => fs.list_parts(key, id).await,
            Self::S3(s3) => s3.list_parts(key, id).await,
            Self::Moving(both) => Box::pin(both.to().list_parts(key, id)).await,
        }
    }

    /// Makes the blob out of parts 1, 2, 3 and so on, without copying them.
    ///
    /// # Errors
    /// [`BlobError::Io`], also when there is no such upload or a part is missing.
    pub async fn complete_upload(
        &self,
        key: BlobKey,
        id: &UploadId,
        parts: &[UploadedPart],
    ) -> Result<BlobStat, BlobError> {
        let stat = match self {
            Self::Fs(fs) => fs.complete_upload(key, id, parts).await?,
            Self::S3(s3) => s3.complete_upload(key, id, parts).await?,
            Self::Moving(both) => return Box::pin(both.to().complete_upload(key, id, parts)).await,
        };
        count(&[stat]);
        Ok(stat)
    }

    /// Deletes what an upload has kept; one that does not exist is fine.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn abort_upload(&self, key: BlobKey, id: &UploadId) -> Result<(), BlobError> {
        match self {
            Self::Fs(fs) => fs.abort_upload(key, id).await,
            Self::S3(s3) => s3.abort_upload(key, id).await,
            Self::Moving(both) => Box::pin(both.to().abort_upload(key, id)).await,
        }
    }

    /// Deletes what writers of such blobs left in a bucket that died more than `age` ago, and tells how many. A directory
    /// has nothing like that: it is swept when it is opened.
    ///
    /// # Errors
    /// [`SweepUploadsError`].
    pub async fn sweep_uploads(&self, of: Family, age: Duration) -> Result<usize, SweepUploadsError> {
        match self {
            Self::Fs(_) => Ok(0),
            Self::S3(s3) => s3.sweep_uploads(of, age).await.map_err(SweepUploadsError),
            Self::Moving(both) => {
                Box::pin(async {
                    Ok(both.from().sweep_uploads(of, age).await? + both.to().sweep_uploads(of, age).await?)
                })
                .await
            }
        }
    }
}

impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Reader::Fs(file) => Pin::new(file).poll_read(cx, buf),
            Reader::S3(reader) => Pin::new(reader).poll_read(cx, buf),
        }
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
    all.extend(fs::metrics());
    all.extend(s3::metrics());
    all
}
