//! One repository at one version.

use std::sync::Arc;
use std::time::Duration;

use hakata_git::refs::RefSnapshot;
use hakata_names::{ObjectFormat, Oid, RefName, RepositoryId};
use hakata_store::{StoreError, ref_log};

use crate::cache::{CacheError, CacheHandle};
use crate::engine::{Engine, OpenError};
use crate::refresh::State;

/// Old tips that a fetch may still ask for, at most.
const MAX_RECENT_TIPS: i64 = 10_000;

/// A repository as it was when it was opened; cheap to clone. It does not follow later changes: open it again.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: RepositoryId,
    pub(crate) state: Arc<State>,
}

impl Repository {
    pub(crate) fn new(engine: Arc<Engine>, id: RepositoryId, state: Arc<State>) -> Self {
        Self { engine, id, state }
    }

    /// Returns its id.
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// Returns the version that this value shows.
    pub fn version(&self) -> i64 {
        self.state.version()
    }

    /// Returns how its objects are named.
    pub fn format(&self) -> ObjectFormat {
        self.state.format()
    }

    /// Returns the epoch that [`Prepared::without_objects`](crate::Prepared::without_objects) asks for.
    pub fn prune_epoch(&self) -> i64 {
        self.state.prune_epoch
    }

    /// Returns its refs.
    pub fn snapshot(&self) -> &RefSnapshot {
        &self.state.snapshot
    }

    /// Returns what `HEAD` points to; the ref may not exist yet.
    pub fn default_ref(&self) -> &RefName {
        &self.state.default_ref
    }

    /// Opens the repository again, at its newest version.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn reopened(&self) -> Result<Self, OpenError> {
        let state = self.engine.newest(self.id).await?;
        Ok(Self::new(self.engine.clone(), self.id, state))
    }

    /// Makes sure that there is a directory on this node with everything of this version, and keeps it while the
    /// handle lives. Costs one `stat` when the directory is in step.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn cache(&self) -> Result<CacheHandle, CacheError> {
        Engine::cache(&self.engine, self.id, self.state.needed()).await
    }

    /// Lists what refs pointed to within the last minutes and do not any more: a clone that races a forced push may
    /// still ask for it. One question to the database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn recent_tips(&self) -> Result<Vec<Oid>, StoreError> {
        let age = self.engine.settings.recent_tips;
        let since = self.engine.clock.now_ms() - millis(age);
        let mut conn = self.engine.db.read().await?;
        ref_log::recent_old(&mut conn, self.id, since, MAX_RECENT_TIPS).await
    }
}

/// Counts whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
