//! Commands that store: their data is read over and they are refused, once.

use memchr::memchr;

use super::super::decimal::parse;
use super::super::{Event, MAX_BLOCK_BYTES, MAX_KEY_BYTES, Next, Source, Step, Then};
use super::Outcome;
use super::command::BAD_LINE;
use super::fields::Arguments;

/// The reply to what cannot be done here.
pub(super) const REFUSED: &[u8] = b"SERVER_ERROR this server issues ids and stores nothing\r\n";

const BAD_BLOCK: &[u8] = b"CLIENT_ERROR bad data chunk\r\n";

/// Data that is read over, never kept.
#[derive(Debug)]
pub(super) struct Block {
    /// Bytes of data that are still to come.
    left: u32,
    part: Part,
    /// What is said at the end.
    reply: &'static [u8],
    noreply: bool,
}

/// Where in a block the input is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// In the data, or at the line end behind it.
    Inside,
    /// Behind more data than was announced, in search of its line end.
    Overlong,
}

/// Understands `set key flags exptime bytes [noreply]` and its like, and `cas` with a token more.
///
/// A line whose data has no readable length ends the connection: the data would be taken for commands.
pub(super) fn answer<S: Source>(
    verb: &[u8],
    arguments: Option<Arguments<'_>>,
    out: &mut Vec<u8>,
    source: &mut S,
) -> Outcome {
    let Some(arguments) = arguments else {
        return malformed(out, source);
    };
    let (key, len) = match (verb, arguments.as_slice()) {
        (b"cas", [key, flags, time, len, token]) if is_number(flags) && is_time(time) && is_number(token) => {
            (key, len)
        }
        (b"cas", _) => return malformed(out, source),
        (_, [key, flags, time, len]) if is_number(flags) && is_time(time) => (key, len),
        _ => return malformed(out, source),
    };
    match Block::announced(key, len, arguments.noreply) {
        Some(block) => Outcome::Block(block),
        None => malformed(out, source),
    }
}

/// Ends the connection over a line whose data cannot be told from commands.
pub(super) fn malformed<S: Source>(out: &mut Vec<u8>, source: &mut S) -> Outcome {
    source.count(Event::Malformed);
    out.extend_from_slice(BAD_LINE);
    Outcome::Pause(Next::Close)
}

fn is_number(field: &[u8]) -> bool {
    parse(field).is_some()
}

/// Whether a field is an expiry: a number, negative for at once.
fn is_time(field: &[u8]) -> bool {
    is_number(field.strip_prefix(b"-").unwrap_or(field))
}

impl Block {
    /// The block that a line announces, if its length can be read and is bearable.
    pub(super) fn announced(key: &[u8], len: &[u8], noreply: bool) -> Option<Self> {
        let left = u32::try_from(parse(len)?).ok().filter(|len| *len <= MAX_BLOCK_BYTES)?;
        let reply = if key.len() > MAX_KEY_BYTES { BAD_LINE } else { REFUSED };
        Some(Self { left, part: Part::Inside, reply, noreply })
    }

    /// Reads over what there is of the block, and answers at its end.
    pub(super) fn step<S: Source>(&mut self, rest: &[u8], out: &mut Vec<u8>, source: &mut S) -> Step {
        if self.part == Part::Overlong {
            return match memchr(b'\n', rest) {
                Some(at) => self.end(at + 1, out, source),
                None => Step::new(rest.len(), Then::On),
            };
        }
        if self.left > 0 {
            let n = u32::try_from(rest.len()).unwrap_or(u32::MAX).min(self.left);
            self.left -= n;
            return Step::new(rest.len().min(n as usize), Then::On);
        }
        match rest {
            [b'\n', ..] => self.end(1, out, source),
            [b'\r', b'\n', ..] => self.end(2, out, source),
            [] | [b'\r'] => Step::starve(),
            _ => {
                self.part = Part::Overlong;
                self.reply = BAD_BLOCK;
                Step::new(0, Then::On)
            }
        }
    }

    fn end<S: Source>(&self, consumed: usize, out: &mut Vec<u8>, source: &mut S) -> Step {
        source.count(if self.reply == REFUSED { Event::Refused } else { Event::Malformed });
        if !self.noreply {
            out.extend_from_slice(self.reply);
        }
        Step::new(consumed, Then::Done)
    }
}
