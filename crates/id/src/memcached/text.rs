//! The text protocol: lines, and blocks of data that are read over.

use memchr::memchr;

use super::{Event, MAX_COMMAND_BYTES, Next, Settings, Source, Step, Then};

mod command;
mod fields;
mod get;
mod http;
mod meta;
mod store;

use fields::Fields;
use get::Get;
use store::Block;

/// A conversation in text.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// How much of the unconsumed input is known to hold no line feed, so that a line that comes in pieces is
    /// searched once.
    scanned: usize,
    state: State,
}

/// What the next byte belongs to.
#[derive(Debug, Default)]
enum State {
    /// The beginning of a command.
    #[default]
    Line,
    /// The keys of a `get` that was understood and is not fully answered yet.
    Get(Get),
    /// The data of a command that stores.
    Block(Block),
}

/// What a command's line leads to.
enum Outcome {
    /// The reply is written.
    Answered,
    /// Its keys are answered next; they begin so far behind the line's start.
    Get { keys_at: usize, get: Get },
    /// Data follows.
    Block(Block),
    /// To be asked again, or the end.
    Pause(Next),
}

impl Text {
    /// Takes the next part of `rest`.
    pub(super) fn step<S: Source>(
        &mut self,
        rest: &[u8],
        out: &mut Vec<u8>,
        source: &mut S,
        settings: &Settings,
    ) -> Step {
        let step = match &mut self.state {
            State::Line => return self.line(rest, out, source, settings),
            State::Get(get) => get.step(rest, out, source, settings),
            State::Block(block) => block.step(rest, out, source),
        };
        if matches!(step.then, Then::Done) {
            self.state = State::Line;
        }
        step
    }

    fn line<S: Source>(
        &mut self,
        rest: &[u8],
        out: &mut Vec<u8>,
        source: &mut S,
        settings: &Settings,
    ) -> Step {
        let scanned = self.scanned.min(rest.len());
        let end = memchr(b'\n', &rest[scanned..]).map(|at| scanned + at);
        let line = &rest[..end.unwrap_or(rest.len())];
        if is_too_long(line, settings) {
            source.count(Event::Malformed);
            out.extend_from_slice(b"CLIENT_ERROR line too long\r\n");
            return Step::close();
        }
        if end.is_none() {
            self.scanned = rest.len();
            return Step::starve();
        }
        self.scanned = 0;
        let whole = line.len() + 1;
        match command::answer(line, out, source, settings) {
            Outcome::Answered => Step::new(whole, Then::Done),
            Outcome::Get { keys_at, get } => {
                self.state = State::Get(get);
                Step::new(keys_at, Then::On)
            }
            Outcome::Block(block) => {
                self.state = State::Block(block);
                Step::new(whole, Then::On)
            }
            Outcome::Pause(next) => Step::new(0, Then::Pause(next)),
        }
    }
}

/// Whether a line, or the beginning of one, is longer than its verb may be. Only the bytes within the smaller bound
/// decide which verb it is, so that the answer is the same however the line arrives.
fn is_too_long(line: &[u8], settings: &Settings) -> bool {
    let Some(beginning) = line.get(..=MAX_COMMAND_BYTES) else {
        return line.len() > settings.max_line_bytes;
    };
    let verb = Fields::new(beginning).next().unwrap_or_default();
    let is_get = verb.eq_ignore_ascii_case(b"get") || verb.eq_ignore_ascii_case(b"gets");
    !is_get || line.len() > settings.max_line_bytes
}
