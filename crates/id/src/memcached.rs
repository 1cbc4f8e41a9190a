//! The memcached protocols, text and binary, without IO: bytes in, bytes out.
//!
//! A [`Session`] answers every `get` of any key with a fresh id, in the words of memcached, so that its clients and
//! those of katsubushi need no change. It stores nothing: what a client wants to store is read over and refused once.
//!
//! ```text
//! first byte 0x80   binary, until the end of the connection
//! first byte 0x16   a TLS handshake: one line says so, close
//! any other         text; a request of HTTP is told so and closed, no id is spent on it
//! ```
//!
//! A line without its end, or a frame without its last byte, is never executed. However the same bytes are cut, the
//! replies are the same. No command allocates anything but room for its reply.
//!
//! Source: doc/protocol.txt of memcached; the memcached wiki's binary protocol (`BinaryProtocolRevamped`).

use std::sync::Arc;
use std::time::Duration;

use crate::issue::Refusal;

mod binary;
mod decimal;
mod text;

/// Where a session takes ids from and leaves its counts.
pub trait Source {
    /// Gives up to `n` ids to `each`, in rising order, and returns how many; at least one if it is `Ok`.
    ///
    /// # Errors
    /// If there is none now; `each` was not called then. [`Refusal::Wait`] becomes [`Next::Wait`], any other is told
    /// to the client.
    fn ids(&mut self, n: u32, each: &mut dyn FnMut(u64)) -> Result<u32, Refusal>;

    /// Lists what `stats` answers, in order.
    fn stats(&mut self) -> Vec<(String, String)>;

    /// Counts something that happened.
    fn count(&mut self, what: Event);

    /// Says that what was received is answered as far as it can be: what was counted may be added up.
    fn end_turn(&mut self) {}
}

/// What a session counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// So many keys were answered with an id.
    Hits(u32),
    /// So many keys were not, as ids were refused.
    Misses(u32),
    /// A command that stores was read over and refused.
    Refused,
    /// A command was malformed or is not known.
    Malformed,
    /// HTTP or TLS was spoken on this port.
    Foreign,
}

/// What bounds a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Longest line of a `get`, in bytes. Other lines are bounded by [`MAX_COMMAND_BYTES`].
    pub max_line_bytes: usize,
    /// Most keys in one `get`.
    pub max_keys_per_get: u32,
    /// Bytes of unsent replies at which a session asks for [`Next::Flush`].
    pub max_unsent_bytes: usize,
    /// Where HTTP is served instead, for whoever speaks it here.
    pub http: Option<String>,
}

/// Longest line of any command but `get` and `gets`, in bytes. Source: memcached, which closes above 2 KiB.
pub const MAX_COMMAND_BYTES: usize = 2048;

/// Longest key in bytes. Source: doc/protocol.txt of memcached.
pub const MAX_KEY_BYTES: usize = 250;

/// Largest value that is read over, in bytes: the largest that memcached can be told to take (`-I 1g`).
pub const MAX_BLOCK_BYTES: u32 = 1 << 30;

/// The version that clients are told: that of the memcached whose commands are understood, then ours. libmemcached
/// gives up on a major number of zero.
pub const VERSION: &str = concat!("1.6.0-hakata-", env!("CARGO_PKG_VERSION"));

impl Default for Settings {
    fn default() -> Self {
        Self { max_line_bytes: 1 << 20, max_keys_per_get: 100_000, max_unsent_bytes: 1 << 20, http: None }
    }
}

/// How far a session came with its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes of the input that are done with; the rest is given again, with what came behind it.
    pub consumed: usize,
    /// Requests that were completed; these extend the idle timeout.
    pub requests: u32,
    /// What the connection does next.
    pub then: Next,
}

/// What a connection does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Writes what there is and reads more.
    Continue,
    /// Calls again with the unconsumed input after this time: the ids of this tick are used up. The replies so far
    /// may be written meanwhile.
    Wait(Duration),
    /// Writes before it calls again: the replies have reached their bound.
    Flush,
    /// Writes what there is and closes.
    Close,
}

