//! Any frames mean the same however they are cut, keep the bounds and never panic.

#![no_main]

use hakata_id::Refusal;
use hakata_id::memcached::{Event, MAX_COMMAND_BYTES, Next, Session, Settings, Source};

#[path = "../../src/memcached/tests/harness.rs"]
#[allow(dead_code)]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first = 0x80;
    }
    harness::check_at_odds(&bytes);
});
