//! Open object databases, a bounded number of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gix::odb::store::init::Slots;

use super::ReadError;
use super::kept::{KeptObjects, Room};
use super::readers::{self, Readers};
use crate::GitDir;
use crate::read::CommitGraph;
use crate::settings::Settings;

/// Indexes of packs that a database has room for, at least; it takes no more while it is open, and every push may bring
/// one.
const MIN_INDEXES: usize = 1_024;

/// Uses of a database between two looks at what it holds open.
const USES_PER_LOOK: u64 = 256;

/// Databases by directory; the one that was not asked for the longest is closed first.
#[derive(Debug)]
pub(crate) struct Handles {
    max: usize,
    room: Room,
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
    n_uses: u64,
    opened: Arc<Opened>,
}

/// An open database and what is known about it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) dir: GitDir,
    pub(super) repository: gix::ThreadSafeRepository,
    pub(super) readers: Readers,
    pub(super) kept: KeptObjects,
    /// As it was when somebody looked last.
    commit_graph: Mutex<Option<Arc<CommitGraph>>>,
}

impl Opened {
    /// Opens a database that reads no configuration but its own, and no object in place of another: refs below
    /// `refs/replace/` are pushed like any others.
    pub(super) fn open(dir: &GitDir, room: Room) -> Result<Arc<Self>, ReadError> {
        let slots = Slots::AsNeededByDiskState { multiplier: 2.0, minimum: MIN_INDEXES };
        let options = gix::open::Options::isolated()
            .open_path_as_is(true)
            .with(gix::sec::Trust::Full)
            .config_overrides(["core.useReplaceRefs=false"])
            .object_store_slots(slots);
        let repository = options
            .open(dir.path())
            .map_err(|source| ReadError::Open { dir: dir.clone(), source: source.into() })?;
        Ok(Arc::new(Self {
            dir: dir.clone(),
            repository,
            readers: Readers::default(),
            kept: KeptObjects::new(room),
            commit_graph: Mutex::default(),
        }))
    }

    /// Returns the commit-graph as it was when somebody looked last. Does not block.
    pub(super) fn known_commit_graph(&self) -> Option<Arc<CommitGraph>> {
        self.commit_graph.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the commit-graph of the repository, read again if it has changed; `None` without one.
    pub(super) fn commit_graph(&self) -> Option<Arc<CommitGraph>> {
        let known = self.known_commit_graph();
        let hash = self.repository.objects.object_hash();
        let current = CommitGraph::open(&self.dir.objects().join("info"), hash, known);
        self.commit_graph.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&current);
        current
    }
}

impl Handles {
    pub(crate) fn new(settings: &Settings) -> Self {
        let max = settings.max_open_repositories.max(1);
        Self { max, room: Room::new(settings.object_cache_bytes), open: Mutex::default() }
    }

    /// Returns where decoded objects are kept.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// Finds an open database of at least this generation.
    pub(crate) fn find(&self, dir: &GitDir, generation: u64) -> Option<Arc<Opened>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let now = open.clock;
        let handle = open.by_dir.get_mut(dir).filter(|handle| handle.generation >= generation)?;
        (handle.used, handle.n_uses) = (now, handle.n_uses + 1);
        let is_looked_at = handle.n_uses.is_multiple_of(USES_PER_LOOK);
        let opened = handle.opened.clone();
        drop(open);
        (!is_looked_at || !readers::is_worn(&opened.repository)).then_some(opened)
    }

    /// Opens a database and keeps it. Blocks.
    pub(crate) fn open(&self, dir: &GitDir, generation: u64) -> Result<Arc<Opened>, ReadError> {
        let opened = Opened::open(dir, self.room.clone())?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.clock += 1;
        let handle = Handle { generation, used: open.clock, n_uses: 0, opened: opened.clone() };
        open.by_dir.insert(dir.clone(), handle);
        if open.by_dir.len() > self.max {
            let oldest = open.by_dir.iter().min_by_key(|(_, handle)| handle.used).map(|(dir, _)| dir.clone());
            oldest.and_then(|dir| open.by_dir.remove(&dir));
        }
        Ok(opened)
    }

    /// Closes a database when its last reader is done.
    pub(crate) fn forget(&self, dir: &GitDir) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).by_dir.remove(dir);
    }
}
