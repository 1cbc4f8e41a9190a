//! What clients count.

use hakata_runtime::metrics::{CounterFamily, GaugeFamily, HistogramFamily, Label, Metric};

use crate::route::Route;
use crate::status::{Code, Status};
use crate::v1::Operation;

pub(crate) static CALLS: CounterFamily<(Operation, Route, Outcome)> =
    CounterFamily::new("hakata_rpc_client_calls_total", "Operations asked for, by route and how they ended");
pub(crate) static SECONDS: HistogramFamily<Route> = HistogramFamily::new(
    "hakata_rpc_client_call_seconds",
    "Time from question to whole answer",
    &[0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0],
);
pub(crate) static SHADOWS: CounterFamily<(Operation, Comparison)> =
    CounterFamily::new("hakata_rpc_client_shadows_total", "Answers compared with those of a second route");
pub(crate) static FALLBACKS: CounterFamily<Operation> = CounterFamily::new(
    "hakata_rpc_client_fallbacks_total",
    "Operations answered by the route that stands in after errors of the transport",
);
pub(crate) static RETRIES: CounterFamily<Operation> = CounterFamily::new(
    "hakata_rpc_client_retries_total",
    "Questions asked again after errors of the transport",
);

pub(crate) static RESUMED: CounterFamily<Operation> = CounterFamily::new(
    "hakata_rpc_client_resumed_total",
    "Answers in parts that were taken up behind their last part after errors of the transport",
);
pub(crate) static RESTS: CounterFamily<(Operation, Route)> = CounterFamily::new(
    "hakata_rpc_client_rests_total",
    "Times that a route was given a rest after several errors of the transport in a row",
);
pub(crate) static RESTING: GaugeFamily<Route> = GaugeFamily::new(
    "hakata_rpc_client_resting_operations",
    "Operations that are answered by the route that stands in, because theirs has a rest",
);
pub(crate) static CONNECTS: CounterFamily<(Route, Connected)> =
    CounterFamily::new("hakata_rpc_client_connects_total", "Connections to servers, tried and made");
pub(crate) static CONNECTIONS: GaugeFamily<Route> =
    GaugeFamily::new("hakata_rpc_client_connections_open", "Connections to servers that stand");
pub(crate) static CONFIGURED: CounterFamily<Configured> = CounterFamily::new(
    "hakata_rpc_client_reloads_total",
    "Configurations of routes read while the program runs, by what came of them",
);

/// What came of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Connected {
    Stands,
    Failed,
}

/// What came of new routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Configured {
    Applied,
    Refused,
}

impl Label for Connected {
    const KEY: &'static str = "result";

    fn value(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Failed => "failed",
        }
    }
}

impl Label for Configured {
    const KEY: &'static str = "result";

    fn value(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

/// How a call ended: a code of [`Code`], or well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outcome(&'static str);

impl Outcome {
    pub(crate) const OK: Self = Self("OK");

    pub(crate) fn of(status: &Status) -> Self {
        Self(Code::name(status.code))
    }
}

/// What a comparison of two answers said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Comparison {
    Equal,
    Different,
    Failed,
    Skipped,
}

impl Label for Comparison {
    const KEY: &'static str = "result";

    fn value(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        self.0
    }
}

impl Label for Route {
    const KEY: &'static str = "route";

    fn value(self) -> &'static str {
        self.name()
    }
}

impl Label for Operation {
    const KEY: &'static str = "operation";

    fn value(self) -> &'static str {
        self.key()
    }
}

/// Lists the metrics that this crate keeps, for [`hakata_runtime::metrics::register`].
pub fn metrics() -> Vec<&'static dyn Metric> {
    vec![
        &CALLS,
        &SECONDS,
        &SHADOWS,
        &FALLBACKS,
        &RETRIES,
        &RESUMED,
        &RESTS,
        &RESTING,
        &CONNECTS,
        &CONNECTIONS,
        &CONFIGURED,
    ]
}
