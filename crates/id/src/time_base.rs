//! Where "now" comes from: a time of day that neither falls nor jumps.
//!
//! The machine's time of day is read once. From then on the boot clock carries it, which only rises and counts the
//! time that the machine sleeps, and once a second it is bent towards the machine's time of day by 500 ppm at most:
//!
//! ```text
//!   ours |            ......----''''   real time, as ntpd or a person left it
//!        |  ....----''''      __..--
//!        | '          __..--''         ours: boot time, half a millisecond a second faster or slower
//!        |    __..--''
//!        |__''_________________________ boot time
//! ```
//!
//! So a step of the machine's clock, a leap second or an accident of NTP never reaches the ids, and a difference heals
//! by 43 s a day. One that is greater than 10 s raises an alarm: whoever knows that the machine is right restarts the
//! process, which takes its time over.
//!
//! Until the first id is issued nothing depends on our time, so till then it is taken over anew each second: a
//! machine that boots in 1970 and then learns the time, or that must wait for a fence, starts with the right one.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hakata_runtime::metrics::{Counter, GaugeFn, Metric};

use crate::layout::{Layout, Slot, TimeError};
use crate::sync::{AtomicU64, Mutex, Ordering, PoisonError};
use line::{BEND_NS, Line, Stretch};

mod line;
mod source;

pub use source::Hands;
use source::Source;

/// Greatest correction over [`BEND_NS`], in nanoseconds: 500 ppm, as much as kernels slew their own clocks.
const MAX_CORRECTION_NS: i64 = BEND_NS / 2_000;

/// The offset that raises the alarm, in nanoseconds.
const ALARM_NS: i64 = 10_000_000_000;

const NS_PER_MS: i64 = 1_000_000;

static OFFSET_NS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

#[expect(clippy::cast_precision_loss, reason = "an offset of months needs no nanoseconds")]
static OFFSET: GaugeFn = GaugeFn::new(
    "hakata_id_clock_offset_seconds",
    "How far the machine's time of day is ahead of the time in ids",
    || OFFSET_NS.load(Ordering::Relaxed) as f64 / 1e9,
);

static ALARMS: Counter = Counter::new(
    "hakata_id_clock_alarms_total",
    "Times that the machine's time of day left the time in ids by more than 10 s",
);

/// Lists the metrics of this module.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&OFFSET, &ALARMS]
}

/// The time of day, read once from the machine and then carried on by the boot clock.
#[derive(Debug)]
pub struct TimeBase {
    layout: Layout,
    source: Source,
    line: Line,
    /// The latest tick that anybody was told, so that a change of the line cannot take one back.
    latest: AtomicU64,
    /// Whether an id was issued: from then on there are no jumps.
    pinned: AtomicBool,
    /// Whether the alarm is raised; held by the one who compares.
    alarmed: Mutex<bool>,
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
    ///
    /// It never falls once an id was issued. Takes no lock and makes no system call.
    pub fn now(&self) -> Slot {
        let now = self.slot(self.now_ns()).get();
        let latest = self.latest.load(Ordering::Acquire);
        if now > latest {
            // Once a tick, not once a call.
            return Slot::new(self.latest.fetch_max(now, Ordering::AcqRel).max(now));
        }
        Slot::new(latest)
    }

    /// Tells how long it is until [`TimeBase::now`] reaches a slot.
    pub fn until(&self, slot: Slot) -> Duration {
        let at = i128::from(self.layout.unix_ms(slot)) * i128::from(NS_PER_MS);
        let left = at.saturating_sub(i128::from(self.now_ns())).max(0);
        Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
    }

    /// Says that an id was issued: from now on time is bent only, and never taken over anew.
    pub fn pin(&self) {
        if !self.pinned.load(Ordering::Relaxed) {
            self.pinned.store(true, Ordering::Release);
        }
    }

    /// Compares with the machine's time of day and bends ours towards it; to be called once a second.
    pub fn observe(&self) {
        let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((boot, real)) = self.source.together() else { return };
        let ours = self.line.read().time_at(boot);
        let offset = real.saturating_sub(ours);
        if !self.pinned.load(Ordering::Acquire) {
            self.line.publish(Stretch { from: boot, at: real, correction: 0 });
            self.latest.store(0, Ordering::Release);
            OFFSET_NS.store(0, Ordering::Relaxed);
            return;
        }
        let correction = offset.clamp(-MAX_CORRECTION_NS, MAX_CORRECTION_NS);
        self.line.publish(Stretch { from: boot, at: ours, correction });
        OFFSET_NS.store(offset, Ordering::Relaxed);
        watch(&mut alarmed, offset);
    }

    /// Tells how far the machine's time of day lies ahead of ours, in milliseconds; negative if behind.
    pub fn offset_ms(&self) -> i64 {
        let (boot, real) = self.source.apart();
        real.saturating_sub(self.line.read().time_at(boot)) / NS_PER_MS
    }

    /// Tells whether the machine's time of day left ours by so much that somebody should look.
    pub fn is_alarmed(&self) -> bool {
        *self.alarmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn anchored(layout: Layout, source: Source) -> Self {
        let (from, at) = source.together().unwrap_or_else(|| source.apart());
        Self {
            layout,
            source,
            line: Line::new(Stretch { from, at, correction: 0 }),
            latest: AtomicU64::new(0),
            pinned: AtomicBool::new(false),
            alarmed: Mutex::new(false),
        }
    }

    /// Our time, in nanoseconds since 1970.
    fn now_ns(&self) -> i64 {
        // The clock first: a reading from before the line's change is then told the change's own time, not a later one.
        let boot = self.source.boot_ns();
        self.line.read().time_at(boot)
    }

    fn slot(&self, unix_ns: i64) -> Slot {
        match self.layout.slot_at(unix_ns.div_euclid(NS_PER_MS)) {
            Ok(slot) => slot,
            Err(TimeError::BeforeEpoch(_)) => Slot::ZERO,
            Err(TimeError::AfterEnd(_)) => self.layout.end(),
        }
    }
}

/// Raises the alarm when the offset leaves its bound, and ends it well within, each time with one line of log.
fn watch(alarmed: &mut bool, offset_ns: i64) {
    let offset_ms = offset_ns / NS_PER_MS;
    if !*alarmed && offset_ns.saturating_abs() > ALARM_NS {
        *alarmed = true;
        ALARMS.inc();
        tracing::warn!(
            clock.offset_ms = offset_ms,
            "the machine's time of day left the time in ids, which follows by 43 s a day; \
             if the machine is right now, restart the id server"
        );
    } else if *alarmed && offset_ns.saturating_abs() < ALARM_NS / 2 {
        *alarmed = false;
        tracing::info!(
            clock.offset_ms = offset_ms,
            "the time in ids is near the machine's time of day again"
        );
    }
}

#[cfg(test)]
mod tests;
