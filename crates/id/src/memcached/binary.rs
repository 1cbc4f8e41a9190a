//! The binary protocol: a header of 24 bytes, then extras, key and value.
//!
//! ```text
//!  0      1      2      4      5    6       8      12      16     24
//! +------+------+------+------+----+-------+------+-------+------+---------------------+
//! | 0x80 |opcode| key  |extras| 0  |vbucket| body |opaque | cas  | extras, key, value  |
//! +------+------+------+------+----+-------+------+-------+------+---------------------+
//!                length length               length
//! ```
//!
//! A header that contradicts itself or its opcode is answered with "Invalid arguments" and ends the connection, as
//! memcached does; nothing is allocated for what a header claims.

use super::decimal::Decimal;
use super::{Event, MAX_BLOCK_BYTES, MAX_KEY_BYTES, Next, Source, Step, Then, VERSION, one_id};
use crate::issue::Refusal;

mod frame;

pub(super) use frame::REQUEST;
use frame::{HEADER_BYTES, Header, Status, write_response};

/// A conversation in frames.
#[derive(Debug, Default)]
pub(super) struct Binary {
    refused: Option<Refused>,
}

/// A request that is not known, of which so many bytes are still to be read over.
#[derive(Debug)]
struct Refused {
    header: Header,
    left: u32,
}

/// The commands that are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    Get(EchoKey),
    Quit,
    QuitQuietly,
    Noop,
    Version,
    Stat,
    Verbosity,
}

/// Whether a response repeats the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EchoKey {
    No,
    Yes,
}

impl Command {
    /// Finds a command by its opcode. The quiet forms of `get` are silent about misses, of which there are none.
    fn find(opcode: u8) -> Option<Self> {
        Some(match opcode {
            0x00 | 0x09 => Self::Get(EchoKey::No),
            0x0c | 0x0d => Self::Get(EchoKey::Yes),
            0x07 => Self::Quit,
            0x17 => Self::QuitQuietly,
            0x0a => Self::Noop,
            0x0b => Self::Version,
            0x10 => Self::Stat,
            0x1b => Self::Verbosity,
            _ => return None,
        })
    }

    /// Whether a header has the lengths that this command takes. An empty key is none.
    fn takes(self, header: &Header) -> bool {
        match self {
            Self::Get(_) => header.is_key_of(MAX_KEY_BYTES, 0) && header.n_key > 0,
            Self::Stat => header.is_key_of(MAX_KEY_BYTES, 0),
            Self::Verbosity => header.is_key_of(0, 4),
            Self::Quit | Self::QuitQuietly | Self::Noop | Self::Version => header.is_key_of(0, 0),
        }
    }
}

impl Binary {
    /// Takes the next part of `rest`.
    pub(super) fn step<S: Source>(&mut self, rest: &[u8], out: &mut Vec<u8>, source: &mut S) -> Step {
        if let Some(refused) = &mut self.refused {
            let n = u32::try_from(rest.len()).unwrap_or(u32::MAX).min(refused.left);
            refused.left -= n;
            let consumed = rest.len().min(n as usize);
            if refused.left > 0 {
                return Step::new(consumed, Then::On);
            }
            write_status(&refused.header, Status::UnknownCommand, out);
            source.count(Event::Refused);
            self.refused = None;
            return Step::new(consumed, Then::Done);
        }
        if rest.first().is_some_and(|first| *first != REQUEST) {
            source.count(Event::Malformed);
            return Step::close();
        }
        let Some(header) = rest.first_chunk::<HEADER_BYTES>().map(Header::parse) else {
            return Step::starve();
        };
        if !header.is_consistent() || header.n_body > MAX_BLOCK_BYTES {
            return invalid(&header, out, source);
        }
        let Some(command) = Command::find(header.opcode) else {
            return self.refuse(header, out, source);
        };
        if !command.takes(&header) {
            return invalid(&header, out, source);
        }
        // The lengths were judged: a frame is 24 bytes and a key at most.
        let whole = HEADER_BYTES + header.n_body as usize;
        match rest.get(HEADER_BYTES..whole) {
            Some(body) => {
                let then = answer(command, &header, body, out, source);
                Step::new(if matches!(then, Then::Done) { whole } else { 0 }, then)
            }
            None => Step::starve(),
        }
    }

    /// Refuses a command that is not known, once all of it was read over.
    fn refuse<S: Source>(&mut self, header: Header, out: &mut Vec<u8>, source: &mut S) -> Step {
        if header.n_body > 0 {
            self.refused = Some(Refused { header, left: header.n_body });
            return Step::new(HEADER_BYTES, Then::On);
        }
        write_status(&header, Status::UnknownCommand, out);
        source.count(Event::Refused);
        Step::new(HEADER_BYTES, Then::Done)
    }
}

fn answer<S: Source>(
    command: Command,
    header: &Header,
    body: &[u8],
    out: &mut Vec<u8>,
    source: &mut S,
) -> Then {
    match command {
        Command::Get(echo) => return get(header, if echo == EchoKey::Yes { body } else { &[] }, out, source),
        Command::QuitQuietly => return Then::Pause(Next::Close),
        Command::Quit => {
            write_status(header, Status::Success, out);
            return Then::Pause(Next::Close);
        }
        Command::Noop | Command::Verbosity => write_status(header, Status::Success, out),
        Command::Version => write_response(header, Status::Success, &[], &[], VERSION.as_bytes(), out),
        Command::Stat if body.is_empty() => {
            for (name, value) in source.stats() {
                write_response(header, Status::Success, &[], name.as_bytes(), value.as_bytes(), out);
            }
            write_status(header, Status::Success, out);
        }
        Command::Stat => write_status(header, Status::NotFound, out),
    }
    Then::Done
}

/// Answers with an id behind four bytes of flags, all zero.
fn get<S: Source>(header: &Header, key: &[u8], out: &mut Vec<u8>, source: &mut S) -> Then {
    match one_id(source) {
        Ok(id) => {
            write_response(header, Status::Success, &[0; 4], key, Decimal::new(id).digits(), out);
            Then::Done
        }
        Err(Refusal::Wait(by)) => Then::Pause(Next::Wait(by)),
        Err(refusal) => {
            source.count(Event::Misses(1));
            let (status, words) = match refusal {
                Refusal::NoLease => (Status::TemporaryFailure, "no lease"),
                Refusal::Behind { .. } | Refusal::Wait(_) => (Status::Busy, "the clock is behind"),
                Refusal::Exhausted => (Status::Internal, "the range of ids has come to its end"),
            };
            write_response(header, status, &[], &[], words.as_bytes(), out);
            Then::Done
        }
    }
}

/// Ends the connection over a header that cannot be believed.
fn invalid<S: Source>(header: &Header, out: &mut Vec<u8>, source: &mut S) -> Step {
    source.count(Event::Malformed);
    write_status(header, Status::InvalidArguments, out);
    Step::close()
}

/// Appends a response that is only a status, in words too.
fn write_status(header: &Header, status: Status, out: &mut Vec<u8>) {
    write_response(header, status, &[], &[], status.words().as_bytes(), out);
}
