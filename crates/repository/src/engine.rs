//! All repositories of one process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hakata_blob::Blobs;
use hakata_git::Git;
use hakata_git::quarantine::make_empty;
use hakata_names::RepositoryId;
use hakata_runtime::blocking::{Blocking, BlockingError};
use hakata_runtime::clock::Clock;
use hakata_runtime::limit::{Bounds, Limit};
use hakata_runtime::secret::random_bytes;
use hakata_runtime::tasks::Tasks;
use hakata_store::{Db, StoreError, ids::Allocator, repositories, settings};

use crate::cache::{self, Caches};
use crate::flight::Stopped;
use crate::refresh::{self, State};
use crate::repository::Repository;
use crate::rows::RepositoryRow;
use crate::settings::Settings;
use crate::snapshots::Snapshots;
use crate::sweep;

/// What repositories are made of.
#[derive(Debug)]
pub struct Parts {
    /// The rows.
    pub db: Db,
    /// The bytes of packs.
    pub blobs: Blobs,
    /// The git to run.
    pub git: Git,
    /// The time.
    pub clock: Clock,
    /// The owner of our tasks.
    pub tasks: Tasks,
    /// The pool for work on files.
    pub blocking: Blocking,
    /// Directories and limits.
    pub settings: Settings,
}

/// All repositories; cheap to clone.
#[derive(Clone, Debug)]
pub struct Repositories {
    pub(crate) engine: Arc<Engine>,
}

/// What every part of this crate works with.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) db: Db,
    pub(crate) blobs: Blobs,
    pub(crate) git: Git,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) blocking: Blocking,
    pub(crate) settings: Settings,
    pub(crate) ids: Allocator,
    pub(crate) snapshots: Snapshots,
    pub(crate) caches: Arc<Caches>,
    pub(crate) quarantines: Limit,
    /// Tells our database from others; a cache directory carries it.
    pub(crate) installation: String,
}

/// Why repositories cannot be served from a directory.
#[derive(Debug, thiserror::Error)]
pub enum OpenEngineError {
    /// A directory cannot be made or read.
    #[error("preparing {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pool of blocking work is closed.
    #[error("preparing the data directory")]
    Stopped(#[source] BlockingError),
    /// The database does not answer.
    #[error("asking the database for its name")]
    Store(#[source] StoreError),
}

/// Why a repository cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none of that id, or it was deleted.
    #[error("repository {0} does not exist")]
    Absent(RepositoryId),
    /// Its rows cannot be read.
    #[error("reading the refs of repository {id}")]
    Store {
        /// Which repository.
        id: RepositoryId,
        /// What the database said; shared, because many may have waited for the same answer.
        source: Arc<StoreError>,
    },
    /// The process is stopping.
    #[error("reading the refs of repository {id}")]
    Stopped {
        /// Which repository.
        id: RepositoryId,
        /// Why there is no answer.
        source: Stopped,
    },
    /// Commits come faster than they can be read.
    #[error("repository {0} changes too fast to be read")]
    Moving(RepositoryId),
}

impl Repositories {
    /// Opens the repositories of a data directory: sweeps what a dead process left in quarantine, and starts the
    /// periodic sweep, which `parts.tasks` owns.
    ///
    /// # Errors
    /// [`OpenEngineError`].
    pub async fn open_engine(parts: Parts) -> Result<Self, OpenEngineError> {
        let Parts { db, blobs, git, clock, tasks, blocking, settings } = parts;
        let quarantine = settings.data.join("quarantine");
        let prepared = blocking.run(move || make_empty(&quarantine)).await;
        let failed = |source| OpenEngineError::Directory { path: settings.data.clone(), source };
        prepared.map_err(OpenEngineError::Stopped)?.map_err(failed)?;
        let caches = Caches::open(&settings).map_err(failed)?;
        let installation = installation(&db).await.map_err(OpenEngineError::Store)?;
        let bounds = Bounds { permits: settings.max_quarantines, ..Bounds::default() };
        let engine = Arc::new(Engine {
            ids: Allocator::new(db.clone()),
            snapshots: Snapshots::new(settings.snapshot_bytes),
            quarantines: Limit::new("quarantines", bounds),
            caches: Arc::new(caches),
            installation,
            db,
            blobs,
            git,
            clock,
            tasks,
            blocking,
            settings,
        });
        sweep::start(&engine);
        Ok(Self { engine })
    }

