//! The contract of the store: the same tests on SQLite, PostgreSQL and MariaDB.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the lints know tests only by their attribute")]

mod commit_lost;
mod events;
mod fixture;
mod id_leases;
mod jobs;
mod lfs;
mod lfs_care;
mod lfs_uploads;
mod mail;
mod migrate;
mod mirrors;
mod owners;
mod packs;
mod policy;
mod races;
mod refs;
mod repositories;
mod transactions;
mod webhooks;
