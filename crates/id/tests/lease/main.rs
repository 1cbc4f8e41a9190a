//! Leases as a whole: the rules explored exhaustively, and real places held to them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the lints know tests only by their attribute")]

mod model;
mod redis_faults;
mod redis_rules;
mod redis_server;
