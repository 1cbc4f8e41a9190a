//! Open object databases, a bounded number of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::ReadError;
use crate::GitDir;
use crate::settings::Settings;

/// Databases by directory; the one that was not asked for the longest is closed first.
#[derive(Debug)]
pub(crate) struct Handles {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    clock: u64,
    by_dir: HashMap<GitDir, Handle>,
}

#[derive(Debug)]
struct Handle {
    generation: u64,
    used: u64,
    repository: Arc<gix::ThreadSafeRepository>,
}

impl Handles {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { max: settings.max_open_repositories.max(1), open: Mutex::default() }
    }

    /// Finds an open database of at least this generation.
    pub(crate) fn find(&self, dir: &GitDir, generation: u64) -> Option<Arc<gix::ThreadSafeRepository>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let now = open.clock;
        let handle = open.by_dir.get_mut(dir).filter(|handle| handle.generation >= generation)?;
        handle.used = now;
        Some(handle.repository.clone())
    }

    /// Opens a database and keeps it. Blocks.
    pub(crate) fn open(
        &self,
        dir: &GitDir,
        generation: u64,
    ) -> Result<Arc<gix::ThreadSafeRepository>, ReadError> {
        let repository = open(dir)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let handle = Handle { generation, used: open.clock, repository: repository.clone() };
        open.by_dir.insert(dir.clone(), handle);
        if open.by_dir.len() > self.max {
            let oldest = open.by_dir.iter().min_by_key(|(_, handle)| handle.used).map(|(dir, _)| dir.clone());
            oldest.and_then(|dir| open.by_dir.remove(&dir));
        }
        Ok(repository)
    }

    /// Closes a database when its last reader is done.
    pub(crate) fn forget(&self, dir: &GitDir) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_dir.remove(dir);
    }
}

/// Opens a database that reads no configuration but its own.
pub(super) fn open(dir: &GitDir) -> Result<Arc<gix::ThreadSafeRepository>, ReadError> {
    let options = gix::open::Options::isolated().open_path_as_is(true).with(gix::sec::Trust::Full);
    let opened = options
        .open(dir.path())
        .map_err(|source| ReadError::Open { dir: dir.clone(), source: source.into() });
    opened.map(Arc::new)
}
