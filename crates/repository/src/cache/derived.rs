//! Files that make reading fast: commit-graph, multi-pack-index and bitmaps. Local to this node, never blobs, never
//! jobs.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use hakata_git::ChildError;
use hakata_git::GitDir;
use hakata_git::maintain::{self, Bitmaps};
use hakata_runtime::blocking::BlockingError;
use hakata_runtime::limit::Limited;
use hakata_runtime::metrics::{Counter, Histogram, Metric, SECONDS};
use tokio::time::Instant;

use super::layout::{self, Seen};
use super::{CacheError, Entry, Known, packs};
use crate::engine::Engine;
use crate::repository::Repository;

static DERIVED: Histogram = Histogram::new(
    "hakata_cache_derive_seconds",
    "Time to write commit-graph, multi-pack-index and bitmaps of a cache directory",
    SECONDS,
);
static FAILED: Counter = Counter::new(
    "hakata_cache_derive_failed_total",
    "Times that commit-graph, multi-pack-index or bitmaps could not be written",
);

/// Packs from which on one index over all of them is of use by itself.
const MANY_PACKS: usize = 16;

/// Bytes of packs from which on bitmaps are: below, a clone costs little more than its processes.
const BITMAPS_FROM_BYTES: u64 = 256 << 10;

/// Changes that may come while others wait for quiet, before it is done anyway.
const MAX_PATIENCE: u32 = 30;

/// What was written beside the commit-graph, which always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Packs in the directory.
    pub n_packs: usize,
    /// Their bytes.
    pub size_bytes: u64,
    /// Whether there is one index over all of them: few packs are read faster without.
    pub multi_pack_index: bool,
    /// Whether it has bitmaps: they pay where one pack has most of what a clone takes.
    pub bitmaps: bool,
}

