//! Objects that are made here: a merge, an edited file, an annotated tag.

use std::sync::Arc;

use hakata_git::quarantine::Quarantine;
use hakata_git::write::{NewObjects, WriteError};
use hakata_names::{Oid, RefUpdate};

use crate::cache::CacheHandle;
use crate::engine::Engine;
use crate::receive::{Push, ReceiveError, ReceiveLimits, Received};
use crate::repository::Repository;

/// A directory in front of a repository that git may write objects to, gone when dropped. What is of use in the end is
/// [collected](Self::collect).
#[derive(Debug)]
pub struct Scratch {
    engine: Arc<Engine>,
    quarantine: Quarantine,
    /// Last: the directory behind the scratch stays as long as it does.
    base: CacheHandle,
}

impl Scratch {
    /// Returns the directory as a repository without refs that also has the objects of the one behind it.
    pub fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// Adds a tree that git left here to `objects`, with all below it that the repository lacks.
    ///
    /// # Errors
    /// As [`NewObjects::collected`].
    pub async fn collect(&self, objects: NewObjects, tree: Oid) -> Result<NewObjects, WriteError> {
        let git = &self.engine.git;
        let base = git.objects(self.base.dir(), self.base.generation()).await?;
        let scratch = self.quarantine.objects(git).await?;
        objects.collected(&scratch, &base, tree).await
    }
}

impl Repository {
    /// Makes a scratch. It takes no place of a push: drop it before [`make`](Self::make), which does.
    ///
    /// # Errors
    /// [`ReceiveError::Cache`], [`ReceiveError::Quarantine`] or [`ReceiveError::Busy`].
    pub async fn scratch(&self) -> Result<Scratch, ReceiveError> {
        let base = self.cache().await.map_err(ReceiveError::Cache)?;
        let quarantine = self.quarantine(&base).await?;
        Ok(Scratch { engine: self.engine.clone(), quarantine, base })
    }

    /// Takes in objects that were made here. They are judged exactly as pushed ones: indexed in a quarantine by git, and
    /// proved complete. Without objects the updates may lead to what is there already.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ReceiveError::Pack`].
    pub async fn make(
        &self,
        updates: Vec<RefUpdate>,
        objects: NewObjects,
        limits: &ReceiveLimits,
    ) -> Result<Received, ReceiveError> {
        let push = Push { updates, shallow: Vec::new() };
        if objects.is_empty() {
            return self.receive(push, None::<&mut tokio::io::Empty>, limits).await;
        }
        let packed = self.engine.blocking.run(move || objects.into_pack()).await;
        let pack = packed.map_err(ReceiveError::Busy)?.map_err(ReceiveError::Pack)?;
        self.receive(push, Some(&mut &pack[..]), limits).await
    }
}
