//! The worker: takes jobs from the queue, runs them, and says how they ended.
//!
//! One [`Worker`] runs in a process, beside the other faces or alone. Limits hold over all nodes, because the claim
//! itself counts. It never judges who may do what, and knows nothing of rows: handlers call `forge`, which does.
//!
//! ```no_run
//! use hakata_worker::{Handlers, Settings, Worker};
//!
//! # async fn example(forge: hakata_forge::Forge, tasks: hakata_runtime::tasks::Tasks) {
//! let worker = Worker::new(&forge, Handlers::of(&forge), Settings::default(), None);
//! worker.start(&tasks);
//! tasks.drain(std::time::Duration::from_secs(60)).await;
//! worker.stop().await;
//! # }
//! ```

mod settings;

mod handlers;
mod worker;

mod dispatch;
mod inbox;
mod run;

mod chain;
mod upkeep;
mod wake;

pub mod rabbit;

mod metrics;

pub use handlers::Handlers;
pub use metrics::metrics;
pub use settings::Settings;
pub use wake::{ParseRedisError, Redis, announce};
pub use worker::Worker;
