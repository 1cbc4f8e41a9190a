//! What goes wrong below, as callers are told.

use std::error::Error;
use std::io;
use std::time::Duration;

use hakata_git::ChildError;
use hakata_git::objects::ReadError;
use hakata_git::quarantine::IndexPackError;
use hakata_git::write::WriteError;
use hakata_repository::{AdoptError, CacheError, CommitError, OpenError, ReceiveError};
use hakata_rpc::{Code, Status};

use crate::metrics::{LIMITS_MET, Limit};

/// After this a busy server is worth another question.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells a caller what went wrong. What callers can do nothing about is said in general words and logged in full.
pub(super) fn status(error: &(dyn Error + 'static)) -> Status {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(status) = known(error) {
            return status;
        }
        cause = error.source();
    }
    tracing::error!(error = chain(error), "operation failed");
    Status::new(Code::Internal, "the operation failed; the log of the server says why")
}

/// Finds words for errors that callers can do something about.
fn known(error: &(dyn Error + 'static)) -> Option<Status> {
    if let Some(error) = error.downcast_ref::<ReadError>() {
        return read(error);
    }
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return match error {
            OpenError::Absent(_) => Some(Status::not_found("there is no such repository")),
            OpenError::Moving(_) | OpenError::Stopped { .. } => Some(busy(error)),
            OpenError::Store { .. } => None,
        };
    }
    if let Some(error) = error.downcast_ref::<CacheError>() {
        return matches!(error, CacheError::Lagging(_) | CacheError::Stopped { .. }).then(|| busy(error));
    }
    if let Some(error) = error.downcast_ref::<CommitError>() {
        return commit(error);
    }
    if let Some(error) = error.downcast_ref::<ReceiveError>() {
        return receive(error);
    }
    if let Some(error) = error.downcast_ref::<AdoptError>() {
        return match error {
            AdoptError::Foreign(_) => Some(Status::invalid(error.to_string())),
            AdoptError::Gone => Some(Status::new(Code::FailedPrecondition, error.to_string())),
            AdoptError::Fetch(_) | AdoptError::Receive(_) | AdoptError::Store(_) => None,
        };
    }
    if let Some(error) = error.downcast_ref::<WriteError>() {
        return match error {
            WriteError::TooLarge { .. } | WriteError::TooMany { .. } => {
                LIMITS_MET.get(Limit::Made).inc();
                Some(Status::new(Code::ResourceExhausted, error.to_string()))
            }
            WriteError::Invalid(said) => Some(Status::invalid(said)),
            WriteError::Store(store) if store.kind() == io::ErrorKind::StorageFull => Some(busy(error)),
            WriteError::Read(_) | WriteError::Store(_) => None,
        };
    }
    None
}

fn receive(error: &ReceiveError) -> Option<Status> {
    match error {
        ReceiveError::Limited(_) | ReceiveError::Busy(_) => Some(busy(error)),
        // Only what was made can be refused here, and of that only what the caller gave.
        ReceiveError::Index(IndexPackError::Refused { message }) => {
            Some(Status::invalid(format!("git refuses what would be made: {message}")))
        }
        _ => None,
    }
}

fn read(error: &ReadError) -> Option<Status> {
    let said = error.to_string();
    Some(match error {
        ReadError::Absent(_) | ReadError::NotFound(_) => Status::not_found(said),
        ReadError::Ambiguous { .. } | ReadError::Invalid(_) => Status::invalid(said),
        ReadError::TooLarge { .. } => Status::new(Code::ResourceExhausted, said),
        ReadError::Exhausted(hakata_git::read::Exhausted::Time) => Status::new(Code::DeadlineExceeded, said),
        ReadError::Exhausted(_) => Status::new(Code::ResourceExhausted, said),
        ReadError::Cancelled => Status::new(Code::Cancelled, said),
        ReadError::Busy(_) | ReadError::Child(ChildError::Limited(_)) => busy(error),
        ReadError::Open { .. } | ReadError::Object { .. } | ReadError::Walk(_) | ReadError::Child(_) => {
            return None;
        }
    })
}

fn commit(error: &CommitError) -> Option<Status> {
    Some(match error {
        CommitError::Absent(_) => Status::not_found("there is no such repository"),
        CommitError::Inactive { .. } => Status::new(Code::FailedPrecondition, error.to_string()),
        CommitError::Contended | CommitError::PolicyChanged { .. } => {
            Status::new(Code::Aborted, error.to_string()).retry_after(PAUSE)
        }
        CommitError::PackSwept => Status::new(Code::FailedPrecondition, error.to_string()),
        CommitError::Full { .. } => Status::new(Code::ResourceExhausted, error.to_string()),
        _ => return None,
    })
}

fn busy(error: &dyn Error) -> Status {
    Status::new(Code::Unavailable, error.to_string()).retry_after(PAUSE)
}

/// Says an error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
