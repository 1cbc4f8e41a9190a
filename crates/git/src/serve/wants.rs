//! Which objects a client may ask for by their ids.

use std::pin::Pin;

use hakata_names::Oid;

use crate::refs::RefSnapshot;
use crate::serve::ServeError;
use crate::{Git, GitDir};

/// A boxed future, as a trait object's method returns it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A directory that stays in place while this is held.
pub type Directory = Box<dyn AsRef<GitDir> + Send + Sync>;

/// Why a directory cannot be had; only its message is used.
pub type OpenDirectoryError = Box<dyn std::error::Error + Send + Sync>;

/// What a conversation asks of the repository above it, and only when it must: `ls-refs` never does.
pub trait Source: Send + Sync {
    /// Provides the directory with the repository's objects, at least as new as the snapshot.
    fn directory(&self) -> BoxFuture<'_, Result<Directory, OpenDirectoryError>>;

    /// Lists what visible refs pointed to in the last minutes, so that a clone that races a forced push
    /// succeeds.
    fn recent_tips(&self) -> BoxFuture<'_, Vec<Oid>>;
}

/// A directory that is served as it stands, without a log of refs.
impl Source for GitDir {
    fn directory(&self) -> BoxFuture<'_, Result<Directory, OpenDirectoryError>> {
        let directory: Directory = Box::new(self.clone());
        Box::pin(std::future::ready(Ok(directory)))
    }

    fn recent_tips(&self) -> BoxFuture<'_, Vec<Oid>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// Finds the first want that this client may not have.
///
/// Allowed are: what a ref points to; what one pointed to lately; a commit that is reachable from those; and
/// trees, blobs and tag objects of the repository's own database, which partial clones ask for one by one.
pub(crate) async fn first_refused(
    git: &Git,
    dir: &GitDir,
    snapshot: &RefSnapshot,
    source: &dyn Source,
    wants: &[Oid],
) -> Result<Option<Oid>, ServeError> {
    let mut unknown: Vec<Oid> = wants.iter().filter(|want| !snapshot.is_tip(want)).copied().collect();
    if unknown.is_empty() {
        return Ok(None);
    }
    let recent = source.recent_tips().await;
    unknown.retain(|want| !recent.contains(want));
    if unknown.is_empty() {
        return Ok(None);
    }
    unknown.sort_unstable();
    unknown.dedup();
    let snapshot = snapshot.clone();
    let objects = git.objects(dir, 0).await.map_err(ServeError::Read)?;
    let refused = objects.read(move |view| {
        let mut commits = Vec::new();
        for want in unknown {
            match view.header(&want)?.map(|header| header.kind) {
                Some(crate::objects::Kind::Commit) => commits.push(want),
                Some(_) => {}
                None => return Ok(Some(want)),
            }
        }
        let from: Vec<Oid> = snapshot.tips().iter().copied().chain(recent).collect();
        let reached = view.reachable(&commits, &from)?;
        Ok(commits.iter().zip(reached).find(|(_, reached)| !reached).map(|(want, _)| *want))
    });
    refused.await.map_err(ServeError::Read)
}
