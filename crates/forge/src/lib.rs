//! Policy: who may do what to which repository, and everything that people administer.
//!
//! Faces (HTTP, SSH, the command line) turn a protocol into calls of this crate and its answers back into
//! their protocol; they see neither the database nor git. Authorization is a value: a [`Grant`] is made in
//! one place, [`Forge::grant`], from one table ([`access`]), and every function that touches a repository
//! asks for one.
//!
//! ```text
//! credentials ──auth──▶ Actor ──grant──▶ Grant<Read> ──hosting──▶ fetch, archive
//!                                   └──▶ PushTarget ──hosting──▶ receive
//! visitor ───▶ folder ──▶ Allowed: a folder of plain repositories, without accounts
//! administrator ──admin::Command──▶ admin::run ──▶ admin::Outcome
//! worker ──jobs::Queue──▶ Claimed ──▶ jobs::Outcome: what is done after a push
//! ```
//!
//! The crate never listens on a socket, never spawns git itself and contains no SQL.

mod forge;
mod settings;

mod error;

mod actor;
mod scopes;

pub mod access;
pub mod auth;

pub mod folder;
pub mod hosting;

pub mod jobs;

mod accounts;
mod groups;
pub mod keys;
mod protections;
mod quota;
mod repositories;
mod reserved;
mod tokens;

mod audit;

pub mod lfs;

pub mod webhooks;

mod imports;
pub mod mirrors;
pub mod remotes;

mod seal;

pub mod mail;

pub mod admin;
pub mod personal;

mod metrics;

#[cfg(test)]
mod testing;

pub use access::{Act, Grant, Maintain, Own, Read, Write};
pub use actor::{Actor, Via};
pub use error::{Error, Kind};
pub use forge::{Forge, Parts};
pub use hakata_store::{Digest, Direction, NoticeState, Role, Visibility, WatchLevel};
pub use metrics::metrics;
pub use reserved::RESERVED_OWNER_NAMES;
pub use scopes::{ParseScopesError, Scope, Scopes};
pub use settings::Settings;
