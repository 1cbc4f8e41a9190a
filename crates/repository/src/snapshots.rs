//! The refs of repositories in memory, stepped by every commit of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hakata_git::refs::RefChange;
use hakata_names::{RefName, RepositoryId};
use hakata_runtime::metrics::{Counter, Gauge, Metric};

use crate::flight::Flight;
use crate::refresh::{Loaded, State};

static HITS: Counter =
    Counter::new("hakata_snapshot_hits_total", "Repositories opened with the refs that were in memory");
static LOADS: Counter =
    Counter::new("hakata_snapshot_loads_total", "Times that refs were read from the database");
static BYTES: Gauge = Gauge::new("hakata_snapshot_bytes", "Memory of refs, estimated");

/// A commit of this process, as it steps a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) version: i64,
    pub(crate) changes: Vec<RefChange>,
    pub(crate) default_ref: Option<RefName>,
}

/// What is known of repositories, bounded by memory.
#[derive(Debug)]
pub(crate) struct Snapshots {
    limit_bytes: u64,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    by_id: HashMap<RepositoryId, Slot>,
    n_uses: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Slot {
    current: Option<Arc<State>>,
    /// The newest version that a commit of this process made; what is older must not be believed.
    floor: i64,
    loading: Arc<Flight<Loaded>>,
    used: u64,
    bytes: u64,
}

impl Snapshots {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, slots: Mutex::default() }
    }

    /// Finds the newest state in memory, unless a commit of this process is known to be newer.
    pub(crate) fn find(&self, id: RepositoryId) -> Option<Arc<State>> {
        let mut slots = self.lock();
        let slots = &mut *slots;
        slots.n_uses += 1;
        let slot = slots.by_id.get_mut(&id)?;
        slot.used = slots.n_uses;
        slot.current.clone().filter(|state| state.version() >= slot.floor)
    }

    /// Finds a state to catch up from, however old.
    pub(crate) fn find_any(&self, id: RepositoryId) -> Option<Arc<State>> {
        self.lock().by_id.get(&id)?.current.clone()
    }

    /// Returns the one flight that loads this repository. While somebody holds it, the slot stays, so that no commit
    /// in between goes unnoticed.
    pub(crate) fn loading(&self, id: RepositoryId) -> Arc<Flight<Loaded>> {
        self.lock().by_id.entry(id).or_default().loading.clone()
    }

    /// Keeps what was loaded; false if a commit in between made it old, so that it must be loaded again.
    pub(crate) fn keep(&self, id: RepositoryId, state: &Arc<State>) -> bool {
        LOADS.inc();
        let mut slots = self.lock();
        slots.put(id, state.clone());
        let floor = slots.by_id.get(&id).map_or(0, |slot| slot.floor);
        self.evict(&mut slots);
        state.version() >= floor
    }

    /// Follows a commit of this process. Commits may arrive out of turn; then the next reader catches up.
    pub(crate) fn step(&self, id: RepositoryId, step: Step) {
        let mut slots = self.lock();
        let Some(slot) = slots.by_id.get_mut(&id) else { return };
        slot.floor = slot.floor.max(step.version);
        let next = slot.current.as_ref().filter(|state| state.version() + 1 == step.version);
        if let Some(next) = next.map(|state| Arc::new(state.stepped(step))) {
            slots.put(id, next);
            self.evict(&mut slots);
        }
    }

    /// Drops what is known; the next reader asks the database.
    pub(crate) fn forget(&self, id: RepositoryId) {
        let mut slots = self.lock();
        if let Some(slot) = slots.by_id.get_mut(&id) {
            slot.current = None;
            let freed = std::mem::take(&mut slot.bytes);
            slots.bytes -= freed;
        }
    }

    /// Counts a repository that was opened without reading refs.
    pub(crate) fn hit(&self) {
        HITS.inc();
    }

    fn evict(&self, slots: &mut Slots) {
        if slots.bytes > self.limit_bytes {
            // A quarter goes at once, so that the search for the oldest is rare.
            slots.shrink_to(self.limit_bytes / 4 * 3);
        }
        BYTES.set(i64::try_from(slots.bytes).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn put(&mut self, id: RepositoryId, state: Arc<State>) {
        self.n_uses += 1;
        let slot = self.by_id.entry(id).or_default();
        if slot.current.as_ref().is_some_and(|current| current.version() > state.version()) {
            return;
        }
        let bytes = state.size_bytes();
        self.bytes = self.bytes - slot.bytes + bytes;
        slot.bytes = bytes;
        slot.used = self.n_uses;
        slot.current = Some(state);
    }

    fn shrink_to(&mut self, bytes: u64) {
        let mut oldest: Vec<(u64, RepositoryId)> =
            self.by_id.iter().map(|(id, slot)| (slot.used, *id)).collect();
        oldest.sort_unstable();
        for (_, id) in oldest {
            if self.bytes <= bytes {
                return;
            }
            let is_idle = self.by_id.get(&id).is_some_and(|slot| Arc::strong_count(&slot.loading) == 1);
            if is_idle && let Some(slot) = self.by_id.remove(&id) {
                self.bytes -= slot.bytes;
            }
        }
    }
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&HITS, &LOADS, &BYTES]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hakata_git::refs::{Ref, RefChange, RefSnapshot};
    use hakata_names::{ObjectFormat, Oid, RefName, RepositoryId};

    use super::{Snapshots, Step};
    use crate::refresh::State;

    const ID: RepositoryId = RepositoryId::new(1);

    fn name(text: &str) -> RefName {
        RefName::parse(text.as_bytes()).unwrap()
    }

    fn state(version: i64) -> Arc<State> {
        let snapshot = RefSnapshot::empty(version, ObjectFormat::Sha1, name("refs/heads/main"));
        Arc::new(State { snapshot, default_ref: name("refs/heads/main"), prune_epoch: 0 })
    }

    fn step(version: i64) -> Step {
        let oid = Oid::from_bytes(&[u8::try_from(version).unwrap(); 20]).unwrap();
        let at = Ref { name: name("refs/heads/main"), oid, peeled: None };
        Step { version, changes: vec![RefChange::Set(at)], default_ref: None }
    }

    fn version(snapshots: &Snapshots) -> Option<i64> {
        snapshots.find(ID).map(|state| state.version())
    }

    #[test]
    fn commits_step_what_is_in_memory() {
        let snapshots = Snapshots::new(1 << 20);
        assert!(snapshots.keep(ID, &state(4)));
        snapshots.step(ID, step(5));
        assert_eq!(version(&snapshots), Some(5));
        assert_eq!(snapshots.find(ID).unwrap().snapshot.len(), 1);
    }

    #[test]
    fn a_commit_out_of_turn_makes_readers_ask_the_database() {
        let snapshots = Snapshots::new(1 << 20);
        assert!(snapshots.keep(ID, &state(4)));
        snapshots.step(ID, step(6));
        assert_eq!(version(&snapshots), None);
        snapshots.step(ID, step(5));
        assert_eq!(version(&snapshots), None, "version 5 is known, and 6 is known to exist");
        assert!(snapshots.keep(ID, &state(6)));
        assert_eq!(version(&snapshots), Some(6));
    }

    #[test]
    fn a_commit_during_a_load_is_not_lost() {
        let snapshots = Snapshots::new(1 << 20);
        let loading = snapshots.loading(ID);
        snapshots.step(ID, step(5));
        assert!(!snapshots.keep(ID, &state(4)), "version 4 was read before version 5 was made");
        assert_eq!(version(&snapshots), None);
        drop(loading);
        snapshots.forget(ID);
        assert!(snapshots.keep(ID, &state(5)));
        assert_eq!(version(&snapshots), Some(5));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go() {
        let one = state(1).size_bytes();
        let snapshots = Snapshots::new(one * 4);
        for id in 1..=5 {
            assert!(snapshots.keep(RepositoryId::new(id), &state(1)));
        }
        assert!(snapshots.find(RepositoryId::new(1)).is_none());
        assert!(snapshots.find(RepositoryId::new(5)).is_some());
    }
}
