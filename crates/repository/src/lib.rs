//! A repository as a versioned thing: refs from rows, packs from blobs, a bare directory as a cache.
//!
//! Everything that changes refs goes through [`Repository::commit`], one transaction. Objects come in through
//! [`Repository::receive`], a quarantine; those that are made here take the same way from [`Repository::make`]. Directories on disk follow the rows and can be thrown away. Nothing here
//! judges who may do what: callers do, between `receive` and `commit`.
//!
//! ```no_run
//! use hakata_names::RepositoryId;
//! use hakata_repository::{Atomicity, Intent, Push, Reason, ReceiveLimits, Repositories, no_rows};
//!
//! # async fn example(repositories: Repositories, push: Push, mut pack: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let repository = repositories.open(RepositoryId::new(7)).await?;
//! let received = repository.receive(push, Some(&mut pack), &ReceiveLimits::default()).await?;
//! let intent = Intent {
//!     actor: None,
//!     reason: Reason::Push,
//!     atomicity: Atomicity::Each,
//!     policy_version: 3,
//!     default_ref: None,
//!     idempotency_key: None,
//! };
//! let committed = repository.commit(received.prepare(intent), no_rows).await?;
//! assert!(committed.is_complete());
//! # Ok(())
//! # }
//! ```

mod engine;
mod repository;
mod settings;

mod flight;
mod refresh;
mod rows;
mod snapshots;

mod make;
mod outcome;
mod prepared;
mod receive;

mod adopt;
mod birth;
mod commit;
mod compact;
mod fork;
mod stage;

mod cache;

mod erase;
mod import;
mod mirror;
mod sweep;
mod verify;

pub use adopt::{AdoptError, PackClaim, Staged};
pub use birth::{LifeError, NewRepository};
pub use cache::{CacheError, CacheHandle, DeriveError, Derived, StepError};
pub use commit::{CommitError, KeptAnswer, Rows, no_rows};
pub use compact::{CompactError, Compacted};
pub use engine::{OpenEngineError, OpenError, Parts, Repositories};
pub use flight::Stopped;
pub use fork::{Fork, ForkError, Forked};
pub use import::{Import, ImportError, ImportQuota, Imported, Progress};
pub use make::{LongContents, Scratch};
pub use mirror::{Arrived, Follow, IsFollowed, PushPlan, PushTo};
pub use outcome::{Atomicity, Committed, Reason, RefRefusal};
pub use prepared::{Intent, Prepared};
pub use receive::{ConnectError, Push, ReceiveError, ReceiveLimits, Received, TooLarge};
pub use repository::Repository;
pub use rows::{OpenObjectsError, Readable, RepositoryRow, RepositoryState, Size, Visibility};
pub use settings::Settings;
pub use sweep::{SweepError, Swept};
pub use verify::{Finding, VerifyError};

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn hakata_runtime::metrics::Metric> {
    let mut all = snapshots::metrics();
    all.extend(commit::metrics());
    all.extend(cache::metrics());
    all.extend(compact::metrics());
    all.extend(sweep::metrics());
    all.extend(erase::metrics());
    all
}
