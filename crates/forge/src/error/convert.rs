//! What the errors of lower floors mean to a client.

use std::error::Error as StdError;

use hakata_git::serve::ServeError;
use hakata_names::ParseNameError;
use hakata_repository::{CommitError, LifeError, OpenError};
use hakata_runtime::blocking::BlockingError;
use hakata_runtime::limit::Limited;
use hakata_store::{Conflict, StoreError};

use super::{Error, Kind};

/// Tells whether a change is behind an error that may be durable or not.
pub(super) fn is_unknown(error: &(dyn StdError + 'static)) -> bool {
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(CommitError::Unknown(_)), _) | (_, Some(StoreError::CommitUnknown(_))) => true,
        // Asking showed what became of it.
        (Some(CommitError::RolledBack(_)), _) => false,
        _ => error.source().is_some_and(is_unknown),
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            return Self::unless_full(Kind::Unavailable, "the database is not available", error);
        }
        Self::internal(error)
    }
}

impl From<Limited> for Error {
    fn from(limited: Limited) -> Self {
        let after = limited.retry_after;
        Self::new(Kind::Limited, "the server is busy").with_retry_after(after).with_source(limited)
    }
}

impl From<BlockingError> for Error {
    fn from(error: BlockingError) -> Self {
        Self::new(Kind::Unavailable, "the server is busy or stopping").with_source(error)
    }
}

impl From<Conflict> for Error {
    fn from(conflict: Conflict) -> Self {
        Self::new(Kind::Conflict, format!("another {} has this name", conflict.what)).with_source(conflict)
    }
}

impl From<ParseNameError> for Error {
    fn from(error: ParseNameError) -> Self {
        Self::new(Kind::Invalid, error.to_string())
    }
}

impl From<LifeError> for Error {
    fn from(error: LifeError) -> Self {
        match error {
            LifeError::Taken(conflict) => conflict.into(),
            LifeError::Changed => {
                Self::new(Kind::Conflict, "the repository has changed meanwhile").with_source(error)
            }
            LifeError::Store(error) => error.into(),
        }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::Absent(_) => Self::repository_not_found().with_source(error),
            OpenError::Stopped { .. } | OpenError::Moving(_) => {
                Self::new(Kind::Unavailable, "the repository cannot be read now").with_source(error)
            }
            OpenError::Store { .. } => Self::internal(error),
        }
    }
}

impl From<ServeError> for Error {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Refused(refused) => Self::new(Kind::Invalid, refused.to_string()),
            ServeError::Child(hakata_git::ChildError::Limited(limited)) => limited.into(),
            ServeError::Gone(_) => Self::client_left(error),
            ServeError::Directory(_) | ServeError::Read(_) | ServeError::Child(_) => Self::internal(error),
        }
    }
}
