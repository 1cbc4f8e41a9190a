//! The library's handles of one open database.
//!
//! A handle knows which packs there are and keeps buffers, so it serves one reader after another. What it remembers of
//! packs by their numbers goes when a reader is done: numbers are given again when packs go.

use std::sync::{Mutex, PoisonError};

use super::kept::KeptObjects;

/// Most handles that wait for a reader; as many more as there are readers are made and dropped.
const MAX_IDLE: usize = 4;

/// Memory for bases of deltas that one reader keeps, in bytes.
const MAX_BASES: usize = 16 << 20;

/// Handles that wait for the next reader.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Vec<gix::Repository>>);

impl Readers {
    /// Takes a handle, or makes one.
    pub(super) fn take(&self, of: &gix::ThreadSafeRepository, kept: &KeptObjects) -> gix::Repository {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut handle = idle.unwrap_or_else(|| {
            let mut handle = of.to_thread_local();
            let kept = kept.clone();
            handle.objects.set_object_cache(move || Box::new(kept.clone()));
            handle
        });
        handle
            .objects
            .set_pack_cache(|| Box::new(gix::odb::pack::cache::lru::StaticLinkedList::<64>::new(MAX_BASES)));
        handle
    }

    /// Takes a handle back.
    pub(super) fn give_back(&self, mut handle: gix::Repository) {
        handle.objects.unset_pack_cache();
        handle.set_freelist(Some(Vec::new()));
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(handle);
        }
    }
}
