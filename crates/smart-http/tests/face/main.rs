//! The face as its clients see it: raw requests, hostile ones, and the real git.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod clients;
mod fixture;
mod hostile;
mod leaving;
mod raw;
mod table;
