//! The one error that faces see.

mod convert;
mod disk_full;
mod log;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

pub(crate) use disk_full::metrics;

/// What sort of refusal an error is; each face has one table from this to its protocol's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It does not exist, or the actor may not know that it does.
    NotFound,
    /// Nobody is signed in, or the credentials are wrong: the client may offer others.
    Unauthenticated,
    /// The actor may see it, but not do this.
    Forbidden,
    /// The request makes no sense.
    Invalid,
    /// It was moved, taken or locked by somebody else.
    Conflict,
    /// A size limit.
    TooLarge,
    /// Too much at once; [`Error::retry_after`] says when to come again.
    Limited,
    /// Something that we depend on is away, or we are stopping.
    Unavailable,
    /// Our fault.
    Internal,
}

impl Kind {
    /// Returns the kind's word: snake_case, as in JSON and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

/// What is said of an LFS object that an owner removed.
pub(crate) const REMOVED: &str = "the object was removed by an owner of the repository";

const CLIENT_LEFT: &str = "the client left";
const UNKNOWN_OUTCOME: &str =
    "the database broke off while this was stored, and it is not known whether it was";

/// Why forge did not do what it was asked.
///
/// `Display` is the public sentence, safe for a stranger; the chain behind [`StdError::source`] is for the
/// log, which the face writes once.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    public: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error from its kind and its public sentence.
    pub fn new(kind: Kind, public: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, public: public.into(), hint: None, retry_after: None, source: None }
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Makes the answer for a repository that is absent or hidden: one answer for both.
    pub fn repository_not_found() -> Self {
        Self::new(Kind::NotFound, "repository not found")
    }

    /// Makes the answer that asks an anonymous client for credentials.
    pub fn sign_in() -> Self {
        Self::new(Kind::Unauthenticated, "authentication required")
    }

    /// Makes the answer for an LFS object that an owner removed for good.
    pub(crate) fn removed() -> Self {
        Self::new(Kind::NotFound, REMOVED)
    }

    /// Tells whether something was there and was removed for good, as protocols can tell.
    pub fn is_removed(&self) -> bool {
        self.public == REMOVED
    }

    /// Makes the end of a request whose client is not there any more.
    pub(crate) fn client_left(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Unavailable, CLIENT_LEFT).with_source(source)
    }

    /// Makes the answer to a change that may be durable or not: nothing must be promised.
    pub(crate) fn unknown_outcome(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Unavailable, UNKNOWN_OUTCOME)
            .with_hint("look whether it was before you repeat it")
            .with_source(source)
    }

    /// Tells whether the client left, or its connection failed.
    pub(crate) fn is_client_left(&self) -> bool {
        self.public == CLIENT_LEFT
    }

    /// Tells whether it is not known whether something was stored.
    pub(crate) fn is_unknown_outcome(&self) -> bool {
        self.public == UNKNOWN_OUTCOME
    }

    /// Tells whether a person should read this at once, where a program would only come again.
    pub(crate) fn is_for_a_person(&self) -> bool {
        self.is_disk_full() || self.public == UNKNOWN_OUTCOME
    }

    /// Makes an error of our own fault; the stranger learns nothing but that, or that the disk is full.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::unless_full(Kind::Internal, "internal error", source)
    }

    /// Makes an error with a sentence of its own, unless a full disk is behind it or nobody knows what was done.
    pub(crate) fn unless_full(
        kind: Kind,
        public: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        match &*source {
            // First: of a full disk we say that nothing is lost.
            error if convert::is_unknown(error) => Self::unknown_outcome(source),
            error if disk_full::is_disk_full(error) => Self::disk_full(source),
            _ => Self::new(kind, public).with_source(source),
        }
    }

    /// Tells the kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells the sentence that a stranger may read.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Tells what a person can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Tells when it makes sense to try again: always set for [`Kind::Limited`].
    pub fn retry_after(&self) -> Option<Duration> {
        match (self.kind, self.retry_after) {
            (Kind::Limited | Kind::Unavailable, None) => Some(Duration::from_secs(5)),
            (_, after) => after,
        }
    }

    /// Renders the cause and its causes in one line, for the log.
    pub fn chain(&self) -> String {
        let mut line = String::new();
        let mut cause = self.source.as_deref().map(|source| source as &dyn StdError);
        while let Some(error) = cause {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&error.to_string());
            cause = error.source();
        }
        hakata_names::escape_controls(line.as_bytes())
    }

    /// Renders the error as the text of an `ERR` pkt-line: the sentence, when to come again, and the hint.
    pub fn err_line(&self) -> String {
        let mut line = self.public.to_string();
        if let (Kind::Limited | Kind::Unavailable, Some(after)) = (self.kind, self.retry_after()) {
            line.push_str(&format!(", try again in {} s", after.as_secs().max(1)));
        }
        if let Some(hint) = &self.hint {
            line.push_str(&format!(" (hint: {hint})"));
        }
        hakata_names::escape_controls(line.as_bytes())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Error, Kind};

    #[test]
    fn a_limited_error_says_when_to_come_again() {
        let error = Error::new(Kind::Limited, "too many fetches").with_retry_after(Duration::from_secs(7));
        assert_eq!(error.err_line(), "too many fetches, try again in 7 s");
        assert!(Error::new(Kind::Limited, "busy").retry_after().is_some());
    }

    #[test]
    fn the_cause_is_in_the_chain_and_not_in_the_sentence() {
        let error = Error::internal(std::io::Error::other("disk\x1b gone"));
        assert_eq!(error.to_string(), "internal error");
        assert_eq!(error.chain(), "disk\\u{1b} gone");
    }
}
