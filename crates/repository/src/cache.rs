//! Directories with everything of a repository, for git to read: made from rows and blobs, thrown away at will.
//!
//! ```text
//! repositories/
//!   synced-boot                    the last boot that ended in good order (boots.rs)
//!   <last two digits>/<id>.git/    an ordinary bare repository
//!     hakata-version               what it shows: "<version> <prune epoch> <boot>"
//!     hakata-deriving              there while files that make reading fast are written (derived.rs)
//!     hakata-removing              there while packs go (step.rs)
//!     hooks/pre-receive            refuses pushes that come this way
//!     objects/pack/pack-<id>.*     links to blobs, or small packs out of their rows
//! ```
//! A directory is stepped by one task at a time, in an order that a crash cannot spoil: packs come, refs move, the
//! version is recorded, packs go. It is never synced; what a power cut may have torn is not believed afterwards.

mod boots;
mod derived;
mod evict;
mod fetch;
mod layout;
mod packs;
mod step;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hakata_git::GitDir;
use hakata_git::refs::RefChange;
use hakata_names::{PackId, RefName, RepositoryId};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::limit::{Bounds, Limit};
use hakata_runtime::metrics::{Counter, Metric};

use crate::engine::{Engine, OpenError};
use crate::flight::{Flight, Stopped};
use crate::receive::Offered;
use crate::refresh::Needed;
use crate::settings::Settings;
use boots::Boots;
pub use derived::{DeriveError, Derived};
pub(crate) use evict::{evict, remove};
pub(crate) use fetch::{fetch, index_again};
use layout::Seen;
use layout::dir_of;
pub(crate) use packs::stem_of;
pub use step::StepError;

static STEPS: Counter =
    Counter::new("hakata_cache_steps_total", "Times that a cache directory followed its rows");
static REBUILDS: Counter = Counter::new(
    "hakata_cache_rebuilds_total",
    "Steps that compared a whole cache directory with the catalogue",
);

/// Changes that a directory may be behind and still follow one by one.
const MAX_ADVANCES: usize = 64;

/// All cache directories of this node.
#[derive(Debug)]
pub(crate) struct Caches {
    root: PathBuf,
    boots: Boots,
    entries: Mutex<HashMap<RepositoryId, Arc<Entry>>>,
    derivations: Limit,
}

/// One cache directory.
#[derive(Debug)]
pub(crate) struct Entry {
    id: RepositoryId,
    dir: GitDir,
    stepping: Flight<Result<(), Arc<StepError>>>,
    deriving: Flight<()>,
    known: Mutex<Option<Known>>,
    advances: Mutex<BTreeMap<i64, Advance>>,
    /// Raised when packs were removed, so that open object databases are let go.
    generation: AtomicU64,
    /// Raised by every step that changed something.
    n_changes: AtomicU64,
    /// Whether we write derived files just now.
    is_being_derived: AtomicBool,
    /// Held by whoever writes derived files.
    writing_derived: tokio::sync::Mutex<()>,
    /// Until when no derived files are written, for their cost.
    rests_until: Mutex<Option<tokio::time::Instant>>,
    n_packs: AtomicU64,
    /// When it was last used, on the monotonic clock.
    used_ms: AtomicU64,
}

/// What this process knows of a directory, because it wrote it.
#[derive(Clone, Debug)]
struct Known {
    at: Needed,
    seen: Seen,
}

/// A change by a commit of this process: enough to follow without asking the database.
#[derive(Clone, Debug)]
pub(crate) struct Advance {
    pub(crate) needed: Needed,
    pub(crate) changes: Vec<RefChange>,
    pub(crate) default_ref: Option<RefName>,
    /// The pack, in its quarantine.
    pub(crate) pack: Option<(PackId, Arc<Offered>)>,
}

/// The right to read a cache directory; it stays where it is while this lives.
#[derive(Clone, Debug)]
pub struct CacheHandle {
    entry: Arc<Entry>,
}

/// Why there is no directory to read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    /// Its rows cannot be read.
    #[error("preparing a directory")]
    Open(#[source] OpenError),
    /// The directory cannot be brought into step.
    #[error("bringing the directory of repository {id} into step")]
    Step {
        /// Which repository.
        id: RepositoryId,
        /// What failed; shared, because many may have waited for it.
        source: Arc<StepError>,
    },
    /// The process is stopping.
    #[error("bringing the directory of repository {id} into step")]
    Stopped {
        /// Which repository.
        id: RepositoryId,
        /// Why there is no result.
        source: Stopped,
    },
    /// Commits come faster than the directory follows, or somebody else keeps changing it.
    #[error("directory of repository {0} does not come into step")]
    Lagging(RepositoryId),
}

