//! Everything that Hakata keeps in SQL, on SQLite, PostgreSQL, and MariaDB or MySQL.
//!
//! This is the only crate with SQL in it. Each question is one function named for what is asked, in the module of its
//! table, and takes a [`Conn`]: `db.read()` for a question by itself, [`Db::transaction`] for what belongs together.
//! The crate knows no policy and no git; it never judges by the text of a database's error. Where two writers race,
//! the row count of a conditional statement says who won, the same on every engine.
//!
//! ```no_run
//! use hakata_store::{Db, Settings, StoreError, settings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let db = Db::open(&Settings::new("hakata.db")).await?;
//! db.migrate().await?;
//! let title = settings::find(&mut db.read().await?, "title").await?;
//! db.transaction(|tx| Box::pin(async move { settings::set(tx, "title", "Our code").await })).await?;
//! # let _: (Option<String>, StoreError) = (title, StoreError::Broken);
//! # Ok(())
//! # }
//! ```
//!
//! The schema is in `schema.sql`, for reading.

mod clock;
mod conn;
mod db;
mod dialect;
mod error;
mod measure;
mod migrate;
mod open;
mod row;
mod sql;
mod tx;
mod value;
mod words;

pub mod ids;
pub mod page;

pub mod groups;
pub mod owners;
pub mod users;

pub mod collaborators;
pub mod members;
pub mod repositories;

pub mod packs;
pub mod ref_log;
pub mod refs;

pub mod commits;
pub mod events;
pub mod idempotency;
pub mod jobs;

pub mod lfs_locks;
pub mod lfs_objects;
pub mod lfs_removals;
pub mod lfs_reservations;
pub mod lfs_sweeps;
pub mod lfs_uploads;

pub mod keys;
pub mod protections;
pub mod tokens;

pub mod webhooks;

pub mod imports;
pub mod mirrors;

pub mod notices;
pub mod readers;
pub mod watches;

pub mod id_leases;

pub mod audits;
pub mod settings;

#[cfg(feature = "testing")]
pub mod testing;

pub use conn::Conn;
pub use db::{Db, OpenError, Settings};
pub use dialect::Engine;
pub use error::{Conflict, StoreError};
pub use futures_util::future::BoxFuture;
pub use measure::metrics;
pub use migrate::{MigrateError, Migrated};
pub use tx::{MAX_ATTEMPTS, Tx};
pub use words::{
    DeliveryState, Digest, Direction, ImportState, JobState, LfsObjectState, NoticeState, OwnerKind,
    OwnerState, PackState, ProtectionKind, RepositoryState, Role, Visibility, WatchLevel,
};
