//! Why a command ended without doing what it was asked, and the exit code that says so.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Exit codes of the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// 1: it was tried and did not work.
    Failed,
    /// 2: it was asked wrongly; the command line or the configuration must change.
    Usage,
    /// 3: what it is about does not exist.
    NotFound,
    /// 4: it may not be done now, or by this process.
    Refused,
}

/// A failure in the shape that both formats print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The exit code's name.
    pub(crate) exit: Exit,
    /// A word for programs: `not_found`, `configuration`.
    pub(crate) kind: String,
    /// What was being done and what stood in the way.
    pub(crate) message: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Says that it was tried and did not work; the causes follow the act, each once.
    pub(crate) fn failed(act: impl fmt::Display, source: &dyn Error) -> Self {
        Self::new(Exit::Failed, "failed", format!("{act}: {}", chain(source)))
    }

    /// Says that the command line or the configuration is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Says that it may not be done now.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, "refused", message)
    }

    /// Makes a failure of any kind.
    pub(crate) fn new(exit: Exit, kind: &str, message: impl Into<String>) -> Self {
        Self { exit, kind: kind.to_owned(), message: message.into(), hint: None }
    }

    /// Adds what a person can do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The object of `--json`.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "error": { "kind": self.kind, "message": self.message, "hint": self.hint } })
    }
}

/// Joins the sentences of an error and its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hakata: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Refused => 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_on_its_own_in_both_formats() {
        let cause = std::io::Error::other("disk is full");
        let failure = Failure::failed("writing h.toml", &cause).with_hint("make room");
        assert_eq!(failure.to_string(), "hakata: writing h.toml: disk is full\nhint: make room");
        let object = json!({"error": {"kind": "failed", "message": "writing h.toml: disk is full", "hint": "make room"}});
        assert_eq!(failure.to_json(), object);
    }
}
