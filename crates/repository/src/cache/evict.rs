//! Dropping cache directories that nobody reads, by age and bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hakata_names::RepositoryId;
use hakata_runtime::metrics::{Counter, Gauge, Metric};

use super::Caches;
use crate::engine::Engine;

static EVICTED: Counter = Counter::new("hakata_caches_evicted_total", "Cache directories that were dropped");
static BYTES: Gauge =
    Gauge::new("hakata_cache_bytes", "Disk of cache directories, blobs they share included");

/// The directory for what is being deleted.
const TRASH: &str = "trash";

/// Idle time after which memory about a directory is let go.
const FORGET_AFTER_MS: u64 = 3_600_000;

/// A directory that may go.
#[derive(Debug)]
struct Candidate {
    id: RepositoryId,
    bytes: u64,
    /// Since it was last used, as far as this process knows.
    idle_ms: u64,
}

/// Deletes what an earlier process had begun to delete. Blocks.
pub(super) fn empty_trash(root: &Path) -> io::Result<()> {
    match fs::remove_dir_all(root.join(TRASH)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Drops directories that are idle for too long, then the least recently used until the rest fits. Does nothing when
/// there is no limit. Returns how many went.
pub(crate) async fn evict(engine: &Arc<Engine>) -> usize {
    let now_ms = u64::try_from(engine.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
    engine.caches.forget_idle(now_ms);
    let Some(limit) = engine.settings.cache_bytes else { return 0 };
    let scanning = engine.clone();
    let scan = move || scanning.caches.candidates(now_ms);
    let Ok(Ok(mut candidates)) = engine.blocking.run(scan).await else { return 0 };
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.idle_ms));
    let mut bytes: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
    let idle_ms = u64::try_from(engine.settings.cache_idle.as_millis()).unwrap_or(u64::MAX);
    let mut n_evicted = 0;
    for candidate in candidates {
        if bytes <= limit && candidate.idle_ms <= idle_ms {
            break;
        }
        if remove(engine, candidate.id).await {
            bytes -= candidate.bytes;
            n_evicted += 1;
        }
    }
    BYTES.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    n_evicted
}

/// Drops the directory of a repository unless somebody reads it.
pub(crate) async fn remove(engine: &Arc<Engine>, id: RepositoryId) -> bool {
    let removing = engine.clone();
    let removed = engine.blocking.run(move || removing.caches.remove(&removing, id)).await;
    match removed {
        Ok(Ok(is_removed)) => is_removed,
        Ok(Err(error)) => {
            tracing::warn!(repository.id = id.get(), error = %error, "a cache directory was not dropped");
            false
        }
        Err(_) => false,
    }
}

impl Caches {
    /// Forgets what is known of directories that nobody used for a while; they are compared when next used.
    fn forget_idle(&self, now_ms: u64) {
        self.entries().retain(|_, entry| {
            let idle_ms = now_ms.saturating_sub(entry.used_ms.load(Ordering::Relaxed));
            Arc::strong_count(entry) > 1 || idle_ms < FORGET_AFTER_MS
        });
    }

    /// Lists every directory on disk. Blocks.
    fn candidates(&self, now_ms: u64) -> io::Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for shard in fs::read_dir(&self.root)? {
            let shard = shard?.path();
            let is_shard = shard.file_name().is_some_and(|name| name.len() == 2);
            if !shard.is_dir() || !is_shard {
                continue;
            }
            for dir in fs::read_dir(shard)? {
                let dir = dir?.path();
                let id = dir.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).map(RepositoryId::new);
                let Some(id) = id else { continue };
                let used_ms =
                    self.entries().get(&id).map_or(0, |entry| entry.used_ms.load(Ordering::Relaxed));
                let bytes = size_of(&dir.join("objects/pack"))?;
                found.push(Candidate { id, bytes, idle_ms: now_ms.saturating_sub(used_ms) });
            }
        }
        Ok(found)
    }

    /// Moves a directory away under the lock that hands out handles, then deletes it. Blocks.
    fn remove(&self, engine: &Engine, id: RepositoryId) -> io::Result<bool> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let dir = super::dir_of(&self.root, id);
        let trash: PathBuf = self.root.join(TRASH).join(SERIAL.fetch_add(1, Ordering::Relaxed).to_string());
        {
            let mut entries = self.entries();
            if entries.get(&id).is_some_and(|entry| Arc::strong_count(entry) > 1) {
                return Ok(false);
            }
            entries.remove(&id);
            fs::create_dir_all(self.root.join(TRASH))?;
            match fs::rename(dir.path(), &trash) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                renamed => renamed?,
            }
        }
        engine.git.forget(&dir);
        fs::remove_dir_all(trash)?;
        EVICTED.inc();
        Ok(true)
    }
}

fn size_of(dir: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&EVICTED, &BYTES]
}