    /// Opens a repository at its newest version. Costs no question to the database when this process is the only
    /// writer and the refs are in memory, else one read by primary key.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, id: RepositoryId) -> Result<Repository, OpenError> {
        let state = self.engine.newest(id).await?;
        Ok(Repository::new(self.engine.clone(), id, state))
    }

    /// Opens a repository at its newest version, of which the row was just read: no further question if its refs are in
    /// memory.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_row(&self, row: &RepositoryRow) -> Result<Repository, OpenError> {
        let known = self.engine.snapshots.find(row.id).filter(|state| row.version <= state.version());
        let state = match known {
            Some(state) => {
                self.engine.snapshots.hit();
                state
            }
            None => self.engine.load(row.id, row.version).await?,
        };
        Ok(Repository::new(self.engine.clone(), row.id, state))
    }

    /// Forgets what is known of a repository: to be called after its row was changed by other means than a commit.
    pub fn forget(&self, id: RepositoryId) {
        self.engine.snapshots.forget(id);
    }

    /// Drops the directory of a repository on this node, unless somebody reads it; it is made again when needed.
    pub async fn drop_cache(&self, id: RepositoryId) -> bool {
        cache::remove(&self.engine, id).await
    }

    /// Tells which repository a resolved path is the directory of; `None` also for one that another database left
    /// there. Blocks.
    pub fn whose_directory(&self, path: &Path) -> Option<RepositoryId> {
        self.engine.caches.whose(path, &self.engine.installation)
    }

    /// Returns the source of row ids of this process.
    pub fn ids(&self) -> &Allocator {
        &self.engine.ids
    }

    /// Returns the store of blobs, for bytes that are no packs.
    pub fn blobs(&self) -> &Blobs {
        &self.engine.blobs
    }

    /// Tells what this process is called in rows.
    pub fn node(&self) -> &str {
        &self.engine.settings.node
    }

    /// Records that cache directories are in good order, so that the next start can believe them even after the
    /// machine was switched off. To be called when all tasks have ended.
    pub async fn close(&self) {
        self.engine.caches.close(&self.engine.blocking).await;
    }
}

/// Returns the random name of the database, given at its first use.
async fn installation(db: &Db) -> Result<String, StoreError> {
    const NAME: &str = "repository.installation";
    let random: String = random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(name) = settings::find(&mut db.read().await?, NAME).await? {
        return Ok(name);
    }
    settings::get_or_set(&mut db.write().await?, NAME, &random).await
}

impl Engine {
    /// Finds the newest state, from memory if that is known to be the truth.
    pub(crate) async fn newest(&self, id: RepositoryId) -> Result<Arc<State>, OpenError> {
        let known = self.snapshots.find(id);
        let least = match &known {
            Some(state) if self.db.is_sole_owner() => {
                self.snapshots.hit();
                return Ok(state.clone());
            }
            Some(state) => {
                let version = self.version_of(id).await?;
                if version <= state.version() {
                    self.snapshots.hit();
                    return Ok(state.clone());
                }
                version
            }
            None => 0,
        };
        self.load(id, least).await
    }

    /// Reads the state from the database, once for all who ask at the same time.
    pub(crate) async fn load(&self, id: RepositoryId, least: i64) -> Result<Arc<State>, OpenError> {
        // A flight that was joined may have started too early; the next one has not, unless a commit came between.
        const MAX_ROUNDS: u32 = 16;
        for _ in 0..MAX_ROUNDS {
            let loading = self.snapshots.loading(id);
            let start = || refresh::load(self.db.clone(), id, self.snapshots.find_any(id));
            let loaded = loading.join(&self.tasks, "repository.load", start).await;
            let loaded = loaded.map_err(|source| OpenError::Stopped { id, source })?;
            let state =
                loaded.map_err(|source| OpenError::Store { id, source })?.ok_or(OpenError::Absent(id))?;
            if self.snapshots.keep(id, &state) && state.version() >= least {
                return Ok(state);
            }
        }
        Err(OpenError::Moving(id))
    }

    async fn version_of(&self, id: RepositoryId) -> Result<i64, OpenError> {
        let failed = |error| OpenError::Store { id, source: Arc::new(error) };
        let mut conn = self.db.read().await.map_err(failed)?;
        repositories::version_of(&mut conn, id).await.map_err(failed)?.ok_or(OpenError::Absent(id))
    }
}
