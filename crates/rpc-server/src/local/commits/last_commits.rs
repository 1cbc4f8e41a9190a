//! The last commits of directories, kept: what a commit says of them never changes.

use std::sync::Arc;

use hakata_git::objects::{ReadError, View};
use hakata_git::read::LastCommit;
use hakata_names::{Oid, TreePath};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::metrics::{LAST_COMMITS, LAST_COMMITS_BYTES, Source};

/// Entries of a typical directory, with what they weigh.
const TYPICAL_BYTES: u64 = 4 << 10;

/// A commit and a directory. Not the repository: objects with one name are the same wherever they are.
type Place = (Oid, Arc<[u8]>);

/// Answers by commit and directory, shared by all calls.
#[derive(Debug)]
pub(in crate::local) struct KeptLastCommits(Cache<Place, Arc<[LastCommit]>, Weight>);

/// Weighs an answer by its names, its oids and something for the rest.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Place, Arc<[LastCommit]>> for Weight {
    fn weight(&self, place: &Place, answer: &Arc<[LastCommit]>) -> u64 {
        let entries = answer.iter().map(|entry| size_of::<LastCommit>() + entry.name.len());
        (128 + place.1.len() + entries.sum::<usize>()) as u64
    }
}

impl KeptLastCommits {
    /// Keeps answers of this weight in all; with 0 none.
    pub(in crate::local) fn new(max_bytes: u64) -> Self {
        let typical = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).max(1);
        Self(Cache::with_weighter(typical, max_bytes, Weight))
    }

    /// Finds for each entry of a directory the commit that changed it last. Blocks.
    ///
    /// The walk ends where it meets a commit whose answer is kept, so that a commit whose directory is that of the parent
    /// which history simplification follows costs one step. The answer is kept for the commit itself and for the last one
    /// down to which nothing in the directory changed: another branch from there meets it too.
    pub(super) fn find(
        &self,
        view: &View,
        tip: &Oid,
        directory: Option<&TreePath>,
    ) -> Result<Arc<[LastCommit]>, ReadError> {
        let path: Arc<[u8]> = directory.map_or(&b""[..], TreePath::as_bytes).into();
        if let Some(answer) = self.0.get(&(*tip, path.clone())) {
            LAST_COMMITS.get(Source::Memory).inc();
            return Ok(answer);
        }
        let is_helped = std::cell::Cell::new(false);
        let found = view.last_commits(tip, directory, &|oid| {
            let answer = self.0.get(&(*oid, path.clone()));
            is_helped.set(is_helped.get() || answer.is_some());
            answer
        })?;
        LAST_COMMITS.get(if is_helped.get() { Source::Ancestor } else { Source::History }).inc();
        let answer: Arc<[LastCommit]> = found.entries.into();
        self.0.insert((*tip, path.clone()), answer.clone());
        if found.same_since != *tip {
            self.0.insert((found.same_since, path), answer.clone());
        }
        LAST_COMMITS_BYTES.set(i64::try_from(self.0.weight()).unwrap_or(i64::MAX));
        Ok(answer)
    }
}
