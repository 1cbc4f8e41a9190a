//! Immutable bytes under typed keys, packs and LFS objects, in a directory or in a bucket.
//!
//! A blob is written once, whole, and is visible under its key only when it is complete and on stable storage. Keys
//! come from row ids, never from content or from users. Nothing here knows what the bytes mean or who may read them;
//! a row of the database promises that a blob exists, so bytes are put before the row and deleted after it.
//!
//! ```no_run
//! use hakata_blob::{BlobKey, Blobs, PackPart};
//! use hakata_names::PackId;
//! use hakata_runtime::blocking::Blocking;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let blobs = Blobs::open_fs("data/blobs".into(), Blocking::new(4)).await?;
//! let key = BlobKey::pack(PackId::new(7), PackPart::Pack);
//! blobs.put(key, &b"PACK..."[..]).await?;
//! assert_eq!(blobs.stat(key).await?.map(|at| at.size_bytes), Some(7));
//! # Ok(())
//! # }
//! ```

mod blobs;
mod checked;
mod fs;
mod key;
mod link;
mod moving;
mod s3;
mod upload;

pub use blobs::{
    BlobError, BlobReader, BlobStat, Blobs, Deleted, OpenBlobsError, Presigned, SweepUploadsError,
};
pub use checked::{Checked, Mismatch};
pub use key::{BlobKey, Family, PackPart};
pub use link::link_or_copy;
pub use moving::Moving;
pub use s3::{CredentialSource, MAX_PARTS, MIN_PART, Presign, S3Error, S3Settings, UnusableBucket, UrlStyle};
pub use upload::{UploadId, UploadedPart};

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn hakata_runtime::metrics::Metric> {
    blobs::metrics()
}
