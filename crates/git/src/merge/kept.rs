//! Answers that are kept: what comes of merging two commits never changes.

use std::sync::Arc;

use hakata_names::Oid;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Merged;
use crate::GitDir;

type Pair = (GitDir, Oid, Oid);

/// Weighs an answer by what it holds.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Pair, Arc<Merged>> for Weight {
    fn weight(&self, pair: &Pair, merged: &Arc<Merged>) -> u64 {
        let conflicts: usize = merged.conflicts.iter().map(|at| 256 + at.path.len()).sum();
        let messages: usize = merged
            .messages
            .iter()
            .map(|said| 128 + said.text.len() + said.paths.iter().map(|path| 32 + path.len()).sum::<usize>())
            .sum();
        (256 + pair.0.path().as_os_str().len() + conflicts + messages) as u64
    }
}

/// Answers by repository and both commits, as many as fit.
#[derive(Debug)]
pub(crate) struct Kept(Cache<Pair, Arc<Merged>, Weight>);

impl Kept {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let n_typical = usize::try_from(max_bytes / 512).unwrap_or(usize::MAX).clamp(16, 100_000);
        Self(Cache::with_weighter(n_typical, max_bytes, Weight))
    }

    pub(super) fn find(&self, dir: &GitDir, ours: Oid, theirs: Oid) -> Option<Arc<Merged>> {
        self.0.get(&(dir.clone(), ours, theirs))
    }

    pub(super) fn put(&self, dir: &GitDir, ours: Oid, theirs: Oid, merged: &Arc<Merged>) {
        self.0.insert((dir.clone(), ours, theirs), merged.clone());
    }
}
