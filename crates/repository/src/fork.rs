//! Forks: a repository that begins with the refs and objects of another, and lives alone from then on.
//!
//! A pack is shared only if everything in it can be reached from the refs that are copied: whoever may read the fork
//! could otherwise read what was never meant for them. What is reachable in other packs is copied into one pack of the
//! fork's own. Row, packs, refs, log, event and jobs are one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use hakata_git::GitDir;
use hakata_git::quarantine::{Fsck, IndexedPack, PackLimits};
use hakata_git::refs::Ref;
use hakata_git::share::{self, ShareError, Split};
use hakata_names::{Oid, RefUpdate, RepositoryId, UserId};
use hakata_runtime::blocking::BlockingError;
use hakata_store::packs::{self, Pack};
use hakata_store::{Conflict, RepositoryState, StoreError};

use crate::birth::{Birth, NewRepository, Remembered};
use crate::cache::stem_of;
use crate::commit::{CommitError, Rows};
use crate::engine::{OpenError, Repositories};
use crate::outcome::{Atomicity, Reason};
use crate::prepared::{Intent, Prepared};
use crate::receive::{Offered, ReceiveError};
use crate::repository::Repository;

/// Packs that are looked at: small ones are cheaper to copy than to link.
const MAX_SHARED: usize = 64;

/// How often a fork starts again because a pack of its source went.
const MAX_ATTEMPTS: u32 = 3;

/// What to make.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The repository; format and `HEAD` come from the source.
    pub new: NewRepository,
    /// Copies the refs below these names; without one, branches and tags.
    pub prefixes: Vec<Vec<u8>>,
    /// Who is logged.
    pub actor: Option<UserId>,
}

/// A fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forked {
    /// The new repository.
    pub id: RepositoryId,
    /// Packs that it shares with its source.
    pub n_shared: usize,
    /// Length of the pack of its own, in bytes; 0 if all is shared.
    pub own_bytes: u64,
}

