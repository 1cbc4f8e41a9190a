//! What keeps a process of Hakata alive and countable, and knows nothing of git.
//!
//! Time, tasks with an owner, limits with bounded queues, metrics declared beside the code they count, named fault
//! points, secrets, and values with units. Nothing here opens a socket, a file or a database.
//!
//! ```
//! use hakata_runtime::{metrics, units::ByteSize};
//! static PUSHES: metrics::Counter = metrics::Counter::new("hakata_example_pushes_total", "Pushes received");
//! PUSHES.inc();
//! metrics::register(&[&PUSHES]);
//! assert!(metrics::render().contains("hakata_example_pushes_total 1"));
//! assert_eq!("5GiB".parse::<ByteSize>().map(ByteSize::bytes), Ok(5 << 30));
//! ```

pub mod clock;
pub mod tasks;

pub mod blocking;
pub mod limit;
pub mod thread;

pub mod metrics;

pub mod fault;
pub mod secret;
pub mod units;

/// Lists the metrics that this crate keeps, for [`metrics::register`].
pub fn metrics() -> Vec<&'static dyn metrics::Metric> {
    let mut all = tasks::metrics();
    all.extend(limit::metrics());
    all.extend(blocking::metrics());
    all
}
