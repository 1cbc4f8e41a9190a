//! What becomes of an offered change.

use std::fmt;

use hakata_names::{EventId, Oid, RefName};

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The version that the change made; `None` if nothing was accepted, so that nothing changed.
    pub version: Option<i64>,
    /// The event row that tells of it.
    pub event: Option<EventId>,
    /// The answer for each update, in the order of their names.
    pub refs: Vec<(RefName, Result<(), RefRefusal>)>,
}

impl Committed {
    /// Tells whether every update was accepted.
    pub fn is_complete(&self) -> bool {
        self.refs.iter().all(|(_, answer)| answer.is_ok())
    }

    /// Counts the updates that were accepted.
    pub fn n_accepted(&self) -> usize {
        self.refs.iter().filter(|(_, answer)| answer.is_ok()).count()
    }
}

/// Why one ref was not moved. Its text is what a client sees behind `ng <ref>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefRefusal {
    /// The ref is not where the update expects it.
    Stale {
        /// Where it is; `None` if it does not exist.
        actual: Option<Oid>,
    },
    /// A name is a directory of another: `refs/heads/a` beside `refs/heads/a/b`.
    Conflict {
        /// The ref in the way.
        other: RefName,
    },
    /// An object that the new target needs was neither sent nor is it here.
    Incomplete,
    /// The push came from a shallow clone and would make the repository shallow.
    Shallow,
    /// The update is fine, but another one of an atomic push is not.
    Atomic,
    /// Policy says no; the text is for the client.
    Denied(String),
}

impl fmt::Display for RefRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale { .. } => f.write_str("fetch first: the ref has moved"),
            Self::Conflict { other } => write!(f, "conflicts with {other}"),
            Self::Incomplete => f.write_str("missing necessary objects"),
            Self::Shallow => f.write_str("shallow update not allowed"),
            Self::Atomic => f.write_str("atomic push failed"),
            Self::Denied(reason) => f.write_str(reason),
        }
    }
}

/// Whether the updates of one change stand and fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomicity {
    /// Each ref is judged by itself.
    Each,
    /// One refusal refuses all.
    Whole,
}

/// What caused a change: a word in the ref log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A client pushed.
    Push,
    /// A repository was brought in from elsewhere.
    Import,
    /// A repository began as a copy of another.
    Fork,
    /// Rows were made again from a directory.
    Recover,
    /// The repository follows another, which moved.
    Mirror,
    /// Settings of the repository.
    Settings,
    /// Another service asked for it.
    Rpc,
}

impl Reason {
    /// Returns the word that is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Import => "import",
            Self::Fork => "fork",
            Self::Recover => "recover",
            Self::Mirror => "mirror",
            Self::Settings => "settings",
            Self::Rpc => "rpc",
        }
    }
}
