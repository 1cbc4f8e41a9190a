//! The servers and clients of the repository service, against each other and against git.

#![expect(clippy::unwrap_used, reason = "what tests share fails the test that calls it")]

mod contract;
mod fixture;
mod hostile;
mod making;
mod writing;
