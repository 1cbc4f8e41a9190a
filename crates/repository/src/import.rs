//! Bringing in a bare repository from a directory: somebody else's, or a cache directory whose rows are lost.
//!
//! Nothing of the source is trusted: git never runs in it, its configuration, hooks and alternates are not used, and
//! every object is read, hashed and indexed again. The result is one change of the repository, committed like any other.

mod fetched;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hakata_git::foreign::{Alternates, Foreign, ForeignError};
use hakata_git::quarantine::{Fsck, IndexedPack, PackLimits};
use hakata_git::refs::Head;
use hakata_git::remote::FetchError;
use hakata_names::{ObjectFormat, RefName, RefUpdate, UserId};
use hakata_runtime::blocking::BlockingError;
use hakata_runtime::fault;
use hakata_store::repositories::{self, Repository as Row};
use hakata_store::{RepositoryState, StoreError};

use crate::commit::{CommitError, Rows};
use crate::outcome::{Atomicity, Committed, Reason};
use crate::prepared::{Intent, Prepared};
use crate::receive::{Offered, Push, ReceiveError, Received};
use crate::repository::Repository;

/// Time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Where to import from, and how.
#[derive(Clone, Debug)]
pub struct Import {
    /// The bare repository.
    pub source: PathBuf,
    /// Whether it may borrow objects from elsewhere.
    pub alternates: Alternates,
    /// [`Fsck::Hashes`] takes histories that break git's rules; what is odd is listed in [`Imported::problems`].
    pub fsck: Fsck,
    /// Who is logged.
    pub actor: Option<UserId>,
    /// [`Reason::Import`] or [`Reason::Recover`].
    pub reason: Reason,
    /// How much may be brought in; `None` for no limit.
    pub quota: Option<ImportQuota>,
    /// A name for the change, under which its answer is kept.
    pub idempotency_key: Option<String>,
}

/// The quotas that hold for an import, as they hold for a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportQuota {
    /// The quota of a repository without one of its own, in bytes.
    pub default_bytes: u64,
    /// What is left when the import begins, in bytes: a longer pack is not read to its end.
    pub room_bytes: u64,
}

impl Import {
    /// Imports strictly from a directory that stands alone.
    pub fn new(source: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            alternates: Alternates::Inside,
            fsck: Fsck::Strict,
            actor: None,
            reason: Reason::Import,
            quota: None,
            idempotency_key: None,
        }
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another host sends.
    Fetching {
        /// Bytes of packs so far.
        size_bytes: u64,
    },
    /// The source was opened.
    Opened {
        /// Its refs.
        n_refs: usize,
    },
    /// Objects are being read and indexed.
    Indexing {
        /// Bytes of the pack so far.
        size_bytes: u64,
        /// Time since indexing began.
        took: Duration,
    },
    /// The pack is complete.
    Indexed {
        /// Its length in bytes.
        size_bytes: u64,
        /// Its objects.
        n_objects: u32,
    },
}

