//! Why a request to the bucket came to nothing, and whether another try may help.

use std::io;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;

use super::metrics::Outcome;
use super::xml::Refusal;

/// Why a request to the bucket came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The engine said no.
    #[error("the bucket's engine answers {status}{}", said(.code, .message))]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its word for the reason, such as `AccessDenied`; empty if it has none.
        code: String,
        /// What it says to people.
        message: String,
        /// The region that the bucket is in, if the engine says that it is another.
        region: Option<String>,
        /// When to come again, if it says so.
        retry_after: Option<Duration>,
        /// How far its clock is from ours, to the second, if it tells the time.
        clocks_apart: Option<Duration>,
    },
    /// The engine cannot be connected to.
    #[error("connecting to the bucket's engine at {at}")]
    Connect {
        /// Host and port.
        at: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("talking to the bucket's engine")]
    Broken(#[source] hyper::Error),
    /// The engine did not answer in time.
    #[error("the bucket's engine did not answer within {0:?}")]
    TimedOut(Duration),
    /// Every connection that may be open is in use, and stayed so; with the key that says how many there are.
    #[error("all connections to the bucket's engine are in use: {0}")]
    Busy(&'static str),
    /// The answer is not what the protocol says.
    #[error("the bucket's engine gave an answer that is none: {0}")]
    Odd(&'static str),
    /// There are no credentials.
    #[error("finding credentials for the bucket: {0}")]
    Credentials(String),
}

/// Puts what the engine said behind its status.
fn said(code: &str, message: &str) -> String {
    match (code, message) {
        ("", _) => String::new(),
        (code, "") => format!(": {code}"),
        (code, message) => format!(": {code}: {}", message.trim_end_matches('.')),
    }
}

impl S3Error {
    pub(super) fn refused(status: StatusCode, refusal: Option<Refusal>, headers: &HeaderMap) -> Self {
        let Refusal { code, message, region } = refusal.unwrap_or_default();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let retry_after = text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        let date = text(header::DATE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let apart = |date: jiff::Zoned| Timestamp::now().duration_since(date.timestamp()).unsigned_abs();
        Self::Refused {
            status: status.as_u16(),
            code,
            message,
            region,
            retry_after: retry_after.map(Duration::from_secs),
            clocks_apart: date.map(apart),
        }
    }

    /// Returns the engine's word for the reason; empty if it gave none.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// Returns the status of the engine's answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Tells whether what was asked for does not exist.
    pub(super) fn is_absent(&self) -> bool {
        self.status() == Some(404) && self.code() != "NoSuchBucket"
    }

    /// Tells whether the same request may be answered another time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
                    // A body that was damaged or slow on the way, and two writers of one key.
                    || matches!(
                        code.as_str(),
                        "BadDigest" | "RequestTimeout" | "IncompleteBody" | "InternalError" | "SlowDown" | "OperationAborted"
                    )
                    || self.is_expired()
            }
            Self::Connect { .. } | Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Busy(_) | Self::Odd(_) | Self::Credentials(_) => false,
        }
    }

    /// Tells whether fresh credentials may help.
    pub(super) fn is_expired(&self) -> bool {
        matches!(self.code(), "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired")
    }

    /// Returns when the engine wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Tells whether the engine refuses signatures because one of the clocks is wrong.
    pub(super) fn is_skew(&self) -> bool {
        const MOST: Duration = Duration::from_secs(15 * 60);
        match self {
            Self::Refused { status: 400 | 403, code, clocks_apart, .. } => {
                matches!(code.as_str(), "RequestTimeTooSkewed" | "RequestExpired" | "ExpiredRequest")
                    || clocks_apart.is_some_and(|apart| apart >= MOST)
            }
            _ => false,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            _ if self.is_absent() => Outcome::Absent,
            Self::Refused { status: 429 | 503, .. } => Outcome::Throttled,
            Self::Refused { status: 500.., .. } => Outcome::EngineError,
            Self::Refused { code, .. } if matches!(code.as_str(), "SlowDown" | "InternalError") => {
                Outcome::EngineError
            }
            Self::Refused { .. } | Self::Credentials(_) => Outcome::Refused,
            Self::Connect { .. } | Self::Busy(_) => Outcome::Unreachable,
            Self::TimedOut(_) => Outcome::TimedOut,
            Self::Broken(_) | Self::Odd(_) => Outcome::Broken,
        }
    }

    /// Makes it an error of input and output, which those of all engines are to their callers.
    pub(super) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Refused { status: 401 | 403, .. } | Self::Credentials(_) => io::ErrorKind::PermissionDenied,
            Self::Refused { status: 404, .. } => io::ErrorKind::NotFound,
            Self::Connect { source, .. } => source.kind(),
            Self::TimedOut(_) => io::ErrorKind::TimedOut,
            Self::Busy(_) => io::ErrorKind::ResourceBusy,
            Self::Broken(_) => io::ErrorKind::ConnectionAborted,
            Self::Refused { .. } | Self::Odd(_) => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}
