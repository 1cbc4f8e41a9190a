//! Files that make reading fast: commit-graph and multi-pack-index. Local to this node, never blobs, never jobs.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use hakata_git::ChildError;
use hakata_git::maintain;

use super::{Entry, Known, layout::Seen};
use crate::engine::Engine;

/// Packs from which on one index over all of them is of use.
const MANY_PACKS: u64 = 16;

/// Changes that may come while others wait for quiet, before it is done anyway.
const MAX_PATIENCE: u32 = 30;

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
        for _ in 0..MAX_PATIENCE {
            let before = n_changes();
            let quiet = tokio::time::sleep(engine.settings.derive_after);
            if stop.run_until_cancelled(quiet).await.is_none() {
                return;
            }
            if n_changes() == before {
                break;
            }
        }
        let Ok(_permit) = engine.caches.derivations.acquire().await else { return };
        let Some(entry) = entry.upgrade() else { return };
        let before = n_changes();
        if let Err(error) = write(&engine, &entry).await {
            tracing::warn!(repository.id = entry.id.get(), error = %error, "derived files were not written");
            return;
        }
        if n_changes() == before {
            return;
        }
    }
}

async fn write(engine: &Engine, entry: &Entry) -> Result<(), ChildError> {
    let generation = entry.generation.load(Ordering::Acquire);
    maintain::write_commit_graph(&engine.git, &entry.dir).await?;
    if entry.n_packs.load(Ordering::Relaxed) >= MANY_PACKS {
        let was_ours = entry.known().as_ref().is_some_and(|known| known.seen.is_now(&entry.dir));
        maintain::write_multi_pack_index(&engine.git, &entry.dir).await?;
        if was_ours && let Some(Known { seen, .. }) = entry.known().as_mut() {
            *seen = Seen::look(&entry.dir);
        }
    }
    if entry.generation.load(Ordering::Acquire) != generation {
        // Packs went meanwhile; an index that names them would mislead git.
        let dir = entry.dir.clone();
        let _ = engine.blocking.run(move || maintain::remove_derived(&dir)).await;
    }
    Ok(())
}
