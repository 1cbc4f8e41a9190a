//! A connection without IO: pieces of bytes go in, whole conversations come out. The fuzz targets include this file.

use std::sync::Arc;
use std::time::Duration;

use super::{Event, Next, Refusal, Session, Settings, Source};

/// The first id that a [`Counting`] source gives.
pub(crate) const FIRST: u64 = 1_000_000_000_000_000_000;

/// What a single reply may add above the bound of unsent replies, in bytes; none of these tests' is longer.
const ROOM: usize = 400;

/// A source whose ids are `FIRST`, `FIRST` + 1 and so on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counting {
    /// How many ids each question yields at most, over and over; 0 makes the client wait. Empty: as many as asked.
    pub(crate) plan: Vec<u32>,
    /// What is refused instead.
    pub(crate) refusal: Option<Refusal>,
    /// How many ids each question asked for.
    pub(crate) asked: Vec<u32>,
    /// How many ids were given.
    pub(crate) given: u64,
    /// What was counted.
    pub(crate) events: Vec<Event>,
}

impl Source for Counting {
    fn ids(&mut self, n: u32, each: &mut dyn FnMut(u64)) -> Result<u32, Refusal> {
        assert!(n > 0, "nobody asks for no ids");
        self.asked.push(n);
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let quota = match self.plan.len() {
            0 => n,
            len => self.plan[(self.asked.len() - 1) % len].min(n),
        };
        if quota == 0 {
            return Err(Refusal::Wait(Duration::from_millis(1)));
        }
        for _ in 0..quota {
            each(FIRST + self.given);
            self.given += 1;
        }
        Ok(quota)
    }

    fn stats(&mut self) -> Vec<(String, String)> {
        [("pid", "7"), ("version", "0")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    fn count(&mut self, what: Event) {
        self.events.push(what);
    }
}

/// A whole conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Talk {
    /// Everything that was replied.
    pub(crate) replies: Vec<u8>,
    /// How many requests were completed.
    pub(crate) requests: u32,
    /// Whether the session ended it.
    pub(crate) closed: bool,
}

/// Feeds `pieces` one by one and does what the session says.
pub(crate) fn talk<'a>(
    settings: &Settings,
    source: &mut Counting,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Talk {
    let mut session = Session::new(Arc::new(settings.clone()));
    let (mut talk, mut buffer, mut out) = (Talk::default(), Vec::new(), Vec::new());
    let bound = settings.max_unsent_bytes + ROOM;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = out.len();
            let progress = session.feed(&buffer, &mut out, source);
            assert!(out.len() <= bound.max(before), "{} bytes of replies exceed the bound", out.len());
            let all = progress.then != Next::Close || progress.consumed == buffer.len();
            assert!(all, "what is behind the end is dropped");
            buffer.drain(..progress.consumed);
            talk.requests += progress.requests;
            match progress.then {
                Next::Wait(by) => assert!(by > Duration::ZERO, "a wait without a time would spin"),
                Next::Flush => {
                    assert!(!out.is_empty(), "nothing to flush");
                    talk.replies.append(&mut out);
                }
                Next::Continue => {
                    talk.replies.append(&mut out);
                    break;
                }
                Next::Close => {
                    talk.replies.append(&mut out);
                    talk.closed = true;
                    let mut source = Counting::default();
                    let after = session.feed(b"get a\r\n", &mut out, &mut source);
                    assert!(after.then == Next::Close && out.is_empty(), "closed stays closed");
                    return talk;
                }
            }
        }
        let longest = settings.max_line_bytes.max(super::MAX_COMMAND_BYTES);
        assert!(buffer.len() <= longest, "{} bytes wait for the rest of a command", buffer.len());
    }
    talk
}

/// Feeds all bytes at once to a source that never runs dry.
pub(crate) fn say(bytes: &[u8]) -> (Talk, Counting) {
    let mut source = Counting::default();
    let talk = talk(&Settings::default(), &mut source, [bytes]);
    (talk, source)
}

/// Cuts `bytes` at each of `cuts`, taken modulo their length.
pub(crate) fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.sort_unstable();
    at.push(bytes.len());
    let mut from = 0;
    at.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect()
}

/// Demands that `bytes` mean the same whole and in pieces, to a generous source and a mean one, with much room for
/// replies and with little.
pub(crate) fn check(bytes: &[u8], cuts: &[usize], plan: &[u32]) {
    let roomy = Settings { max_line_bytes: 4000, max_keys_per_get: 1000, ..Settings::default() };
    let tight = Settings { max_unsent_bytes: 150, ..roomy.clone() };
    let mut generous = Counting::default();
    let whole = talk(&roomy, &mut generous, [bytes]);
    let ways = [(&roomy, cut(bytes, cuts)), (&tight, cut(bytes, cuts)), (&tight, bytes.chunks(1).collect())];
    for (settings, pieces) in ways {
        let mut mean = Counting { plan: plan.to_vec(), ..Counting::default() };
        let in_pieces = talk(settings, &mut mean, pieces);
        assert_eq!(shown(&in_pieces), shown(&whole), "the same bytes, cut at {cuts:?}");
        assert_eq!(mean.given, generous.given, "an id is spent once a key");
        assert_eq!(n_hits(&mean), mean.given, "an id that was taken is a hit");
    }
}

/// [`check`] with cuts and a plan that follow from the bytes themselves.
pub(crate) fn check_at_odds(bytes: &[u8]) {
    let sum = bytes.iter().fold(7usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let cuts = [sum, sum >> 5, sum >> 11, sum >> 17, bytes.len() / 2];
    let plan = [1 + u32::from(sum.is_multiple_of(3)), 0, u32::from(sum.is_multiple_of(2)) * 40];
    check(bytes, &cuts, &plan);
}

fn shown(talk: &Talk) -> (String, u32, bool) {
    (talk.replies.escape_ascii().to_string(), talk.requests, talk.closed)
}

fn n_hits(source: &Counting) -> u64 {
    source.events.iter().map(|event| if let Event::Hits(n) = event { u64::from(*n) } else { 0 }).sum()
}
