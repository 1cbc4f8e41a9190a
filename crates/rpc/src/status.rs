//! How an operation fails, whatever carried it.

use std::fmt;
use std::time::Duration;

use crate::v1::{ConflictingPath, ErrorDetail, Moved};

/// Why, in the words of gRPC, which number the same everywhere. Source: grpc.io, "Status codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The caller left.
    Cancelled = 1,
    /// Something answered that does not follow the contract.
    Unknown = 2,
    /// The request makes no sense, whatever the state of the repository.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// There is no such repository, ref, object or path.
    NotFound = 5,
    /// The token is good, but not for this.
    PermissionDenied = 7,
    /// A limit was met.
    ResourceExhausted = 8,
    /// The state of the repository does not allow it.
    FailedPrecondition = 9,
    /// Somebody else was faster: look again, then decide.
    Aborted = 10,
    /// There is no such operation.
    Unimplemented = 12,
    /// A fault of the server; its log tells.
    Internal = 13,
    /// It does not answer now; trying again makes sense.
    Unavailable = 14,
    /// No token, or a wrong one.
    Unauthenticated = 16,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::Unauthenticated,
    ];

    /// Finds a code by its number; one that is not used here is [`Code::Unknown`].
    pub fn of(number: i32) -> Self {
        Self::ALL.into_iter().find(|code| *code as i32 == number).unwrap_or(Self::Unknown)
    }

    /// Returns its name: `NOT_FOUND`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// Who says that it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The operation: asking again, or somebody else, makes no difference.
    #[default]
    Operation,
    /// What should have carried it: nobody may have seen the request, or the answer was lost.
    Transport,
}

/// A failure. Its message is a sentence for whoever wrote the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Who says so.
    pub origin: Origin,
    /// Why.
    pub code: Code,
    /// What was being done and what is wrong.
    pub message: String,
    /// What a caller can act on.
    pub detail: Option<Box<ErrorDetail>>,
}

impl Status {
    /// Makes one without detail.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { origin: Origin::Operation, code, message: message.into(), detail: None }
    }

    /// The server cannot be reached, or its answer was lost.
    pub fn unreached(message: impl Into<String>) -> Self {
        Self { origin: Origin::Transport, ..Self::new(Code::Unavailable, message) }
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// A ref is not where the caller thinks.
    pub fn moved(message: impl Into<String>, moved: Moved) -> Self {
        Self::new(Code::Aborted, message).with(ErrorDetail { moved: Some(moved), ..ErrorDetail::default() })
    }

    /// Paths stand in the way.
    pub fn conflict(message: impl Into<String>, paths: Vec<ConflictingPath>) -> Self {
        Self::new(Code::FailedPrecondition, message).with(ErrorDetail { paths, ..ErrorDetail::default() })
    }

    /// Tells when to try again.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        let retry_after_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.with(ErrorDetail { retry_after_ms, ..ErrorDetail::default() })
    }

    /// Adds detail.
    #[must_use]
    pub fn with(mut self, detail: ErrorDetail) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Status {}
