//! git, as the rest of Hakata sees it: the only crate that starts git processes or opens object databases.
//!
//! It serves both ends of Git's protocols from refs that its callers hand in (a [`refs::RefSnapshot`]) and
//! objects in directories that Hakata made ([`GitDir`]). It never decides who may do what, and knows neither SQL nor
//! blobs. git runs with somebody else's configuration and hooks only in [`bare`], where they are the operator's own.
//!
//! ```
//! use hakata_git::refs::RefSnapshot;
//! use hakata_names::{ObjectFormat, RefName};
//!
//! let main = RefName::parse(b"refs/heads/main")?;
//! let snapshot = RefSnapshot::empty(1, ObjectFormat::Sha1, main);
//! assert!(snapshot.is_empty() && snapshot.head_target().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In reading order: [`found`] (the git of this machine), `command`, `process` and `strays` (how it is run),
//! [`refs`], [`serve`] (fetches), [`receive`] and [`quarantine`] (pushes), [`objects`], [`read`] and [`diff`] (reading),
//! [`write`](mod@write) (making objects), [`merge`], [`init`], [`ref_files`], [`maintain`] and [`fsck`] (directories),
//! [`share`] (packs for forks), [`foreign`] and [`remote`] (repositories of others), [`bare`] (a folder of the operator's,
//! served as it is).

mod command;
pub mod found;
mod git_dir;
mod packets;
mod process;
pub mod settings;
mod strays;
mod version;

pub mod refs;

pub mod serve;

pub mod quarantine;
pub mod receive;

pub mod languages;
pub mod objects;
pub mod read;

pub mod diff;

pub mod write;

pub mod merge;

pub mod bare;
pub mod foreign;
pub mod fsck;
pub mod init;
pub mod maintain;
pub mod ref_files;
pub mod remote;
pub mod share;

#[cfg(test)]
mod testing;

pub use found::{FindGitError, Git};
pub use git_dir::GitDir;
pub use process::{ChildError, Spent, metrics};
pub use settings::{Budget, Budgets, Settings};
pub use strays::watch;
pub use version::Version;
