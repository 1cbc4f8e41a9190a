//! What this face counts; requests as such are counted by the server below it, and operations of git by the
//! forge above.

use hakata_runtime::metrics::{CounterFamily, Label, Metric};

use crate::request_body::BodyError;

/// Bodies that were refused, by what was wrong with them.
pub(crate) static REFUSED: CounterFamily<Reason> =
    CounterFamily::new("hakata_git_http_bodies_refused_total", "Bodies of git requests refused, by reason");

/// Why a body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Empty, cut, or not what it says it is.
    Malformed,
    /// Larger than it may be.
    TooLarge,
    /// It inflates more than it may.
    Bomb,
    /// It never came whole.
    Broken,
    /// It came too slowly.
    TooSlow,
}

impl Label for Reason {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Bomb => "bomb",
            Self::Broken => "broken",
            Self::TooSlow => "too_slow",
        }
    }
}

impl From<&BodyError> for Reason {
    fn from(error: &BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::TooLarge,
            BodyError::Ratio { .. } => Self::Bomb,
            BodyError::Broken => Self::Broken,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Empty
            | BodyError::Truncated
            | BodyError::NotGzip
            | BodyError::NotPktLine
            | BodyError::Trailing => Self::Malformed,
        }
    }
}

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn Metric> {
    vec![&REFUSED]
}
