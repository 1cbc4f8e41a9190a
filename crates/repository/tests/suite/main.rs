//! Repositories against real databases, real directories and the real git.

#![expect(clippy::unwrap_used, reason = "what tests share fails the test that calls it")]

mod adopt;
mod cache;
mod commit_lost;
mod compact;
mod crash;
mod derived;
mod erase;
mod fixture;
mod fork;
mod import;
mod make;
mod protocol;
mod races;
mod receive;