/// One connection's side of the conversation.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    protocol: Protocol,
}

#[derive(Debug)]
enum Protocol {
    Unknown,
    Text(text::Text),
    Binary(binary::Binary),
    Closed,
}

/// What one step of a protocol used of its input, and what follows.
struct Step {
    consumed: usize,
    then: Then,
}

/// What follows a step.
enum Then {
    /// A request is complete.
    Done,
    /// A part of one is.
    On,
    /// The input ends within a request.
    Starve,
    /// The connection has something to do first.
    Pause(Next),
}

impl Step {
    fn new(consumed: usize, then: Then) -> Self {
        Self { consumed, then }
    }

    /// Ends the connection: what else was received is dropped.
    fn close() -> Self {
        Self::new(0, Then::Pause(Next::Close))
    }

    fn starve() -> Self {
        Self::new(0, Then::Starve)
    }
}

impl Session {
    /// Opens a session; the first byte that it is fed chooses the protocol.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, protocol: Protocol::Unknown }
    }

    /// Answers every complete request at the start of `input` and appends the replies to `out`.
    ///
    /// `input` begins with what the last call left unconsumed. It may end anywhere; the session needs it to grow to
    /// [`Settings::max_line_bytes`] at most. After a call, `out` holds [`Settings::max_unsent_bytes`] and 4 KiB at
    /// most, if it held no more before.
    pub fn feed<S: Source>(&mut self, input: &[u8], out: &mut Vec<u8>, source: &mut S) -> Progress {
        let mut progress = Progress { consumed: 0, requests: 0, then: Next::Continue };
        while progress.consumed < input.len() {
            if !out.is_empty() && out.len() >= self.settings.max_unsent_bytes {
                progress.then = Next::Flush;
                return progress;
            }
            let step = self.step(&input[progress.consumed..], out, source);
            progress.consumed += step.consumed;
            match step.then {
                Then::Done => progress.requests += 1,
                Then::On => {}
                Then::Starve => return progress,
                Then::Pause(next) => {
                    if next == Next::Close {
                        progress.requests += 1;
                        progress.consumed = input.len();
                        self.protocol = Protocol::Closed;
                    }
                    progress.then = next;
                    return progress;
                }
            }
        }
        progress
    }

    fn step<S: Source>(&mut self, rest: &[u8], out: &mut Vec<u8>, source: &mut S) -> Step {
        match &mut self.protocol {
            Protocol::Text(text) => text.step(rest, out, source, &self.settings),
            Protocol::Binary(binary) => binary.step(rest, out, source),
            Protocol::Closed => Step::close(),
            Protocol::Unknown => match rest {
                // Two bytes of every TLS record; no command of text begins so.
                [0x16] => Step::starve(),
                [0x16, 0x03, ..] => {
                    source.count(Event::Foreign);
                    out.extend_from_slice(b"SERVER_ERROR this port speaks memcached without TLS\r\n");
                    Step::close()
                }
                [first, ..] => {
                    self.protocol = if *first == binary::REQUEST {
                        Protocol::Binary(binary::Binary::default())
                    } else {
                        Protocol::Text(text::Text::default())
                    };
                    Step::new(0, Then::On)
                }
                [] => Step::starve(),
            },
        }
    }
}

/// Takes one id.
///
/// # Errors
/// What the connection does before it asks again, or what the client is told.
fn one_id<S: Source>(source: &mut S) -> Result<u64, Refusal> {
    let mut id = None;
    source.ids(1, &mut |next| id = Some(next))?;
    match id {
        Some(id) => {
            source.count(Event::Hits(1));
            Ok(id)
        }
        None => Err(Refusal::Wait(NO_IDS)),
    }
}

/// How long to wait for a source that gave none and did not say.
const NO_IDS: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
