//! What is done after a push instead of in it: kinds of jobs, their rules, and the queue that workers take them from.
//!
//! A job is a row written by the transaction that causes it. A worker claims it for a while and says how it ended: it is
//! finished, waits for a retry, or is buried for a person to look at. A claim that is not renewed lapses, and the job
//! waits again; so every job may run twice and must not mind.
//!
//! ```text
//! enqueue ──▶ waiting ──claim──▶ claimed ──finish──▶ done, pruned later
//!                ▲                  │ └────bury────▶ buried ──retry by a person──▶ waiting
//!                └── retry, lapse ──┘
//! ```

mod administer;
mod commits;
mod compact;
mod kind;
mod outgoing;
mod queue;
mod relay;
mod usage;

pub use hakata_store::JobState;
pub use hakata_store::jobs::Job;
pub use kind::{Kind, Rules};
pub use outgoing::{Outgoing, UntoldEvents};
pub use queue::{Claimed, Heard, Listener, Queue, Settled, Waiting};
pub use relay::{ClaimedTold, Named, Unconfirmed};

use std::time::Duration;

/// How an attempt at a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done, or there is none any more.
    Finish,
    /// It did not work this time. Without attempts left the job is buried.
    Retry {
        /// What happened, for whoever looks at the queue.
        why: String,
        /// Not before so long, if somebody said so (`Retry-After`); else by the rules of the kind.
        after: Option<Duration>,
    },
    /// It never will work.
    Bury {
        /// Why not.
        why: String,
    },
}

impl From<crate::Error> for Outcome {
    /// What cannot be found needs no work any more; everything else may work another time.
    fn from(error: crate::Error) -> Self {
        if error.kind() == crate::Kind::NotFound {
            return Self::Finish;
        }
        let chain = error.chain();
        let why = if chain.is_empty() { error.public().to_owned() } else { format!("{error}: {chain}") };
        Self::Retry { why, after: None }
    }
}
