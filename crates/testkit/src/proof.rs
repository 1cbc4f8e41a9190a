//! Proofs: long runs that show what the product promises. CI runs each one small, `cargo xtask prove` in full.

mod crash;
mod drain;
mod race;
mod slow_proxy;
mod stall;

pub use crash::{Crash, crash};
pub use drain::{Drain, drain};
pub use race::{Race, race};
pub use stall::{Stall, stall};
