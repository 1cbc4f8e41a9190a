//! The reply to `get`, read strictly.
//!
//! ```text
//! VALUE h7 0 19\r\n          once a key, each with the key that was asked for
//! 354101311794212865\r\n
//! END\r\n                    and not a byte behind it
//! ```

use memchr::memchr;

/// Longest line in bytes: a header with a key of ours, an id, or words of refusal.
const MAX_LINE: usize = 512;

/// Why a reply does not count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplyError {
    /// The server said why it gives none.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The value belongs to another request.
    #[error("a value for another key than {0:?}")]
    OtherKey(String),
    /// What came is no reply to `get`.
    #[error("a reply that is none to `get`: {0:?}")]
    Malformed(String),
    /// The server gave 0, or what lies beyond the highest id.
    #[error("{0} is no id")]
    NoId(u64),
    /// The id is not above those that came before: it may have been given out twice.
    #[error("the id {id} came after {last}")]
    Falling {
        /// What came.
        id: u64,
        /// The one before.
        last: u64,
    },
    /// There were more or fewer values than keys.
    #[error("{found} ids instead of {wanted}")]
    Count {
        /// Keys in the request.
        wanted: usize,
        /// Values, as far as they were read.
        found: usize,
    },
    /// Something follows the reply.
    #[error("{0} bytes behind the reply")]
    Behind(usize),
}

/// A reply that is being read.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    key: &'a [u8],
    n: usize,
    last: u64,
    ids: Vec<u64>,
    /// How far the input is read.
    at: usize,
}

impl<'a> Reply<'a> {
    /// Awaits `n` ids above `last`, each under `key`.
    pub(super) fn new(key: &'a [u8], n: usize, last: u64) -> Self {
        Self { key, n, last, ids: Vec::with_capacity(n), at: 0 }
    }

    /// Reads on in `input`, which begins as it did at the last call; `true` once the reply is whole.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<bool, ReplyError> {
        loop {
            let Some(line) = first_line(&input[self.at..])? else { return Ok(false) };
            let body = self.at + line.len() + 2;
            if line == b"END" {
                return self.end(input.len() - body);
            }
            let Some(header) = line.strip_prefix(b"VALUE ") else { return Err(refusal(line)) };
            let size_bytes = self.size_bytes(header)?;
            if self.ids.len() == self.n {
                return Err(ReplyError::Count { wanted: self.n, found: self.n + 1 });
            }
            let Some(value) = first_line(&input[body..])? else { return Ok(false) };
            if value.len() != size_bytes {
                return Err(malformed(value));
            }
            let id = id(value, self.last)?;
            self.ids.push(id);
            self.last = id;
            self.at = body + value.len() + 2;
        }
    }

    /// The ids of a whole reply.
    pub(super) fn into_ids(self) -> Vec<u64> {
        self.ids
    }

    fn end(&self, n_behind: usize) -> Result<bool, ReplyError> {
        if self.ids.len() != self.n {
            return Err(ReplyError::Count { wanted: self.n, found: self.ids.len() });
        }
        if n_behind > 0 {
            return Err(ReplyError::Behind(n_behind));
        }
        Ok(true)
    }

    /// Reads `KEY FLAGS BYTES` of a header.
    fn size_bytes(&self, header: &[u8]) -> Result<usize, ReplyError> {
        let mut fields = header.split(|byte| *byte == b' ');
        if fields.next() != Some(self.key) {
            return Err(ReplyError::OtherKey(text(self.key)));
        }
        match (fields.next(), fields.next().and_then(decimal), fields.next()) {
            (Some(_flags), Some(size_bytes), None) => {
                usize::try_from(size_bytes).map_err(|_| malformed(header))
            }
            _ => Err(malformed(header)),
        }
    }
}

/// Takes a line off the front, without its end; `None` if it is not whole.
fn first_line(input: &[u8]) -> Result<Option<&[u8]>, ReplyError> {
    match memchr(b'\n', input) {
        Some(at) if at > MAX_LINE => Err(malformed(input)),
        Some(at) => match input[..at].strip_suffix(b"\r") {
            Some(line) => Ok(Some(line)),
            None => Err(malformed(&input[..at])),
        },
        None if input.len() > MAX_LINE => Err(malformed(input)),
        None => Ok(None),
    }
}

fn id(value: &[u8], last: u64) -> Result<u64, ReplyError> {
    match decimal(value) {
        Some(id) if id == 0 || i64::try_from(id).is_err() => Err(ReplyError::NoId(id)),
        Some(id) if id <= last => Err(ReplyError::Falling { id, last }),
        Some(id) => Ok(id),
        None => Err(malformed(value)),
    }
}

/// Reads digits and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

fn refusal(line: &[u8]) -> ReplyError {
    let words = ["ERROR", "CLIENT_ERROR ", "SERVER_ERROR "];
    if words.iter().any(|word| line.starts_with(word.as_bytes())) {
        ReplyError::Refused(text(line))
    } else {
        malformed(line)
    }
}

fn malformed(bytes: &[u8]) -> ReplyError {
    ReplyError::Malformed(text(bytes))
}

/// The first bytes as text without control characters, for messages.
fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(100)];
    String::from_utf8_lossy(shown).chars().filter(|c| !c.is_control()).collect()
}
