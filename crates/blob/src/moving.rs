//! Two stores, of which one is taking the other's place: what is new goes to one, what is not there yet is read from the
//! other.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::blobs::{BlobError, BlobReader, BlobStat, Blobs, Deleted};
use crate::key::BlobKey;

/// Two stores; cheap to clone.
#[derive(Clone, Debug)]
pub struct Moving(Arc<Pair>);

#[derive(Debug)]
struct Pair {
    to: Blobs,
    from: Blobs,
}

impl Moving {
    pub(crate) fn new(to: Blobs, from: Blobs) -> Self {
        Self(Arc::new(Pair { to, from }))
    }

    /// Returns the store that takes the other's place.
    pub fn to(&self) -> &Blobs {
        &self.0.to
    }

    /// Returns the store that is being left. Nothing is written to it any more.
    pub fn from(&self) -> &Blobs {
        &self.0.from
    }

    pub(crate) async fn get(&self, key: BlobKey, range: Option<Range<u64>>) -> Result<BlobReader, BlobError> {
        match self.0.to.get(key, range.clone()).await {
            Err(BlobError::Absent(_)) => self.0.from.get(key, range).await,
            result => result,
        }
    }

    pub(crate) async fn stat(&self, key: BlobKey) -> Result<Option<BlobStat>, BlobError> {
        match self.0.to.stat(key).await? {
            None => self.0.from.stat(key).await,
            found => Ok(found),
        }
    }

    /// Deletes a blob in both, first where it came from: while it is there it could be copied again.
    pub(crate) async fn delete(&self, key: BlobKey) -> Result<Deleted, BlobError> {
        let before = self.0.from.delete(key).await?;
        let now = self.0.to.delete(key).await?;
        Ok(if now == Deleted::Yes { now } else { before })
    }

    /// Finds the file of a blob in the one of the two that keeps files here. Looks at the disk.
    pub(crate) fn local_path(&self, key: BlobKey) -> Option<PathBuf> {
        let paths = [&self.0.to, &self.0.from].into_iter().filter_map(|blobs| blobs.local_path(key));
        paths.into_iter().find(|path| path.exists())
    }
}
