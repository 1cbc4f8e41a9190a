//! One line and one set of metrics per git operation, whatever the transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hakata_git::Spent;
use hakata_git::serve::FetchStats;
use hakata_names::RepositoryPath;
use hakata_runtime::metrics::{Counter, CounterFamily, HistogramFamily, Label, Metric, SECONDS};

use crate::{Actor, Error, Forge, Kind};

static OPERATIONS: CounterFamily<(Operation, Outcome)> =
    CounterFamily::new("hakata_git_operations_total", "Git operations, by operation and outcome");
static DURATION: HistogramFamily<Operation> =
    HistogramFamily::new("hakata_git_operation_duration_seconds", "How long git operations took", SECONDS);
static RECEIVED: Counter =
    Counter::new("hakata_git_received_bytes_total", "Bytes that clients sent to git operations");
static SENT: Counter =
    Counter::new("hakata_git_sent_bytes_total", "Bytes of packs and archives sent to clients");
static REFS: Counter = Counter::new("hakata_git_pushed_refs_total", "Refs that pushes changed");
static CREATED: Counter =
    Counter::new("hakata_repositories_created_by_push_total", "Repositories that a push created");

/// Lists the metrics of git operations.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&OPERATIONS, &DURATION, &RECEIVED, &SENT, &REFS, &CREATED]
}

/// Counts a repository that a push created.
pub(super) fn created() {
    CREATED.inc();
}

/// What an operation moved, for the access line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes read from the client.
    pub received_bytes: u64,
    /// Bytes of packs and archives written to the client.
    pub sent_bytes: u64,
    /// Refs that were changed; none for a fetch.
    pub n_refs: usize,
}

/// A git operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    AdvertiseFetch,
    AdvertisePush,
    Fetch,
    Push,
    Archive,
    Probe,
}

impl Label for Operation {
    const KEY: &'static str = "operation";

    fn value(self) -> &'static str {
        match self {
            Self::AdvertiseFetch => "advertise-fetch",
            Self::AdvertisePush => "advertise-push",
            Self::Fetch => "fetch",
            Self::Push => "push",
            Self::Probe => "probe",
            Self::Archive => "archive",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// As the client wished.
    Done,
    /// A push of which something was refused.
    Refused,
    /// The client's mistake, or a limit.
    Rejected,
    /// The client left.
    Abandoned,
    /// Something that we depend on is away, or we are stopping.
    Unavailable,
    /// Ours.
    Failed,
}

impl Outcome {
    fn of(error: &Error) -> Self {
        match error.kind() {
            Kind::Internal => Self::Failed,
            Kind::Unavailable if error.is_disk_full() => Self::Failed,
            Kind::Unavailable if error.is_client_left() => Self::Abandoned,
            Kind::Unavailable => Self::Unavailable,
            _ => Self::Rejected,
        }
    }
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}

impl Operation {
    pub(super) fn count(self, outcome: Outcome, took: Duration) {
        OPERATIONS.get((self, outcome)).inc();
        if !took.is_zero() {
            DURATION.get(self).observe_duration(took);
        }
    }
}

/// An operation under way. Dropped without [`finish`](Self::finish), it was abandoned by its client.
pub(super) struct Measured {
    forge: Forge,
    operation: Operation,
    path: RepositoryPath,
    actor: String,
    started: Duration,
    /// Processor time of the git that indexes a push.
    pub(super) spent: Spent,
    pub(super) moved: Moved,
    /// What git did for a fetch or an archive.
    pub(super) stats: FetchStats,
    received: Arc<AtomicU64>,
    /// Refs that a push asked for and did not get.
    pub(super) n_refused: usize,
    /// Whether nothing happened but that refs were listed, or a client asked whether it is let in, which the face's own
    /// line tells as well.
    pub(super) is_listing: bool,
    is_finished: bool,
}

impl Measured {
    pub(super) fn start(forge: &Forge, operation: Operation, path: &RepositoryPath, actor: &Actor) -> Self {
        Self {
            forge: forge.clone(),
            operation,
            path: path.clone(),
            actor: actor.name().to_owned(),
            started: forge.clock().monotonic(),
            spent: Spent::default(),
            moved: Moved::default(),
            stats: FetchStats::default(),
            received: Arc::default(),
            n_refused: 0,
            is_listing: false,
            is_finished: false,
        }
    }

    /// Tells where the client's bytes are counted.
    pub(super) fn received(&self) -> Arc<AtomicU64> {
        self.received.clone()
    }

    /// Notes that the request is none: git asks by an empty one whether it is let in, before it sends a large push.
    pub(super) fn probed(&mut self) {
        self.operation = Operation::Probe;
        self.is_listing = true;
    }

    /// Writes the line and the metrics.
    pub(super) fn finish(mut self, result: Result<(), Error>) -> Result<Moved, Error> {
        let outcome = match &result {
            Ok(()) if self.n_refused > 0 => Outcome::Refused,
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::of(error),
        };
        self.write(outcome);
        result.map(|()| self.moved)
    }

    fn write(&mut self, outcome: Outcome) {
        self.is_finished = true;
        self.moved.received_bytes = self.received.load(Ordering::Relaxed);
        self.moved.sent_bytes = self.stats.sent_bytes;
        let cpu = self.spent.total() + self.stats.cpu;
        let took = self.forge.clock().monotonic().saturating_sub(self.started).max(Duration::from_nanos(1));
        self.operation.count(outcome, took);
        RECEIVED.add(self.moved.received_bytes);
        SENT.add(self.moved.sent_bytes);
        REFS.add(self.moved.n_refs as u64);
        if self.is_listing && outcome == Outcome::Done {
            return;
        }
        tracing::info!(
            operation = self.operation.value(),
            outcome = outcome.value(),
            repository.path = %self.path,
            user = %self.actor,
            refs.changed = self.moved.n_refs,
            refs.refused = self.n_refused,
            received_bytes = self.moved.received_bytes,
            sent_bytes = self.moved.sent_bytes,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            children.cpu_ms = u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
            "git operation"
        );
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.is_finished {
            self.write(Outcome::Abandoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Outcome;
    use crate::{Error, Kind};

    #[test]
    fn a_full_disk_is_no_client_that_left() {
        assert_eq!(Outcome::of(&Error::internal(io::Error::from_raw_os_error(28))), Outcome::Failed);
        assert_eq!(Outcome::of(&Error::repository_not_found()), Outcome::Rejected);
    }

    #[test]
    fn a_database_that_is_away_is_no_client_that_left() {
        let away = Error::new(Kind::Unavailable, "the database is not available");
        assert_eq!(Outcome::of(&away), Outcome::Unavailable);
        let left = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Outcome::of(&Error::client_left(left)), Outcome::Abandoned);
    }
}
