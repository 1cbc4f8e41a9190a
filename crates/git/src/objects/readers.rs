//! The library's handles of one open database.
//!
//! A handle knows which packs there are and keeps buffers, so it serves one reader after another. What is kept of packs
//! goes by their numbers, so none is given again as long as the database is open: one handle that asks for that is always
//! there. Packs that go stay open for the same time, which ends when there are too many of them.

use std::sync::{Mutex, PoisonError};

use super::kept::KeptObjects;

/// Most handles that wait for a reader; as many more as there are readers are made and dropped.
const MAX_IDLE: usize = 4;

/// Indexes of packs that went and are still open, at most.
const MAX_GONE: usize = 32;

/// Part of the places for indexes of packs that must be free.
const MIN_FREE_PART: usize = 4;

/// Handles that wait for the next reader.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Handles>);

#[derive(Debug, Default)]
struct Handles {
    idle: Vec<gix::Repository>,
    /// Never handed out.
    anchor: Option<gix::Repository>,
}

impl Readers {
    /// Takes a handle, or makes one.
    pub(super) fn take(&self, of: &gix::ThreadSafeRepository, kept: &KeptObjects) -> gix::Repository {
        let idle = {
            let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            handles.anchor.get_or_insert_with(|| anchored(of));
            handles.idle.pop()
        };
        idle.unwrap_or_else(|| {
            let mut handle = anchored(of);
            let (by_name, by_place) = (kept.clone(), kept.clone());
            handle.objects.set_object_cache(move || Box::new(by_name.clone()));
            handle.objects.set_pack_cache(move || Box::new(by_place.clone()));
            handle
        })
    }

    /// Takes a handle back.
    pub(super) fn give_back(&self, mut handle: gix::Repository) {
        handle.set_freelist(Some(Vec::new()));
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.idle.len() < MAX_IDLE {
            handles.idle.push(handle);
        }
    }
}

fn anchored(of: &gix::ThreadSafeRepository) -> gix::Repository {
    let mut handle = of.to_thread_local();
    handle.objects.prevent_pack_unload();
    handle
}

/// Says whether a database holds so much of what went that it is better opened anew. Looks at all its packs.
pub(super) fn is_worn(of: &gix::ThreadSafeRepository) -> bool {
    let metrics = of.objects.metrics();
    let n_reachable = metrics.open_reachable_indices + metrics.known_reachable_indices;
    let n_slots = metrics.unused_slots + n_reachable + metrics.unreachable_indices;
    metrics.unreachable_indices > MAX_GONE || metrics.unused_slots < n_slots / MIN_FREE_PART
}
