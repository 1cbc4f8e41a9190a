//! What this face counts; what becomes of objects and locks is counted by the forge above.

use hakata_runtime::metrics::{CounterFamily, Gauge, Label, Metric};
use http::StatusCode;

use crate::route::What;

/// Requests, by what they asked for and how that ended.
pub(crate) static REQUESTS: CounterFamily<(Request, Outcome)> =
    CounterFamily::new("hakata_lfs_requests_total", "LFS requests, by what they asked for and outcome");

/// Sessions over SSH under way.
pub(crate) static SESSIONS: Gauge =
    Gauge::new("hakata_lfs_ssh_sessions", "Sessions of LFS over SSH under way");
/// Requests over SSH, by what they asked for and how that ended.
pub(crate) static SSH_REQUESTS: CounterFamily<(Request, Outcome)> = CounterFamily::new(
    "hakata_lfs_ssh_requests_total",
    "LFS requests over SSH, by what they asked for and outcome",
);

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn Metric> {
    vec![&REQUESTS, &SESSIONS, &SSH_REQUESTS]
}

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Request {
    Batch,
    Download,
    Upload,
    Verify,
    Locks,
    None,
}

impl From<Option<&What>> for Request {
    fn from(what: Option<&What>) -> Self {
        match what {
            None => Self::None,
            Some(What::Batch) => Self::Batch,
            Some(What::Get(_) | What::Head(_)) => Self::Download,
            Some(What::Put(_) | What::Tus(_)) => Self::Upload,
            Some(What::Verify(_)) => Self::Verify,
            Some(What::Lock | What::ListLocks(_) | What::VerifyLocks | What::Unlock(_)) => Self::Locks,
        }
    }
}

impl Label for Request {
    const KEY: &'static str = "request";

    fn value(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Verify => "verify",
            Self::Locks => "locks",
            Self::None => "none",
        }
    }
}

/// How a request ended, as far as its status tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Done,
    SignIn,
    Refused,
    Limited,
    Failed,
}

impl From<StatusCode> for Outcome {
    fn from(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::SignIn,
            StatusCode::TOO_MANY_REQUESTS => Self::Limited,
            status if status.is_server_error() => Self::Failed,
            status if status.is_client_error() => Self::Refused,
            _ => Self::Done,
        }
    }
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::SignIn => "sign_in",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Failed => "failed",
        }
    }
}
