//! What is counted of LFS.

use std::time::Duration;

use hakata_runtime::clock::Clock;
use hakata_runtime::metrics::{Counter, CounterFamily, Gauge, HistogramFamily, Label, Metric, SECONDS};

use super::Operation;
use crate::{Error, Kind};

/// Objects in batches, by what was answered.
pub(super) static ASKED: CounterFamily<(Operation, AskedOutcome)> =
    CounterFamily::new("hakata_lfs_batch_objects_total", "LFS objects in batches, by operation and outcome");
/// Objects that a repository was given without sending them.
pub(super) static SHARED: Counter = Counter::new(
    "hakata_lfs_objects_shared_total",
    "LFS objects that a repository was given because their sender may read them in another",
);
/// Transfers under way.
pub(super) static ACTIVE: Gauge = Gauge::new("hakata_lfs_transfers_active", "LFS objects being moved");
/// Transfers that ended.
pub(super) static TRANSFERS: CounterFamily<(Operation, TransferOutcome)> =
    CounterFamily::new("hakata_lfs_transfers_total", "Transfers of LFS objects, by operation and outcome");
/// Bytes kept.
pub(super) static RECEIVED: Counter =
    Counter::new("hakata_lfs_received_bytes_total", "Bytes of LFS objects received and found right");
/// Bytes of which the sending began.
pub(super) static SENT: Counter = Counter::new("hakata_lfs_sent_bytes_total", "Bytes of LFS objects sent");
/// How long the steps of LFS took.
pub(super) static PHASES: HistogramFamily<Phase> =
    HistogramFamily::new("hakata_lfs_phase_seconds", "How long the steps of LFS took", SECONDS);
/// Locks made and taken away.
pub(super) static LOCKS: CounterFamily<LockOutcome> =
    CounterFamily::new("hakata_lfs_locks_total", "Locks of LFS, by what happened to them");
/// Uploads that went on behind their first byte.
pub(super) static RESUMED: Counter = Counter::new(
    "hakata_lfs_uploads_resumed_total",
    "Uploads of LFS objects that went on where they were cut",
);
/// Objects whose bytes were deleted.
pub(super) static SWEPT: Counter = Counter::new(
    "hakata_lfs_objects_swept_total",
    "LFS objects deleted: of uploads that never ended, or that nobody had",
);

/// Objects that no commit points to.
pub(super) static COLLECTED: CounterFamily<CollectedOutcome> = CounterFamily::new(
    "hakata_lfs_collected_total",
    "LFS objects of repositories that no commit points to, by what happened to them",
);
/// Bytes that repositories do not have any more.
pub(super) static COLLECTED_BYTES: Counter = Counter::new(
    "hakata_lfs_collected_bytes_total",
    "Bytes of LFS objects that were taken away from repositories because no commit points to them",
);
/// Collections that ended.
pub(super) static COLLECTIONS: CounterFamily<CollectionOutcome> = CounterFamily::new(
    "hakata_lfs_collections_total",
    "Searches of a repository for LFS objects that no commit points to, by how they ended",
);
/// Objects whose bytes were read again.
pub(super) static SCRUBBED: CounterFamily<ScrubOutcome> = CounterFamily::new(
    "hakata_lfs_scrubbed_total",
    "LFS objects whose bytes were checked, by what was found",
);
/// Bytes that were read for that.
pub(super) static SCRUBBED_BYTES: Counter =
    Counter::new("hakata_lfs_scrubbed_bytes_total", "Bytes of LFS objects that were checked");

/// Files on the way from one store to another.
pub(super) static MOVED: CounterFamily<MovedOutcome> = CounterFamily::new(
    "hakata_lfs_moved_files_total",
    "Files of LFS objects and packs that were to be moved to another store, by what became of them",
);

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![
        &ASKED,
        &SHARED,
        &ACTIVE,
        &TRANSFERS,
        &RECEIVED,
        &SENT,
        &PHASES,
        &LOCKS,
        &RESUMED,
        &SWEPT,
        &COLLECTED,
        &COLLECTED_BYTES,
        &COLLECTIONS,
        &SCRUBBED,
        &SCRUBBED_BYTES,
        &MOVED,
    ]
}

/// Makes a label of an enum of words.
macro_rules! label {
    ($($(#[$doc:meta])* $name:ident($key:literal) { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum $name { $($variant),+ }

        impl Label for $name {
            const KEY: &'static str = $key;

            fn value(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    )+};
}

label! {
    /// What a batch answers about an object.
    AskedOutcome("outcome") {
        Transfer = "transfer",
        Present = "present",
        Missing = "missing",
        Removed = "removed",
        Invalid = "invalid",
        TooLarge = "too_large",
        Full = "full",
    }
    /// How a transfer ended.
    TransferOutcome("outcome") {
        Done = "done",
        Known = "known",
        Part = "part",
        Wrong = "wrong",
        Full = "full",
        Broken = "broken",
        Failed = "failed",
    }
    /// A step.
    Phase("phase") {
        Batch = "batch",
        Store = "store",
        Commit = "commit",
        Locks = "locks",
    }
    /// What happened to an object that no commit points to.
    CollectedOutcome("outcome") {
        Quarantined = "quarantined",
        Revived = "revived",
        Taken = "taken",
        Postponed = "postponed",
    }
    /// How a search for such objects ended.
    CollectionOutcome("outcome") {
        Done = "done",
        LeftAlone = "left_alone",
        Failed = "failed",
    }
    /// What became of a file that was to be moved.
    MovedOutcome("outcome") {
        Copied = "copied",
        There = "there",
        Bad = "bad",
    }
    /// What was found of an object's bytes.
    ScrubOutcome("outcome") {
        Good = "good",
        Healed = "healed",
        Bad = "bad",
        Unreadable = "unreadable",
    }
    /// What happened to a lock.
    LockOutcome("outcome") {
        Made = "made",
        Taken = "taken",
        Released = "released",
        Forced = "forced",
        Guarded = "guarded",
    }
}

impl Label for Operation {
    const KEY: &'static str = "operation";

    fn value(self) -> &'static str {
        self.as_str()
    }
}

impl TransferOutcome {
    /// How a transfer ended that met this error, or none.
    pub(super) fn of(error: Option<&Error>) -> Self {
        match error {
            None => Self::Done,
            Some(error) if error.kind() == Kind::Invalid => Self::Wrong,
            Some(error) if error.kind() == Kind::TooLarge => Self::Full,
            Some(error) if error.is_client_left() => Self::Broken,
            Some(_) => Self::Failed,
        }
    }
}

/// A step under way; it is measured when dropped, however it ended.
pub(super) struct Step<'a> {
    phase: Phase,
    clock: &'a Clock,
    started: Duration,
}

impl<'a> Step<'a> {
    pub(super) fn begin(phase: Phase, clock: &'a Clock) -> Self {
        Self { phase, clock, started: clock.monotonic() }
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        PHASES.get(self.phase).observe_duration(self.clock.monotonic().saturating_sub(self.started));
    }
}
