//! Why objects cannot be read.

use hakata_names::{Oid, escape_controls};
use hakata_runtime::blocking::BlockingError;

use crate::GitDir;
use crate::process::ChildError;
use crate::read::Exhausted;

/// The cause of a failed read, as the library words it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why objects cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory is no repository.
    #[error("opening the objects of {}", .dir.path().display())]
    Open {
        /// The directory.
        dir: GitDir,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The object is not there.
    #[error("object {0} does not exist")]
    Absent(Oid),
    /// The object is there and broken, or cannot be read.
    #[error("reading object {oid}")]
    Object {
        /// The object.
        oid: Oid,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The object is larger than the caller takes.
    #[error("object {oid} has {size_bytes} bytes")]
    TooLarge {
        /// The object.
        oid: Oid,
        /// Its size.
        size_bytes: u64,
    },
    /// History cannot be walked.
    #[error("walking history")]
    Walk(#[source] Cause),
    /// A revision or path leads to nothing.
    #[error("{} leads to no object", escape_controls(.0))]
    NotFound(Vec<u8>),
    /// The beginning of an object id fits several objects.
    #[error("{prefix} is the beginning of {} objects", .candidates.len())]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The objects that fit, sorted, a bounded number of them.
        candidates: Vec<Oid>,
    },
    /// The question makes no sense; a sentence for who asked.
    #[error("{0}")]
    Invalid(String),
    /// The caller's allowance is used up.
    #[error("reading took more than the allowed {0}")]
    Exhausted(Exhausted),
    /// The caller does not wait any more.
    #[error("reading was cancelled")]
    Cancelled,
    /// The git process that reads did not do its work.
    #[error("reading by git")]
    Child(#[from] ChildError),
    /// The pool is full or stopping.
    #[error("waiting to read objects")]
    Busy(#[source] BlockingError),
}
