//! What the errors of git in an operator's folder mean to a client.

use hakata_git::ChildError;
use hakata_git::bare::{AnswerError, ConverseError, OpenFileError, ReadConfigurationError};

use crate::{Error, Kind};

/// What an operator can do about a repository that git refuses.
const REFUSED: &str = "the operator finds git's reason in the log; for dubious ownership it is: \
                       git config --global --add safe.directory PATH, or serve the folder as its owner";

impl From<ReadConfigurationError> for Error {
    fn from(error: ReadConfigurationError) -> Self {
        match error {
            ReadConfigurationError::Busy(busy) => busy.into(),
            ReadConfigurationError::Child(child) => of_child(child),
            ReadConfigurationError::Refused { .. } => Self::internal(error).with_hint(REFUSED),
        }
    }
}

impl From<AnswerError> for Error {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Configuration(error) => error.into(),
            AnswerError::Child(child) => of_child(child),
            AnswerError::Busy(busy) => busy.into(),
        }
    }
}

impl From<OpenFileError> for Error {
    fn from(error: OpenFileError) -> Self {
        Self::new(Kind::Unavailable, "the server is busy or stopping").with_source(error)
    }
}

impl From<ConverseError> for Error {
    fn from(error: ConverseError) -> Self {
        match error {
            ConverseError::Request(_) => Self::new(Kind::Invalid, "the request broke off").with_source(error),
            ConverseError::Gone(_) => Self::new(Kind::Unavailable, "the client left").with_source(error),
            ConverseError::Child(child) => of_child(child),
        }
    }
}

/// A git that could not be had now, or failed at what it does not fail at.
pub(super) fn of_child(error: ChildError) -> Error {
    match error {
        ChildError::Limited(limited) => limited.into(),
        error => Error::internal(error),
    }
}
