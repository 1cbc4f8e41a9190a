//! Proofs: long runs that show what the product promises. CI runs each one small, `cargo xtask prove` in full.

mod crash;
mod drain;
mod jobs;
mod leftovers;
mod merges;
mod race;
mod rows;
mod soak;
mod stall;
mod whole;

pub use crash::{Crash, Crashed, crash};
pub use drain::{Drain, drain};
pub use jobs::{BrokerFaults, Jobs, Outage, Worked, jobs};
pub use merges::{Merged, Merges, merges};
pub use race::{Race, race};
pub use soak::{Soak, Soaked, soak};
pub use stall::{Stall, stall};
