//! The right to issue under a worker id, and the fence that goes with it.

use std::future::Future;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::layout::{Slot, WorkerId};

/// A place that hands out worker ids with their fences: a file, Redis, a database.
pub trait Lease: Send {
    /// Takes a free worker id of `range`, prefers one whose fence has passed, and raises its fence durably to
    /// `ahead` slots behind the later of `now` and the stored fence.
    ///
    /// # Errors
    /// If none is free, or the place cannot be asked.
    fn acquire(
        &mut self,
        range: RangeInclusive<WorkerId>,
        now: Slot,
        ahead: u64,
    ) -> impl Future<Output = Result<Term, LeaseError>> + Send;

    /// Raises the durable fence to `want`, if the lease is still ours, and returns the fence that is durable now.
    ///
    /// # Errors
    /// If the lease is lost, or the place cannot be asked.
    fn renew(&mut self, want: Slot) -> impl Future<Output = Result<Slot, LeaseError>> + Send;

    /// Gives the worker id back, if it is still ours, and lowers its fence to `next`, the first slot not issued.
    ///
    /// # Errors
    /// If the place cannot be asked; the lease then ends by its time to live.
    fn release(&mut self, next: Slot) -> impl Future<Output = Result<(), LeaseError>> + Send;
}

/// A worker id held, and the slots that may be issued under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Term {
    /// The worker id.
    pub worker_id: WorkerId,
    /// First slot that may be issued.
    pub from: Slot,
    /// First slot that may not.
    pub fence: Slot,
}

/// Why a lease could not be acquired, renewed or released.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it, or it was deleted.
    #[error("the lease of the worker id is lost")]
    Lost,
    /// Every worker id of the range is held.
    #[error("every worker id of the range is taken")]
    Taken,
    /// The place does not answer, or not as it should.
    #[error("asking for the lease")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The place has lost its fences: nothing may be issued until those of earlier holders have passed.
    #[error("the fences were lost; waiting {wait:?} for those of earlier holders to pass")]
    Suspect {
        /// How long.
        wait: Duration,
    },
}
