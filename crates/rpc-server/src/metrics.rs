//! What the servers count.

use hakata_rpc::{Operation, Status};
use hakata_runtime::metrics::{CounterFamily, Gauge, GaugeFamily, HistogramFamily, Label, Metric};

pub(crate) static CALLS: CounterFamily<(Operation, Protocol, Outcome)> =
    CounterFamily::new("hakata_rpc_calls_total", "Operations served, by protocol and how they ended");
pub(crate) static SECONDS: HistogramFamily<(Operation, Protocol)> = HistogramFamily::new(
    "hakata_rpc_call_seconds",
    "Time from request to the end of the answer",
    &[0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0],
);
pub(crate) static OPEN: GaugeFamily<Protocol> =
    GaugeFamily::new("hakata_rpc_calls_open", "Operations that are being served");
pub(crate) static REFUSED: CounterFamily<(Protocol, Refusal)> = CounterFamily::new(
    "hakata_rpc_refused_total",
    "Connections and requests that reached no operation, by reason",
);

pub(crate) static LIMITS_MET: CounterFamily<Limit> = CounterFamily::new(
    "hakata_rpc_limits_met_total",
    "Calls that were refused, or answered in part, because of what one call may have",
);
pub(crate) static WAITING: GaugeFamily<Waiting> = GaugeFamily::new(
    "hakata_rpc_waiting",
    "What waits on MessagePack-RPC connections for the next question of its caller",
);
pub(crate) static UPLOADING: Gauge = Gauge::new(
    "hakata_rpc_uploading_bytes",
    "Room taken by contents that come beside the requests of calls under way",
);
pub(crate) static SPOOLED: Gauge =
    Gauge::new("hakata_rpc_spooled_bytes", "Bytes of long answers in files, waiting for their next page");
pub(crate) static LAST_COMMITS: CounterFamily<Source> = CounterFamily::new(
    "hakata_rpc_last_commits_total",
    "Questions for the last commits of a directory, by where the answer came from",
);
pub(crate) static LAST_COMMITS_BYTES: Gauge =
    Gauge::new("hakata_rpc_last_commits_bytes", "Memory of last commits that are kept, estimated");
pub(crate) static TIPS_BYTES: Gauge =
    Gauge::new("hakata_rpc_tips_bytes", "Memory of what the tips of refs say, estimated");

/// What one call may not have too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    Changes,
    Commits,
    Refs,
    Pairs,
    Objects,
    Names,
    Found,
    Upload,
    Uploads,
    Made,
}

impl Label for Limit {
    const KEY: &'static str = "limit";

    fn value(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Commits => "commits",
            Self::Refs => "refs",
            Self::Pairs => "pairs",
            Self::Objects => "objects",
            Self::Names => "names",
            Self::Found => "found",
            Self::Upload => "upload",
            Self::Uploads => "uploads",
            Self::Made => "made",
        }
    }
}

/// What waits for the next question of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiting {
    /// An answer, under a handle.
    Answer,
    /// An answer, where its cursor says.
    Cursor,
    /// A request that comes in parts.
    Request,
}

impl Label for Waiting {
    const KEY: &'static str = "what";

    fn value(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Cursor => "cursor",
            Self::Request => "request",
        }
    }
}

/// Where the last commits of a directory came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The answer was kept.
    Memory,
    /// An answer was kept for a commit further down.
    Ancestor,
    /// History was walked.
    History,
}

impl Label for Source {
    const KEY: &'static str = "from";

    fn value(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Ancestor => "ancestor",
            Self::History => "history",
        }
    }
}

/// How a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Grpc,
    Msgpack,
}

/// Why something reached no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    Unauthenticated,
    Unknown,
    Malformed,
    TooSlow,
}

/// How a call ended: a code, or well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outcome(&'static str);

impl Outcome {
    pub(crate) const OK: Self = Self("OK");

    pub(crate) fn of(status: &Status) -> Self {
        Self(status.code.name())
    }
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        self.0
    }
}

impl Label for Protocol {
    const KEY: &'static str = "protocol";

    fn value(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Msgpack => "msgpack",
        }
    }
}

impl Label for Refusal {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::TooSlow => "too_slow",
        }
    }
}

/// Lists the metrics that this crate keeps, for [`hakata_runtime::metrics::register`].
pub fn metrics() -> Vec<&'static dyn Metric> {
    vec![
        &CALLS,
        &SECONDS,
        &OPEN,
        &REFUSED,
        &LIMITS_MET,
        &WAITING,
        &UPLOADING,
        &SPOOLED,
        &LAST_COMMITS,
        &LAST_COMMITS_BYTES,
        &TIPS_BYTES,
    ]
}
