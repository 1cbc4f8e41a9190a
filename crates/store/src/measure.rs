//! What the database pools and transactions count.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hakata_runtime::metrics::{Counter, Gauge, GaugeFn, Histogram, Metric, SECONDS};

use crate::db::Pools;

/// Every pool opened, so that the gauges can ask those still there.
static POOLS: Mutex<Vec<Weak<Pools>>> = Mutex::new(Vec::new());

static OPEN: GaugeFn =
    GaugeFn::new("hakata_database_connections_open", "Connections to the database, idle or not", || {
        count().0
    });
static IDLE: GaugeFn =
    GaugeFn::new("hakata_database_connections_idle", "Connections to the database that nobody uses", || {
        count().1
    });
pub(crate) static IN_USE: Gauge =
    Gauge::new("hakata_database_connections_in_use", "Connections to the database that somebody uses");
static WAITS: Counter =
    Counter::new("hakata_database_waits_total", "Times that no connection to the database was free");
static WAITED: Histogram =
    Histogram::new("hakata_database_wait_seconds", "Time to get a connection to the database", SECONDS);
pub(crate) static RETRIED: Counter = Counter::new(
    "hakata_database_transactions_retried_total",
    "Transactions repeated after a deadlock, a serialization failure or a busy file",
);
pub(crate) static UNKNOWN: Counter = Counter::new(
    "hakata_database_commits_unknown_total",
    "Commits whose outcome was lost with the connection",
);

/// Lists the metrics that this crate keeps, for registration at start.
pub fn metrics() -> Vec<&'static dyn Metric> {
    vec![&OPEN, &IDLE, &IN_USE, &WAITS, &WAITED, &RETRIED, &UNKNOWN]
}

pub(crate) fn watch(pools: &Arc<Pools>) {
    let mut watched = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    watched.retain(|pools| pools.strong_count() > 0);
    watched.push(Arc::downgrade(pools));
}

pub(crate) fn acquired(must_wait: bool, took: Duration) {
    if must_wait {
        WAITS.inc();
    }
    WAITED.observe_duration(took);
}

#[expect(clippy::cast_precision_loss, reason = "pools have few connections")]
fn count() -> (f64, f64) {
    let watched = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = watched.iter().filter_map(Weak::upgrade).map(|pools| pools.count());
    let (open, idle) = counts.fold((0, 0), |sum, pool| (sum.0 + pool.0, sum.1 + pool.1));
    (open as f64, idle as f64)
}
