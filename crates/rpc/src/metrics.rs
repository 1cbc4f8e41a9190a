//! What clients count.

use hakata_runtime::metrics::{CounterFamily, HistogramFamily, Label, Metric};

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
    vec![&CALLS, &SECONDS, &SHADOWS, &FALLBACKS, &RETRIES]
}
