//! What workers count.

use std::time::Duration;

use hakata_forge::jobs::{Kind, Settled, Waiting};
use hakata_runtime::metrics::{
    Counter, CounterFamily, Gauge, GaugeFamily, HistogramFamily, Label, Metric, SECONDS,
};

use crate::rabbit::Link;

static JOBS: GaugeFamily<(Kind, State)> =
    GaugeFamily::new("hakata_jobs", "Jobs that are not done, over all nodes, counted now and then");
static OLDEST: GaugeFamily<Kind> = GaugeFamily::new(
    "hakata_jobs_oldest_seconds",
    "How long ago the time of the waiting job came that waits the longest",
);
static ATTEMPTS: CounterFamily<(Kind, End)> =
    CounterFamily::new("hakata_job_attempts_total", "Attempts at jobs on this node");
static TOOK: HistogramFamily<(Kind, End)> =
    HistogramFamily::new("hakata_job_seconds", "Time of one attempt at a job", SECONDS);
pub(crate) static LAPSED: Counter =
    Counter::new("hakata_jobs_lapsed_total", "Claims of workers that went away, released here");
pub(crate) static CLAIM_FAILURES: Counter =
    Counter::new("hakata_job_claim_failures_total", "Claims that the database did not answer");
pub(crate) static TOLD: Gauge = Gauge::new(
    "hakata_jobs_told",
    "1: this process is told of jobs of other processes; 0: it looks for them, or there are none",
);
pub(crate) static ANNOUNCED: CounterFamily<Announced> = CounterFamily::new(
    "hakata_job_announcements_total",
    "Times that this process told others of its jobs, or tried to",
);

pub(crate) static RELAY_LAG: Gauge = Gauge::new(
    "hakata_relay_lag_seconds",
    "How long a job has waited to be named to the broker, over all nodes",
);
pub(crate) static PUBLISHED: CounterFamily<Published> =
    CounterFamily::new("hakata_relay_messages_total", "Messages to the broker by what became of them");
pub(crate) static UNCONFIRMED: Gauge =
    Gauge::new("hakata_relay_unconfirmed", "Messages that the broker has not confirmed yet");
pub(crate) static UP: GaugeFamily<Link> =
    GaugeFamily::new("hakata_broker_up", "1: the connection to the broker stands and can be used");
pub(crate) static MISDECLARED: GaugeFamily<Link> = GaugeFamily::new(
    "hakata_broker_misdeclared",
    "1: the broker has an exchange or a queue that differs from what this release declares",
);
pub(crate) static CONNECTS: CounterFamily<Link> =
    CounterFamily::new("hakata_broker_connects_total", "Connections to the broker that came to stand");
pub(crate) static RECEIVED: CounterFamily<Kind> =
    CounterFamily::new("hakata_broker_received_total", "Messages of the broker that named a job");
pub(crate) static PASSED: CounterFamily<Kind> = CounterFamily::new(
    "hakata_broker_passed_total",
    "Messages of the broker whose job could not be claimed just then, for a limit, its lane or its kind",
);
pub(crate) static BAD_MESSAGES: Counter =
    Counter::new("hakata_broker_bad_messages_total", "Messages of the broker that named no job");

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Announced {
    /// Who listens was told.
    Told,
    /// Nobody was; it is tried again.
    Failed,
}

impl Label for Announced {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Failed => "failed",
        }
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Published {
    /// The broker has it.
    Confirmed,
    /// The broker refused it, as its queue is full.
    Refused,
    /// No queue took it.
    Returned,
    /// The connection was gone first, or nothing came in time.
    Lost,
}

impl Label for Published {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::Returned => "returned",
            Self::Lost => "lost",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Finished,
    Retried,
    Buried,
    Lost,
    Cut,
}

impl Label for End {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Retried => "retried",
            Self::Buried => "buried",
            Self::Lost => "lost",
            Self::Cut => "cut",
        }
    }
}

impl From<Settled> for End {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Finished => Self::Finished,
            Settled::Retried => Self::Retried,
            Settled::Buried => Self::Buried,
            Settled::Lost => Self::Lost,
        }
    }
}

/// Where a job is in its life, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Waiting,
    Running,
    Buried,
}

impl Label for State {
    const KEY: &'static str = "state";

    fn value(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Buried => "buried",
        }
    }
}

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn Metric> {
    vec![
        &JOBS,
        &OLDEST,
        &ATTEMPTS,
        &TOOK,
        &LAPSED,
        &CLAIM_FAILURES,
        &TOLD,
        &ANNOUNCED,
        &RELAY_LAG,
        &PUBLISHED,
        &UNCONFIRMED,
        &UP,
        &MISDECLARED,
        &CONNECTS,
        &RECEIVED,
        &PASSED,
        &BAD_MESSAGES,
    ]
}

pub(crate) fn ended(kind: Kind, end: End, took: Duration) {
    ATTEMPTS.get((kind, end)).inc();
    TOOK.get((kind, end)).observe_duration(took);
}

/// Shows what was counted; what is not mentioned is none.
pub(crate) fn counted(counts: &[Waiting]) {
    for &kind in Kind::ALL {
        for state in [State::Waiting, State::Running, State::Buried] {
            let found = counts.iter().find(|count| count.kind == kind && word(count) == state.value());
            JOBS.get((kind, state)).set(found.map_or(0, |count| count.n_jobs));
            if state == State::Waiting {
                let oldest =
                    found.map_or(0, |count| i64::try_from(count.oldest.as_secs()).unwrap_or(i64::MAX));
                OLDEST.get(kind).set(oldest);
            }
        }
    }
}

fn word(count: &Waiting) -> &'static str {
    match count.state.as_str() {
        "claimed" => State::Running.value(),
        other => other,
    }
}
