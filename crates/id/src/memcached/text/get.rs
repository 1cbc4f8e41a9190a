//! `get` and `gets`: an id a key.

use super::super::decimal::{Decimal, MAX_DIGITS};
use super::super::{Event, MAX_KEY_BYTES, NO_IDS, Next, Settings, Source, Step, Then};
use super::command::{BAD_LINE, ERROR, write_refusal};
use super::fields::Fields;
use crate::issue::Refusal;

/// What a `VALUE` takes beside its key: `VALUE  0 20 <cas>\r\n<id>\r\n`.
const VALUE_BYTES: usize = b"VALUE  0 20 \r\n\r\n".len() + 2 * MAX_DIGITS;

/// Whether each value carries a token for compare-and-swap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cas {
    /// Four fields.
    Absent,
    /// Five: the id serves, being unique.
    Id,
}

/// A `get` whose keys are being answered. They are consumed one by one, so that no key is answered twice when ids or
/// room for replies run out on the way.
#[derive(Debug)]
pub(super) struct Get {
    cas: Cas,
    /// Keys that are still to be answered.
    n_left: u32,
    /// Bytes to the end of the line, its line feed included.
    line_left: usize,
    /// Length of the longest key.
    longest: usize,
}

impl Get {
    /// Judges the keys of a whole line before any id is spent.
    ///
    /// # Errors
    /// The reply to a line that cannot be served.
    pub(super) fn parse(keys: &[u8], cas: Cas, settings: &Settings) -> Result<Self, &'static [u8]> {
        let (mut n_left, mut longest) = (0u32, 0);
        for key in Fields::new(keys) {
            n_left += 1;
            longest = longest.max(key.len());
        }
        if n_left == 0 {
            return Err(ERROR);
        }
        if longest > MAX_KEY_BYTES {
            return Err(BAD_LINE);
        }
        if n_left > settings.max_keys_per_get {
            return Err(b"CLIENT_ERROR too many keys\r\n");
        }
        Ok(Self { cas, n_left, line_left: keys.len() + 1, longest })
    }

    /// Answers as many keys as there are ids and room for.
    pub(super) fn step<S: Source>(
        &mut self,
        rest: &[u8],
        out: &mut Vec<u8>,
        source: &mut S,
        settings: &Settings,
    ) -> Step {
        let Some(line) = rest.get(..self.line_left) else {
            return Step::starve();
        };
        let n = self.fitting(out, settings);
        if n == 0 {
            return Step::new(0, Then::Pause(Next::Flush));
        }
        let mut keys = Fields::new(&line[..line.len() - 1]);
        let mut n_given = 0;
        let issued = source.ids(n, &mut |id| {
            if let Some(key) = keys.next() {
                n_given += 1;
                write_value(key, id, self.cas, out);
            }
        });
        match issued {
            Ok(_) if n_given > 0 => source.count(Event::Hits(n_given)),
            Ok(_) => return Step::new(0, Then::Pause(Next::Wait(NO_IDS))),
            Err(Refusal::Wait(by)) => return Step::new(0, Then::Pause(Next::Wait(by))),
            Err(refusal) => {
                source.count(Event::Misses(self.n_left));
                write_refusal(refusal, out);
                return Step::new(self.line_left, Then::Done);
            }
        }
        self.n_left = self.n_left.saturating_sub(n_given);
        if self.n_left == 0 {
            out.extend_from_slice(b"END\r\n");
            return Step::new(self.line_left, Then::Done);
        }
        self.line_left -= keys.position();
        Step::new(keys.position(), Then::On)
    }

    /// How many of the keys can be answered without exceeding the bound of unsent replies: all that are left, or as
    /// many as fit if less than half of the bound is used, so that a long `get` takes few steps. One always, if there
    /// are no replies yet.
    fn fitting(&self, out: &[u8], settings: &Settings) -> u32 {
        let room = settings.max_unsent_bytes.saturating_sub(out.len());
        let n = u32::try_from(room / (self.longest + VALUE_BYTES)).unwrap_or(u32::MAX);
        match out.len() {
            0 => n.clamp(1, self.n_left),
            _ if n >= self.n_left => self.n_left,
            len if len < room => n,
            _ => 0,
        }
    }
}

fn write_value(key: &[u8], id: u64, cas: Cas, out: &mut Vec<u8>) {
    let id = Decimal::new(id);
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    out.extend_from_slice(b" 0 ");
    out.extend_from_slice(id.len_digits());
    if cas == Cas::Id {
        out.push(b' ');
        out.extend_from_slice(id.digits());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(id.digits());
    out.extend_from_slice(b"\r\n");
}
