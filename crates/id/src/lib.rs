//! A server of unique integers that rise with time, for clients of katsubushi, memcached, HTTP and gRPC.
//!
//! An id is a time, a worker id and a sequence number in one positive integer ([`Layout`]). Two things keep it
//! unique: within a process one atomic number that only rises ([`Generator`]), between processes a durable
//! fence, handed over with the worker id, below which its holder may issue and above which its successor starts
//! ([`lease`]). Neither depends on clocks being right; these decide only what the ids look like.
//!
//! Nothing here knows of repositories or SQL; a lease kept in a database is an adapter of the binary.
//!
//! ```
//! use hakata_id::{Layout, WorkerId};
//! let parts = Layout::Standard.parts(354_101_311_794_212_865)?;
//! assert_eq!(parts.unix_ms, 1_504_494_731_615);
//! assert_eq!((parts.worker_id, parts.sequence), (WorkerId::new(Layout::Standard, 999)?, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod layout;
mod time_base;

mod generator;
mod issue;

pub mod dump;

pub mod keeper;
pub mod lease;

pub mod memcached;

pub mod client;
pub mod server;
pub mod stats;

mod sync;

pub use generator::{Generator, Ids, Reservation};
pub use issue::{Issuer, Refusal};
pub use layout::{IdError, Layout, Parts, Slot, TimeError, WorkerId, WorkerIdError};
pub use time_base::{Hands, TimeBase};

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn hakata_runtime::metrics::Metric> {
    let mut all = time_base::metrics();
    all.extend(issue::metrics());
    all.extend(keeper::metrics());
    all.extend(stats::metrics());
    all.extend(server::metrics());
    all
}