/// What was imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The change; refs that were refused are in it.
    pub committed: Committed,
    /// Refs that were skipped: symbolic ones, and names that are not stored here.
    pub n_skipped: usize,
    /// Objects brought in.
    pub n_objects: u32,
    /// Length of their pack in bytes.
    pub size_bytes: u64,
    /// What is odd about the objects, in git's words; only looked for when the rules were relaxed.
    pub problems: Vec<String>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source is no repository that can be read, or its objects are not accepted.
    #[error("importing")]
    Foreign(#[source] ForeignError),
    /// The source names its objects by another hash function.
    #[error("source has {source_format} objects, the repository {format}")]
    Format {
        /// The source's format.
        source_format: ObjectFormat,
        /// The repository's.
        format: ObjectFormat,
    },
    /// The other host does not serve it.
    #[error("importing")]
    Fetch(#[source] FetchError),
    /// Objects cannot be taken in.
    #[error("importing")]
    Receive(#[source] ReceiveError),
    /// The change cannot be committed.
    #[error("importing")]
    Commit(#[source] CommitError),
    /// The repository's row cannot be read.
    #[error("importing")]
    Store(#[from] StoreError),
    /// The pool of blocking work is full, or the process is stopping.
    #[error("importing")]
    Busy(#[source] BlockingError),
}

impl Repository {
    /// Imports refs and objects of a bare repository on this machine. Refs of that name move wherever they are; others
    /// stay. `HEAD` follows the source's. A repository that is being created becomes active in the transaction that
    /// commits them, which takes rows of the caller with it, and not before.
    ///
    /// # Errors
    /// [`ImportError`]; nothing has changed then.
    pub async fn import(
        &self,
        import: &Import,
        also: impl Rows + Clone,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<Imported, ImportError> {
        let foreign = self.open_foreign(import).await?;
        progress(Progress::Opened { n_refs: foreign.refs().len() });
        let offered = self.take_in(&foreign, import, &mut progress).await?;
        fault::point("import.pack");
        let push = Push { updates: self.updates_to(&foreign), shallow: Vec::new() };
        let received = self.examine(push, offered).await.map_err(ImportError::Receive)?;
        let (n_objects, size_bytes) = (received.n_objects(), received.size_bytes());
        let row = self.row().await?;
        let prepared = received.prepare(self.intent(import, &foreign, &row));
        let prepared = match row.state {
            RepositoryState::Creating => prepared.completing(),
            _ => prepared,
        };
        let prepared = match import.quota {
            Some(quota) => prepared.within_quota(quota.default_bytes),
            None => prepared,
        };
        let committed = self.commit_unjudged(prepared, also).await.map_err(ImportError::Commit)?;
        let problems = match import.fsck {
            Fsck::Strict => Vec::new(),
            Fsck::Hashes => self.fsck().await,
        };
        Ok(Imported { committed, n_skipped: foreign.n_skipped(), n_objects, size_bytes, problems })
    }

    async fn open_foreign(&self, import: &Import) -> Result<Foreign, ImportError> {
        let (source, alternates) = (import.source.clone(), import.alternates.clone());
        let open = move || Foreign::open(&source, alternates);
        let opened = self.engine.blocking.run(open).await.map_err(ImportError::Busy)?;
        let foreign = opened.map_err(ImportError::Foreign)?;
        match foreign.format() == self.format() {
            true => Ok(foreign),
            false => Err(ImportError::Format { source_format: foreign.format(), format: self.format() }),
        }
    }

    /// Packs what the source's refs lead to into a quarantine, telling how it grows.
    async fn take_in(
        &self,
        foreign: &Foreign,
        import: &Import,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<Offered, ImportError> {
        let (permit, base) = self.admitted().await.map_err(ImportError::Receive)?;
        let quarantine = self.quarantine(None).await.map_err(ImportError::Receive)?;
        let max_bytes = import.quota.map(|quota| quota.room_bytes);
        let limits = PackLimits { max_bytes, fsck: import.fsck, ..PackLimits::default() };
        let pack: Option<IndexedPack> = {
            let packing = foreign.pack_all(&self.engine.git, &quarantine, &limits);
            tokio::pin!(packing);
            let began = tokio::time::Instant::now();
            let mut ticks = tokio::time::interval(REPORT_EVERY);
            loop {
                tokio::select! {
                    packed = &mut packing => break packed.map_err(ImportError::Foreign)?,
                    _ = ticks.tick() => {
                        let size_bytes = growing(&quarantine.dir().objects().join("pack")).await;
                        progress(Progress::Indexing { size_bytes, took: began.elapsed() });
                    }
                }
            }
        };
        if let Some(pack) = &pack {
            progress(Progress::Indexed { size_bytes: pack.size_bytes, n_objects: pack.n_objects });
        }
        Ok(Offered::new(quarantine, pack, Vec::new(), permit, base))
    }

    /// Wishes every ref of the source to be here as it is there.
    fn updates_to(&self, foreign: &Foreign) -> Vec<RefUpdate> {
        let refs = foreign.refs().iter();
        let updates = refs.map(|at| RefUpdate {
            name: at.name.clone(),
            old: self.snapshot().find(&at.name).map(|here| here.oid),
            new: Some(at.oid),
        });
        updates.filter(|update| update.old != update.new).collect()
    }

    async fn row(&self) -> Result<Row, ImportError> {
        let row = repositories::find(&mut self.engine.db.read().await?, self.id).await?;
        row.ok_or(ImportError::Commit(CommitError::Absent(self.id)))
    }

    fn intent(&self, import: &Import, foreign: &Foreign, row: &Row) -> Intent {
        Intent {
            actor: import.actor,
            reason: import.reason,
            atomicity: Atomicity::Each,
            policy_version: row.policy_version,
            default_ref: self.new_head(foreign),
            idempotency_key: import.idempotency_key.clone(),
        }
    }

    /// Commits under whatever rules hold: no rule judges what is imported. The commit itself says when it is enough.
    async fn commit_unjudged(
        &self,
        mut prepared: Prepared,
        also: impl Rows + Clone,
    ) -> Result<Committed, CommitError> {
        loop {
            match self.commit(prepared, also.clone()).await {
                Err(CommitError::PolicyChanged { prepared: again, policy_version }) => {
                    prepared = *again;
                    prepared.set_policy_version(policy_version);
                }
                ended => return ended,
            }
        }
    }

    /// Follows the source's `HEAD` to a ref that exists there.
    fn new_head(&self, foreign: &Foreign) -> Option<RefName> {
        let Head::Symbolic(name) = foreign.head() else { return None };
        let exists = foreign.refs().iter().any(|at| at.name == *name);
        (exists && *name != *self.default_ref()).then(|| name.clone())
    }

    /// Turns what was taken in into a change: connected, with tags looked behind.
    async fn examine(&self, push: Push, offered: Offered) -> Result<Received, ReceiveError> {
        Received::examine(&self.engine, push.updates, Arc::new(offered), &self.state).await
    }
}

/// Measures a pack that is being written.
async fn growing(dir: &Path) -> u64 {
    let mut size_bytes = 0;
    if let Ok(mut entries) = tokio::fs::read_dir(dir).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            size_bytes += entry.metadata().await.map_or(0, |at| at.len());
        }
    }
    size_bytes
}
