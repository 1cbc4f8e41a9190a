//! Any text means the same however it is cut, keeps the bounds and never panics.

#![no_main]

use hakata_id::Refusal;
use hakata_id::memcached::{Event, MAX_COMMAND_BYTES, Next, Session, Settings, Source};

#[path = "../../src/memcached/tests/harness.rs"]
#[allow(dead_code)]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Frames are the other target's.
    if bytes.first() != Some(&0x80) {
        harness::check_at_odds(bytes);
    }
});