/// Why nothing was forked; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// There is a repository of this name.
    #[error("forking")]
    Taken(#[source] Conflict),
    /// The source cannot be opened again.
    #[error("forking")]
    Open(#[source] OpenError),
    /// There is no place in quarantine, or no directory.
    #[error("forking")]
    Receive(#[source] ReceiveError),
    /// It cannot be told what may be shared, or the rest cannot be copied.
    #[error("forking")]
    Share(#[source] ShareError),
    /// The rows cannot be written.
    #[error("forking")]
    Commit(#[source] CommitError),
    /// The catalogue cannot be read.
    #[error("forking")]
    Store(#[from] StoreError),
    /// The pool of blocking work is full, or the process is stopping.
    #[error("forking")]
    Busy(#[source] BlockingError),
}

impl From<Remembered> for Forked {
    fn from(made: Remembered) -> Self {
        Self { id: made.id, n_shared: made.n_shared, own_bytes: made.own_bytes }
    }
}

/// What a fork will consist of.
struct Parts {
    refs: Vec<Ref>,
    shared: Vec<Pack>,
    offered: Offered,
}

impl Repositories {
    /// Finds the fork that was made before under this key, whatever became of its source.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn find_forked(&self, idempotency_key: &str) -> Result<Option<Forked>, StoreError> {
        let made = self.repeated(Some(&format!("fork:{idempotency_key}"))).await?;
        Ok(made.map(Forked::from))
    }
}

impl Repository {
    /// Makes a repository of refs of this version, with rows of the caller, in one transaction.
    ///
    /// # Errors
    /// [`ForkError`].
    pub async fn fork(&self, fork: &Fork, also: impl Rows + Clone) -> Result<Forked, ForkError> {
        let repositories = Repositories { engine: self.engine.clone() };
        let id: RepositoryId = self.engine.ids.next().await?;
        let mut source = self.clone();
        let mut attempt = 1;
        loop {
            let new = NewRepository {
                object_format: source.format(),
                default_ref: source.default_ref().clone(),
                ..fork.new.clone()
            };
            let birth = Birth { new, source: self.id, shared: Vec::new(), own_bytes: 0 };
            if let Some(made) = repositories.repeated(birth.key().as_deref()).await? {
                return Ok(made.into());
            }
            let Parts { refs, shared, offered } = source.parts_of(fork).await?;
            let own_bytes =
                offered.pack.as_ref().filter(|pack| pack.n_objects > 0).map_or(0, |pack| pack.size_bytes);
            let forked = Forked { id, n_shared: shared.len(), own_bytes };
            let prepared = prepare(Birth { shared, own_bytes, ..birth }, refs, offered, fork.actor);
            let born = Self { engine: self.engine.clone(), id, state: source.state.clone() };
            match born.commit(prepared, also.clone()).await {
                Ok(_) => return Ok(forked),
                Err(CommitError::Taken(conflict)) => return Err(ForkError::Taken(conflict)),
                Err(CommitError::Repeated) => {}
                Err(CommitError::SharedGone) if attempt < MAX_ATTEMPTS => {
                    attempt += 1;
                    source = source.reopened().await.map_err(ForkError::Open)?;
                }
                Err(error) => return Err(ForkError::Commit(error)),
            }
        }
    }

    /// Leaves out the packs that a directory has not: they came after its version, so its refs do not need them.
    pub(crate) async fn here(&self, dir: &GitDir, mut packs: Vec<Pack>) -> Result<Vec<Pack>, BlockingError> {
        let dir = dir.path().join("objects/pack");
        let work = move || {
            packs.retain(|pack| dir.join(format!("{}.idx", stem_of(pack.id))).exists());
            packs
        };
        self.engine.blocking.run(work).await
    }

    /// Decides what is shared, and copies the rest.
    async fn parts_of(&self, fork: &Fork) -> Result<Parts, ForkError> {
        let (permit, base) = self.admitted().await.map_err(ForkError::Receive)?;
        let is_wanted = |at: &&Ref| {
            let name = at.name.as_bytes();
            match &fork.prefixes[..] {
                [] => name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/"),
                prefixes => prefixes.iter().any(|prefix| name.starts_with(prefix)),
            }
        };
        let refs: Vec<Ref> = self.snapshot().iter().filter(is_wanted).cloned().collect();
        let tips: Vec<Oid> = refs.iter().map(|at| at.oid).collect();
        let mut candidates = packs::list_of(&mut self.engine.db.read().await?, self.id).await?;
        candidates.retain(|pack| !pack.is_inline);
        candidates.sort_by_key(|pack| std::cmp::Reverse(pack.size_bytes));
        candidates.truncate(MAX_SHARED);
        let (git, dir) = (&self.engine.git, base.dir());
        let mut candidates = self.here(dir, candidates).await.map_err(ForkError::Busy)?;
        let stems: Vec<String> = candidates.iter().map(|pack| stem_of(pack.id)).collect();
        let found = share::split(git, dir, self.format(), &tips, &stems).await;
        let Split { wholly, has_rest } = found.map_err(ForkError::Share)?;
        let mut wholly = wholly.into_iter();
        candidates.retain(|_| wholly.next() == Some(true));
        // Forks that share some of the same packs lock them in one order.
        candidates.sort_by_key(|pack| pack.id);
        let quarantine = self.quarantine(None).await.map_err(ForkError::Receive)?;
        let shared: Vec<String> =
            candidates.iter().map(|pack| format!("{}.pack", stem_of(pack.id))).collect();
        let pack: Option<IndexedPack> = match has_rest {
            false => None,
            true => {
                let limits = PackLimits { fsck: Fsck::Hashes, ..PackLimits::default() };
                let copied = share::copy_rest(git, dir, &tips, &shared, &quarantine, &limits).await;
                Some(copied.map_err(ForkError::Share)?)
            }
        };
        let offered = Offered::new(quarantine, pack, Vec::new(), permit, base);
        Ok(Parts { refs, shared: candidates, offered })
    }
}

/// Wishes every ref to be made as it is in the source, where all behind it is there.
fn prepare(birth: Birth, refs: Vec<Ref>, offered: Offered, actor: Option<UserId>) -> Prepared {
    let peeled: HashMap<Oid, Oid> = refs.iter().filter_map(|at| Some((at.oid, at.peeled?))).collect();
    let updates = refs.into_iter().map(|at| RefUpdate { name: at.name, old: None, new: Some(at.oid) });
    let intent = Intent {
        actor,
        reason: Reason::Fork,
        atomicity: Atomicity::Whole,
        policy_version: 0,
        default_ref: None,
        idempotency_key: None,
    };
    Prepared {
        updates: updates.collect(),
        refusals: Vec::new(),
        peeled,
        intent,
        offered: Some(Arc::new(offered)),
        prune_epoch: 0,
        staged: None,
        default_quota: None,
        birth: Some(birth),
        state: RepositoryState::Active,
        unmoved: None,
        n_attempts: 0,
    }
}
