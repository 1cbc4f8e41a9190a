//! How much one question may cost: time, entries looked at, bytes read.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hakata_runtime::metrics::{CounterFamily, Label, Metric};

use crate::objects::ReadError;

/// Steps between two looks at the clock.
const STEPS_PER_LOOK: u32 = 256;

static EXHAUSTED: CounterFamily<Exhausted> = CounterFamily::new(
    "hakata_git_reads_exhausted_total",
    "Reads of repositories that were stopped because they took more than allowed, by what they used up",
);

/// Lists the metrics of reading.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&EXHAUSTED]
}

/// What a caller lets a question take; by default everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Time from the moment that the question is asked, waiting included.
    pub time: Option<Duration>,
    /// Commits and tree entries that are looked at.
    pub entries: Option<u64>,
    /// Bytes of files that are read or compared.
    pub bytes: Option<u64>,
}

/// What an answer used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exhausted {
    /// Its time.
    Time,
    /// Commits and tree entries.
    Entries,
    /// Bytes.
    Bytes,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value())
    }
}

impl Label for Exhausted {
    const KEY: &'static str = "limit";

    fn value(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Entries => "entries",
            Self::Bytes => "bytes",
        }
    }
}

impl Exhausted {
    /// Counts and makes the error.
    pub(crate) fn error(self) -> ReadError {
        EXHAUSTED.get(self).inc();
        ReadError::Exhausted(self)
    }
}

/// Sets a flag when it is dropped, so that work for a caller who has left ends.
#[derive(Debug)]
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is left of an allowance. Every loop over history or trees takes a step of it.
#[derive(Debug)]
pub(crate) struct Meter {
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
    entries: Cell<u64>,
    bytes: Cell<u64>,
    limits_bytes: bool,
    steps: Cell<u32>,
}

impl Meter {
    /// Starts to count; the second value cancels when it is dropped.
    pub(crate) fn start(allowance: &Allowance) -> (Self, StopOnDrop) {
        let cancelled = Arc::<AtomicBool>::default();
        let meter = Self {
            deadline: allowance.time.map(|time| Instant::now() + time),
            cancelled: cancelled.clone(),
            entries: Cell::new(allowance.entries.unwrap_or(u64::MAX)),
            bytes: Cell::new(allowance.bytes.unwrap_or(u64::MAX)),
            limits_bytes: allowance.bytes.is_some(),
            steps: Cell::new(0),
        };
        (meter, StopOnDrop(cancelled))
    }

    /// Counts one commit or tree entry; looks at the clock now and then.
    pub(crate) fn step(&self) -> Result<(), ReadError> {
        let left = self.entries.get().checked_sub(1).ok_or_else(|| Exhausted::Entries.error())?;
        self.entries.set(left);
        self.steps.set(self.steps.get().wrapping_add(1));
        if self.steps.get().is_multiple_of(STEPS_PER_LOOK) { self.look() } else { Ok(()) }
    }

    /// Says whether bytes are limited at all, and so worth to be counted.
    pub(crate) fn limits_bytes(&self) -> bool {
        self.limits_bytes
    }

    /// Counts bytes before they are read.
    pub(crate) fn take_bytes(&self, n: u64) -> Result<(), ReadError> {
        let left = self.bytes.get().checked_sub(n).ok_or_else(|| Exhausted::Bytes.error())?;
        self.bytes.set(left);
        self.look()
    }

    /// Fails if the time is over or the caller has left.
    pub(crate) fn look(&self) -> Result<(), ReadError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(ReadError::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Exhausted::Time.error()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Allowance, Exhausted, Meter};
    use crate::objects::ReadError;

    #[test]
    fn each_limit_ends_the_work() {
        let (meter, _stop) = Meter::start(&Allowance::default());
        assert!((0..1_000).all(|_| meter.step().is_ok()) && meter.take_bytes(1 << 40).is_ok());
        let (meter, _stop) = Meter::start(&Allowance { entries: Some(2), ..Allowance::default() });
        assert!(meter.step().is_ok() && meter.step().is_ok());
        assert!(matches!(meter.step(), Err(ReadError::Exhausted(Exhausted::Entries))));
        let (meter, _stop) = Meter::start(&Allowance { bytes: Some(9), ..Allowance::default() });
        assert!(meter.take_bytes(9).is_ok());
        assert!(matches!(meter.take_bytes(1), Err(ReadError::Exhausted(Exhausted::Bytes))));
        let (meter, _stop) = Meter::start(&Allowance { time: Some(Duration::ZERO), ..Allowance::default() });
        let ended = (0..1_000).find_map(|_| meter.step().err());
        assert!(matches!(ended, Some(ReadError::Exhausted(Exhausted::Time))), "the clock is looked at");
    }

    #[test]
    fn nobody_works_for_a_caller_who_has_left() {
        let (meter, stop) = Meter::start(&Allowance::default());
        assert!(meter.look().is_ok());
        drop(stop);
        assert!(matches!(meter.look(), Err(ReadError::Cancelled)));
    }
}