impl CacheHandle {
    /// Returns the directory.
    pub fn dir(&self) -> &GitDir {
        &self.entry.dir
    }

    /// Returns a number that rises when packs are removed; [`Git::objects`](hakata_git::Git::objects) takes it.
    pub fn generation(&self) -> u64 {
        self.entry.generation.load(Ordering::Acquire)
    }
}

impl Caches {
    pub(crate) fn open(settings: &Settings) -> io::Result<Self> {
        let root = settings.data.join("repositories");
        std::fs::create_dir_all(&root)?;
        evict::empty_trash(&root)?;
        let bounds = Bounds { permits: settings.max_derivations.max(1), ..Bounds::default() };
        Ok(Self {
            boots: Boots::open(&root)?,
            root,
            entries: Mutex::default(),
            derivations: Limit::new("cache_derivations", bounds),
        })
    }

    /// Tells which repository of an installation a path is the directory of. Blocks.
    pub(crate) fn whose(&self, path: &Path, installation: &str) -> Option<RepositoryId> {
        let id = layout::id_of(&self.root, path)?;
        let record = layout::read_record(&dir_of(&self.root, id)).ok()??;
        (record.installation == installation).then_some(id)
    }

    /// Remembers a commit, so that its directory can follow from memory.
    pub(crate) fn advance(&self, id: RepositoryId, advance: Advance) {
        let entry = self.entry(id);
        let mut advances = entry.advances();
        advances.insert(advance.needed.version, advance);
        if advances.len() > MAX_ADVANCES {
            // The quarantines behind them must not pile up; the step asks the database instead.
            advances.clear();
        }
    }

    pub(crate) fn entry(&self, id: RepositoryId) -> Arc<Entry> {
        let new = || Arc::new(Entry::new(id, dir_of(&self.root, id)));
        self.entries().entry(id).or_insert_with(new).clone()
    }

    /// Leaves the mark of a good end.
    pub(crate) async fn close(self: &Arc<Self>, blocking: &Blocking) {
        let caches = self.clone();
        match blocking.run(move || caches.boots.mark_clean()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "cache directories will be rebuilt after a reboot")
            }
            Err(error) => tracing::warn!(error = %error, "cache directories will be rebuilt after a reboot"),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<RepositoryId, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Brings the directory of a repository into step and gives the right to read it.
    pub(crate) async fn cache(
        engine: &Arc<Self>,
        id: RepositoryId,
        needed: Needed,
    ) -> Result<CacheHandle, CacheError> {
        // A step that was joined may have begun too early; one that was started after the commit has not.
        const MAX_ROUNDS: u32 = 16;
        let entry = engine.caches.entry(id);
        for _ in 0..MAX_ROUNDS {
            entry.touch(engine);
            if entry.is_in_step(needed) {
                return Ok(CacheHandle { entry });
            }
            let start = || step::run(engine.clone(), entry.clone());
            let stepped = entry.stepping.join(&engine.tasks, "cache.step", start).await;
            let stepped = stepped.map_err(|source| CacheError::Stopped { id, source })?;
            stepped.map_err(|source| CacheError::Step { id, source })?;
        }
        Err(CacheError::Lagging(id))
    }
}

impl Entry {
    fn new(id: RepositoryId, dir: GitDir) -> Self {
        Self {
            id,
            dir,
            stepping: Flight::default(),
            deriving: Flight::default(),
            known: Mutex::default(),
            advances: Mutex::default(),
            generation: AtomicU64::new(0),
            n_changes: AtomicU64::new(0),
            is_being_derived: AtomicBool::new(false),
            writing_derived: tokio::sync::Mutex::default(),
            rests_until: Mutex::default(),
            n_packs: AtomicU64::new(0),
            used_ms: AtomicU64::new(0),
        }
    }

    /// Tells whether the directory has what is needed and is as we left it.
    fn is_in_step(&self, needed: Needed) -> bool {
        let known = self.known();
        known.as_ref().is_some_and(|known| known.at.covers(needed) && self.is_as_left(known))
    }

    /// Tells whether nobody but us changed the directory.
    fn is_as_left(&self, known: &Known) -> bool {
        self.is_being_derived.load(Ordering::Acquire) || known.seen.is_now(&self.dir)
    }

    fn touch(&self, engine: &Engine) {
        let now = u64::try_from(engine.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(now, Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests_until(&self) -> MutexGuard<'_, Option<tokio::time::Instant>> {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advances(&self) -> MutexGuard<'_, BTreeMap<i64, Advance>> {
        self.advances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&STEPS, &REBUILDS];
    all.extend(evict::metrics());
    all.extend(derived::metrics());
    all
}
