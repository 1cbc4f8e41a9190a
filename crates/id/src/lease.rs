//! The right to issue under a worker id, and the fence that goes with it.
//!
//! A *fence* is a time, kept durably beside the lease and handed over with it. Whoever holds the lease may issue ids of
//! times below the fence, having raised it first; whoever acquires the lease starts at the fence. So two holders of one
//! worker id never repeat an id, whatever their clocks, pauses and times to live do, for as long as the fence is kept:
//!
//! ```text
//! first holder    |== issues ==|- - - - -)            killed, paused, cut off
//! fence           . . . . . . . . . . . .^ durable before anything below it is issued
//! second holder                          |== issues ==|- - - -)
//! ```
//!
//! The time to live of a lease decides only how soon the id of a dead holder is free again. Where fences can be lost
//! (Redis, a deleted file) their loss is noticed, and nothing is issued until those that were lost have passed.
//!
//! Times are milliseconds since 1970, since layouts differ in their ticks and people read them.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::layout::WorkerId;

#[cfg(any(test, feature = "testing"))]
pub mod contract;
pub mod file;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod redis;

mod candidates;
mod token;

pub use candidates::{Candidate, in_order};
pub use token::Token;

/// A place that hands out worker ids with their fences: a file, Redis, a database.
pub trait Lease: Send + 'static {
    /// Takes a free worker id, preferring one whose fence has passed, and raises its fence durably.
    ///
    /// `wish` reads the holder's clock; it is called as late as possible.
    ///
    /// # Errors
    /// If none is free, or the place cannot be asked.
    fn acquire(
        &mut self,
        wish: impl Fn() -> Wish + Send + Sync,
    ) -> impl Future<Output = Result<Term, LeaseError>> + Send;

    /// Raises the durable fence and extends the lease, if it is still ours.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] if it is not, for good; otherwise the same lease may be renewed later.
    fn renew(&mut self, wish: Wish) -> impl Future<Output = Result<Renewed, LeaseError>> + Send;

    /// Gives the worker id back, if it is still ours, and lowers its fence to `next_ms`: nothing was issued from there
    /// on, and nothing will be.
    ///
    /// # Errors
    /// If the place cannot be asked; the lease then ends by its time to live.
    fn release(&mut self, next_ms: i64) -> impl Future<Output = Result<(), LeaseError>> + Send;
}

/// What a holder asks of the place: its own time, and how far ahead of it the fence is to lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// The holder's clock.
    pub now_ms: i64,
    /// The distance wanted.
    pub ahead: Duration,
}

/// A worker id held, and the times whose ids may be issued under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term {
    /// The worker id.
    pub worker_id: WorkerId,
    /// First time of which ids may be issued. It may lie ahead, and behind `fence_ms` even.
    pub from_ms: i64,
    /// First time of which none may.
    pub fence_ms: i64,
    /// The place's own clock, if it has one.
    pub place_ms: Option<i64>,
    /// Why fences may have been lost, if `from_ms` is for that.
    pub lost: Option<&'static str>,
}

/// What a renewal brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewed {
    /// The fence that is durable now.
    pub fence_ms: i64,
    /// The place's own clock, if it has one.
    pub place_ms: Option<i64>,
}

/// Why a lease could not be acquired, renewed or released.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it, or it was deleted.
    #[error("the lease of worker id {0} is lost")]
    Lost(WorkerId),
    /// Every worker id of the range is held.
    #[error("every worker id from {least} to {most} is held by somebody else")]
    Taken {
        /// The range's first.
        least: WorkerId,
        /// The range's last.
        most: WorkerId,
    },
    /// The place does not answer, or not in time, or not as it should.
    #[error("asking {place} for a lease")]
    Unreachable {
        /// The kind of place.
        place: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The place answers that it will not: an operator must act.
    #[error("{place} refuses a lease (hint: {hint})")]
    Refused {
        /// The kind of place.
        place: &'static str,
        /// What an operator can do.
        hint: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Wish {
    /// The least fence wanted.
    pub fn fence_ms(self) -> i64 {
        self.later(self.ahead)
    }

    /// A time from now on, by the holder's clock.
    pub fn later(self, by: Duration) -> i64 {
        self.now_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
    }

    /// When issuing may begin after fences were lost.
    ///
    /// An earlier holder may know a fence up to `ahead` behind its own clock, and that clock may differ from ours. Twice
    /// the distance is safe for clocks that differ by less than `ahead`; on top of it comes how late the place may read
    /// this.
    pub fn after_loss_ms(self, patience: Duration) -> i64 {
        self.later(self.ahead.saturating_mul(2).saturating_add(patience))
    }
}

impl LeaseError {
    /// Tells the whole chain of causes in one line.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            source = cause.source();
        }
        line
    }
}

/// A sentence of ours as the cause of an error.
#[derive(Debug)]
pub struct Because(pub String);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Because {}
