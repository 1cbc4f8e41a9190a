//! The two clocks that time is made of: the machine's, or those of a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Longest time between two readings that count as one, in nanoseconds.
const MAX_GAP_NS: i64 = 1_000_000;

/// Which clocks are read. All readings are in nanoseconds.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The time of day and `CLOCK_BOOTTIME`; the latter goes on while the machine sleeps.
    System,
    /// Hands that a test moves.
    Scripted(Arc<Hands>),
}

/// Two clocks that stand still until a test moves them.
#[derive(Debug)]
pub struct Hands {
    real_ns: AtomicI64,
    boot_ns: AtomicI64,
}

impl Hands {
    /// Makes clocks whose time of day is `unix_ms`, in milliseconds since 1970.
    pub fn new(unix_ms: i64) -> Arc<Self> {
        Arc::new(Self {
            real_ns: AtomicI64::new(unix_ms.saturating_mul(1_000_000)),
            boot_ns: AtomicI64::new(0),
        })
    }

    /// Lets time pass, for both clocks; the machine may sleep meanwhile.
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

impl Source {
    /// Reads the boot clock.
    pub(super) fn boot_ns(&self) -> i64 {
        match self {
            Source::System => read(ClockId::Boottime),
            Source::Scripted(hands) => hands.boot_ns.load(Ordering::SeqCst),
        }
    }

    /// Reads the boot clock and the time of day of one moment; `None` if the machine is too busy for that now.
    pub(super) fn together(&self) -> Option<(i64, i64)> {
        (0..3).find_map(|_| {
            let (before, real) = self.apart();
            let gap = self.boot_ns().saturating_sub(before);
            (gap <= MAX_GAP_NS).then_some((before.saturating_add(gap / 2), real))
        })
    }

    /// Reads both clocks, one after the other.
    pub(super) fn apart(&self) -> (i64, i64) {
        let boot = self.boot_ns();
        let real = match self {
            Source::System => time_of_day(),
            Source::Scripted(hands) => hands.real_ns.load(Ordering::SeqCst),
        };
        (boot, real)
    }
}

/// Reads the time of day through libc, where tests of the whole program put a false one in its place.
fn time_of_day() -> i64 {
    let ns = |by: Duration| i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => ns(since),
        Err(before) => ns(before.duration()).saturating_neg(),
    }
}

/// Reads a clock of the kernel; without a system call where the kernel offers that.
fn read(clock: ClockId) -> i64 {
    let at = clock_gettime(clock);
    at.tv_sec.saturating_mul(1_000_000_000).saturating_add(at.tv_nsec)
}
