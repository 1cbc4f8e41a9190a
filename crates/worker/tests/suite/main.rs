//! Workers over a whole forge, on each engine: nothing lost, nothing twice, nothing above a limit.
#![allow(clippy::unwrap_used, reason = "the lints know tests only by their attribute")]

mod broker;
mod commits;
mod ending;
mod fixture;
mod limits;
mod rabbit;
mod usage;
mod wake;