/// Why derived files were not written. Nothing depends on them.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// There is no directory to write them for.
    #[error("preparing the directory")]
    Cache(#[source] CacheError),
    /// Too many directories wait.
    #[error("waiting for others")]
    Limited(#[from] Limited),
    /// git did not do it.
    #[error("running git")]
    Child(#[from] ChildError),
    /// The directory cannot be read.
    #[error("looking at the files of packs")]
    Io(#[from] io::Error),
    /// The pool of blocking work is full, or the process is stopping.
    #[error("waiting to look at files")]
    Busy(#[from] BlockingError),
}

impl Repository {
    /// Writes commit-graph, and multi-pack-index and bitmaps where they pay, of this node's directory now, instead of
    /// some time after the next change.
    ///
    /// # Errors
    /// [`DeriveError`].
    pub async fn optimize(&self) -> Result<Derived, DeriveError> {
        let cache = self.cache().await.map_err(DeriveError::Cache)?;
        let _permit = self.engine.caches.derivations.acquire().await?;
        let (engine, began) = (&self.engine, Instant::now());
        let before = cache.entry.n_changes.load(Ordering::Relaxed);
        let mut written = write(engine, &cache.entry).await;
        if written.is_err() && cache.entry.n_changes.load(Ordering::Relaxed) != before {
            // A pack that came while git listed them may be what it stumbled over.
            written = write(engine, &cache.entry).await;
        }
        DERIVED.observe_duration(began.elapsed());
        if written.is_err() {
            FAILED.inc();
        }
        written
    }
}

/// Has the derived files written some time after the last change, at most one writer per directory.
pub(super) fn schedule(engine: &Arc<Engine>, entry: &Arc<Entry>) {
    // Waiting must not keep a directory from being evicted.
    let (engine_, waiting) = (engine.clone(), Arc::downgrade(entry));
    entry.deriving.start(&engine.tasks, "cache.derive", move || derive(engine_, waiting));
}

async fn derive(engine: Arc<Engine>, entry: Weak<Entry>) {
    let n_changes = || Some(entry.upgrade()?.n_changes.load(Ordering::Relaxed));
    let stop = engine.tasks.cancel_token();
    loop {
        let rests_until = entry.upgrade().and_then(|entry| *entry.rests_until());
        for patience in 0..MAX_PATIENCE {
            let before = n_changes();
            let quiet = Instant::now() + engine.settings.derive_after;
            let until = rests_until.filter(|_| patience == 0).map_or(quiet, |rests| rests.max(quiet));
            if stop.run_until_cancelled(tokio::time::sleep_until(until)).await.is_none() {
                return;
            }
            if n_changes() == before {
                break;
            }
        }
        let Ok(_permit) = engine.caches.derivations.acquire().await else { return };
        let Some(entry) = entry.upgrade() else { return };
        let before = n_changes();
        let began = Instant::now();
        let written = write(&engine, &entry).await;
        *entry.rests_until() =
            Some(Instant::now() + began.elapsed().saturating_mul(engine.settings.derive_rest));
        DERIVED.observe_duration(began.elapsed());
        if n_changes() != before {
            // A pack that came while git listed them may be what it stumbled over.
            continue;
        }
        if let Err(error) = written {
            FAILED.inc();
            tracing::warn!(repository.id = entry.id.get(), error = %error, "derived files were not written");
        }
        return;
    }
}

async fn write(engine: &Engine, entry: &Entry) -> Result<Derived, DeriveError> {
    let _alone = entry.writing_derived.lock().await;
    let generation = entry.generation.load(Ordering::Acquire);
    let writing = Writing::begin(entry);
    let written = run_git(engine, &entry.dir).await;
    let dir = entry.dir.clone();
    let is_current = entry.generation.load(Ordering::Acquire) == generation;
    let looking = move || {
        if !is_current {
            // Packs went meanwhile; an index that names them would mislead git.
            maintain::remove_derived(&dir)?;
        }
        layout::end_deriving(&dir)?;
        packs::has_foreign(&dir)
    };
    if !engine.blocking.run(looking).await?? {
        writing.end();
    }
    written
}

async fn run_git(engine: &Engine, dir: &GitDir) -> Result<Derived, DeriveError> {
    let dir_ = dir.clone();
    let looking = move || {
        layout::begin_deriving(&dir_)?;
        maintain::remove_leftovers(&dir_)?;
        Packs::look(&dir_)
    };
    let packs = engine.blocking.run(looking).await??;
    maintain::write_commit_graph(&engine.git, dir).await?;
    let bitmaps = packs.bitmaps();
    if let Some(bitmaps) = bitmaps {
        maintain::write_multi_pack_index(&engine.git, dir, bitmaps).await?;
    }
    Ok(Derived {
        n_packs: packs.n_packs,
        size_bytes: packs.total_bytes,
        multi_pack_index: bitmaps.is_some(),
        bitmaps: matches!(bitmaps, Some(Bitmaps::Preferring(_))),
    })
}

/// The packs of a directory, as far as they decide about derived files.
struct Packs {
    n_packs: usize,
    total_bytes: u64,
    largest_bytes: u64,
    /// The index of the largest.
    largest: String,
}

impl Packs {
    /// Looks at the directory. Blocks.
    fn look(dir: &GitDir) -> io::Result<Self> {
        let mut packs = Self { n_packs: 0, total_bytes: 0, largest_bytes: 0, largest: String::new() };
        for file in fs::read_dir(dir.objects().join("pack"))? {
            let file = file?;
            let name = file.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".pack")) else { continue };
            let size_bytes = file.metadata()?.len();
            packs.n_packs += 1;
            packs.total_bytes += size_bytes;
            if size_bytes > packs.largest_bytes {
                (packs.largest_bytes, packs.largest) = (size_bytes, format!("{stem}.idx"));
            }
        }
        Ok(packs)
    }

    /// Decides about an index over all packs. Bitmaps pay where one pack has most of what a clone takes: it is then
    /// sent as it lies there, and only that one is; over many packs of one size they were measured to cost more than
    /// they save.
    fn bitmaps(&self) -> Option<Bitmaps<'_>> {
        let is_large = self.total_bytes >= BITMAPS_FROM_BYTES;
        if is_large && self.largest_bytes.saturating_mul(2) >= self.total_bytes {
            return Some(Bitmaps::Preferring(&self.largest));
        }
        (self.n_packs >= MANY_PACKS).then_some(Bitmaps::None)
    }
}

/// Derived files are being written: that the directory changes is no sign of a stranger.
struct Writing<'a> {
    entry: &'a Entry,
    is_ended: bool,
}

impl<'a> Writing<'a> {
    fn begin(entry: &'a Entry) -> Self {
        let mut known = entry.known();
        if known.as_ref().is_some_and(|known| !known.seen.is_now(&entry.dir)) {
            *known = None;
        }
        entry.is_being_derived.store(true, Ordering::Release);
        Self { entry, is_ended: false }
    }

    /// Takes what the directory is like now for what we made it.
    fn end(mut self) {
        self.is_ended = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut known = self.entry.known();
        match (self.is_ended, known.as_mut()) {
            (true, Some(Known { seen, .. })) => *seen = Seen::look(&self.entry.dir),
            // Somebody else was there as well: the next step compares everything.
            _ => *known = None,
        }
        self.entry.is_being_derived.store(false, Ordering::Release);
    }
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&DERIVED, &FAILED]
}
