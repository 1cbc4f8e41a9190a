//! Buffers that the connections of a thread take turns with, so that one that waits owns none.

use std::cell::RefCell;

/// Bytes taken from a socket at once.
const READ_BYTES: usize = 64 << 10;

/// Room for replies that is kept between turns.
const KEPT_BYTES: usize = 256 << 10;

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { read: Vec::new(), replies: Vec::new() }) };
}

/// The buffers of one turn.
pub(super) struct Scratch {
    /// What is read; its content means nothing before that.
    pub(super) read: Vec<u8>,
    /// What is to be written; empty at first.
    pub(super) replies: Vec<u8>,
}

/// Runs something that does not wait with this thread's buffers.
pub(super) fn with<T>(run: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.read.resize(READ_BYTES, 0);
        // A turn that panicked leaves its replies behind.
        scratch.replies.clear();
        scratch.replies.shrink_to(KEPT_BYTES);
        run(scratch)
    })
}
