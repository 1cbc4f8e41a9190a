//! The repository service of the real binary, with its own client and with those of other people.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "rpc/clients.rs"]
mod clients;
#[path = "rpc/place.rs"]
mod place;
#[path = "rpc/switching.rs"]
mod switching;
