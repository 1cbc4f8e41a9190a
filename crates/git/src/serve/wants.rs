//! Which objects a client may ask for by their ids.

use std::collections::HashSet;
use std::pin::Pin;

use hakata_names::Oid;

use crate::objects::Kind;
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

/// What is asked for by ids, and of whom.
pub(crate) struct Asked<'a> {
    pub(crate) git: &'a Git,
    pub(crate) dir: &'a GitDir,
    pub(crate) snapshot: &'a RefSnapshot,
    pub(crate) source: &'a dyn Source,
    pub(crate) oids: &'a [Oid],
}

impl Asked<'_> {
    /// Finds the first object that this client may not have.
    pub(crate) async fn first_refused(&self) -> Result<Option<Oid>, ServeError> {
        let hidden = self.hidden().await?;
        Ok(self.oids.iter().find(|oid| hidden.contains(oid)).copied())
    }

    /// Collects the objects that this client may not have, or that do not exist.
    ///
    /// Allowed are: what a ref points to; what one pointed to lately; a commit or a tag object that is reachable from
    /// those; and trees and blobs of the repository's own database, which partial clones ask for one by one.
    pub(crate) async fn hidden(&self) -> Result<HashSet<Oid>, ServeError> {
        let is_unknown = |oid: &&Oid| !self.snapshot.is_tip(oid);
        let mut unknown: HashSet<Oid> = self.oids.iter().filter(is_unknown).copied().collect();
        if unknown.is_empty() {
            return Ok(unknown);
        }
        let recent = self.source.recent_tips().await;
        recent.iter().for_each(|tip| {
            unknown.remove(tip);
        });
        if unknown.is_empty() {
            return Ok(unknown);
        }
        let snapshot = self.snapshot.clone();
        let objects = self.git.objects(self.dir, 0).await.map_err(ServeError::Read)?;
        let hidden = objects.read(move |view| {
            let (mut commits, mut tags, mut hidden) = (Vec::new(), HashSet::new(), HashSet::new());
            for oid in unknown {
                match view.header(&oid)?.map(|header| header.kind) {
                    Some(Kind::Commit) => commits.push(oid),
                    Some(Kind::Tag) => {
                        tags.insert(oid);
                    }
                    Some(Kind::Tree | Kind::Blob) => {}
                    None => {
                        hidden.insert(oid);
                    }
                }
            }
            let from: Vec<Oid> = snapshot.tips().iter().copied().chain(recent).collect();
            let reached = view.reachable(&commits, &from)?;
            hidden.extend(view.unreached_tags(tags, &from)?);
            hidden
                .extend(commits.into_iter().zip(reached).filter(|(_, reached)| !reached).map(|(oid, _)| oid));
            Ok(hidden)
        });
        hidden.await.map_err(ServeError::Read)
    }
}
