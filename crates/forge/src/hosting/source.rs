//! A repository as git's side of a fetch sees it.

use hakata_git::GitDir;
use hakata_git::serve::{BoxFuture, Directory, OpenDirectoryError, Source};
use hakata_names::Oid;
use hakata_repository::{CacheHandle, Repository};

/// Hands out the directory and the recent tips only when they are asked for.
pub(super) struct Fetched(pub(super) Repository);

/// A directory that stays while it is read.
struct Held(CacheHandle);

impl AsRef<GitDir> for Held {
    fn as_ref(&self) -> &GitDir {
        self.0.dir()
    }
}

impl Source for Fetched {
    fn directory(&self) -> BoxFuture<'_, Result<Directory, OpenDirectoryError>> {
        Box::pin(async {
            let handle = self.0.cache().await.map_err(OpenDirectoryError::from)?;
            Ok(Box::new(Held(handle)) as Directory)
        })
    }

    fn recent_tips(&self) -> BoxFuture<'_, Vec<Oid>> {
        Box::pin(async {
            self.0.recent_tips().await.unwrap_or_else(|error| {
                // The client is refused an object that only moved away lately, and fetches again.
                tracing::warn!(error = %error, "reading the recent tips of a repository");
                Vec::new()
            })
        })
    }
}
