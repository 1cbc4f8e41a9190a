//! What the keeper counts.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hakata_runtime::metrics::{Counter, CounterFamily, Gauge, GaugeFn, Label, Metric};

use crate::layout::Layout;
use crate::lease::LeaseError;
use crate::time_base::TimeBase;

static HELD: Gauge = Gauge::new("hakata_id_lease_held", "Whether a worker id is held");
static ACQUIRED: Counter = Counter::new("hakata_id_leases_acquired_total", "Worker ids acquired");
static RENEWED: Counter = Counter::new("hakata_id_lease_renewals_total", "Times that the fence was raised");
static ERRORS: CounterFamily<Reason> =
    CounterFamily::new("hakata_id_lease_errors_total", "Leases not acquired, renewed or kept");
static AGE: GaugeFn =
    GaugeFn::new("hakata_id_lease_age_seconds", "Time for which the worker id has been held", || {
        read(|term| term.since.elapsed().as_secs_f64())
    });
static DISTANCE: GaugeFn = GaugeFn::new(
    "hakata_id_fence_distance_seconds",
    "Time for which ids can be issued without another renewal",
    || read(Term::distance),
);
static OFFSET: GaugeFn = GaugeFn::new(
    "hakata_id_lease_clock_offset_seconds",
    "How far the clock of the lease's place lies ahead of the id server's",
    || seconds(OFFSET_MS.load(Ordering::Relaxed)),
);
static OFFSET_MS: AtomicI64 = AtomicI64::new(0);

/// The term that the gauges are about.
static TERM: Mutex<Option<Term>> = Mutex::new(None);

struct Term {
    since: Instant,
    time: Arc<TimeBase>,
    layout: Layout,
    fence_ms: i64,
}

/// Why there was no lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reason {
    Lost,
    Taken,
    Unreachable,
    Refused,
}

impl Label for Reason {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Reason::Lost => "lost",
            Reason::Taken => "taken",
            Reason::Unreachable => "unreachable",
            Reason::Refused => "refused",
        }
    }
}

pub(super) fn began(time: &Arc<TimeBase>, layout: Layout, fence_ms: i64) {
    HELD.set(1);
    ACQUIRED.inc();
    let term = Term { since: Instant::now(), time: time.clone(), layout, fence_ms };
    *TERM.lock().unwrap_or_else(PoisonError::into_inner) = Some(term);
}

pub(super) fn renewed(fence_ms: i64) {
    RENEWED.inc();
    if let Some(term) = &mut *TERM.lock().unwrap_or_else(PoisonError::into_inner) {
        term.fence_ms = fence_ms;
    }
}

pub(super) fn ended() {
    HELD.set(0);
    *TERM.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

pub(super) fn error(error: &LeaseError) {
    let reason = match error {
        LeaseError::Lost(_) => Reason::Lost,
        LeaseError::Taken { .. } => Reason::Taken,
        LeaseError::Unreachable { .. } => Reason::Unreachable,
        LeaseError::Refused { .. } => Reason::Refused,
    };
    ERRORS.get(reason).inc();
}

pub(super) fn compared(offset_ms: i64) {
    OFFSET_MS.store(offset_ms, Ordering::Relaxed);
}

impl Term {
    fn distance(&self) -> f64 {
        seconds(self.fence_ms.saturating_sub(self.layout.unix_ms(self.time.now())).max(0))
    }
}

fn read(what: impl Fn(&Term) -> f64) -> f64 {
    TERM.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0.0, what)
}

#[expect(clippy::cast_precision_loss, reason = "spans of time are far below 2^53 ms")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// Lists the metrics of the keeper.
pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&HELD, &ACQUIRED, &RENEWED, &ERRORS, &AGE, &DISTANCE, &OFFSET]
}
