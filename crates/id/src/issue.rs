//! A generator and its clock together: what the servers ask for ids.

use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::metrics::Metric;

use crate::generator::{Generator, Reservation};
use crate::time_base::TimeBase;

/// Issues ids; clones share one generator.
#[derive(Clone, Debug)]
pub struct Issuer {
    generator: Arc<Generator>,
    time: Arc<TimeBase>,
    max_wait: Duration,
}

/// Why no id was issued.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// No worker id is held, or its durable fence is reached.
    #[error("no lease")]
    NoLease,
    /// Time lies so far behind what was issued that waiting is no use.
    #[error("the clock is behind by {by:?}")]
    Behind {
        /// How long until it has caught up.
        by: Duration,
    },
    /// The layout cannot carry times as late as now.
    #[error("the range of ids has come to its end")]
    Exhausted,
    /// The ids of this tick are used up: ask again after this time.
    #[error("no ids for {0:?}")]
    Wait(Duration),
}

impl Issuer {
    /// Joins a generator and its clock; waits longer than `max_wait` are refused as [`Refusal::Behind`].
    pub fn new(generator: Arc<Generator>, time: Arc<TimeBase>, max_wait: Duration) -> Self {
        Self { generator, time, max_wait }
    }

    /// The generator, for whoever keeps its lease.
    pub fn generator(&self) -> &Arc<Generator> {
        &self.generator
    }

    /// The clock.
    pub fn time(&self) -> &Arc<TimeBase> {
        &self.time
    }

    /// Gives up to `n` ids of the current tick to `each`, in rising order, and returns how many; never waits.
    ///
    /// # Errors
    /// If there is none now; [`Refusal::Wait`] says when to ask again.
    pub fn try_issue(&self, n: u32, each: impl FnMut(u64)) -> Result<u32, Refusal> {
        match self.generator.reserve(self.time.now(), n) {
            Reservation::Ids(ids) => {
                let issued = u32::try_from(ids.len()).unwrap_or(n);
                ids.for_each(each);
                Ok(issued)
            }
            Reservation::Fenced => Err(Refusal::NoLease),
            Reservation::Exhausted => Err(Refusal::Exhausted),
            Reservation::Wait(slot) => {
                let left = self.time.until(slot);
                Err(if left > self.max_wait { Refusal::Behind { by: left } } else { Refusal::Wait(left) })
            }
        }
    }

    /// Issues `n` ids, waiting for further ticks if one is not enough, for `max_wait` at most.
    ///
    /// # Errors
    /// If they cannot all be issued in that time; those already taken are lost, never issued again.
    pub async fn issue(&self, n: u32) -> Result<Vec<u64>, Refusal> {
        let deadline = tokio::time::Instant::now() + self.max_wait;
        let mut ids = Vec::new();
        let mut left = n;
        while left > 0 {
            match self.try_issue(left, |id| ids.push(id)) {
                Ok(issued) => left -= issued,
                Err(Refusal::Wait(by)) if tokio::time::Instant::now() + by <= deadline => {
                    tokio::time::sleep(by).await;
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(ids)
    }
}

/// Lists the metrics of this module.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    Vec::new()
}
