//! Mirrors: a repository that follows one of another host (pull), and ones of other hosts that follow ours (push).
//!
//! ```text
//! time comes, somebody asks ──┐
//! fan_out of a push (push) ───┴─▶ job mirror ─▶ pin, list ─▶ fetch ─▶ judge ─▶ commit      (pull)
//!                                                  └────────▶ push what differs            (push)
//!                                     row: tried, synced, failing since, what it said  ◀──┘
//! ```
//!
//! The rows say when a mirror is tried next; whoever moves that time enqueues the job in the same transaction. A sync
//! makes one side what the other is, so running it twice does no harm, and one that was cut is begun again.

mod filter;
mod manage;
mod pull;
mod push;
mod schedule;
mod settings;
mod sync;

pub use settings::MirrorSettings;

pub(crate) use filter::Filter;
pub(crate) use manage::{Shown, Wish};
pub(crate) use schedule::Unscheduled;
pub(crate) use sync::metrics;

#[cfg(test)]
mod tests;
