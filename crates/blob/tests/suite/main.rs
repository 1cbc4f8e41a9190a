//! Blobs through the door that others use, in a directory and in a bucket of a real engine.

#![expect(clippy::unwrap_used, reason = "what tests share fails the test that calls it")]

mod contract;
mod credentials;
mod engine;
mod hostile;
mod open;
mod sources;
mod uploads;
