//! Where a message ends, without reading it.
//!
//! MessagePack says no length in front, so the end is found by walking over the values. The walk is resumable: bytes
//! that were seen once are never looked at again, however slowly they come, and nothing is allocated for what a header
//! claims: an array of 2^32 - 1 elements costs as many steps as there are bytes.

use std::fmt;

/// How deep values may nest; our own messages need six.
pub const MAX_DEPTH: usize = 32;

/// Finds the end of one value after another.
#[derive(Debug)]
pub struct Scanner {
    /// Values that are still to come, for each open array or map; the last is the innermost.
    open: [u64; MAX_DEPTH],
    depth: usize,
    /// Bytes of the current message that were walked over.
    seen: usize,
    /// Bytes of a string that are still to be skipped.
    skip: u64,
    max_bytes: usize,
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than the limit.
    TooLong,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The byte 0xc1, which MessagePack never uses.
    Malformed,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the message is longer than the server takes",
            Self::TooDeep => "the message is nested deeper than 32 levels",
            Self::Malformed => "the bytes are no MessagePack",
        })
    }
}

impl std::error::Error for FrameError {}

/// What a first byte says: bytes that belong to the header, bytes to skip behind it, values that follow.
struct Header {
    n_bytes: usize,
    skip: u64,
    values: u64,
}

impl Scanner {
    /// Finds messages of at most so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { open: [0; MAX_DEPTH], depth: 0, seen: 0, skip: 0, max_bytes }
    }

    /// Walks on over the bytes of the current message, which begin with those that were given before. Returns how
    /// long the message is once all of it is there; the next call begins another one.
    ///
    /// # Errors
    /// [`FrameError`]; the connection is of no use any more.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        loop {
            let rest = bytes.get(self.seen..).unwrap_or_default();
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rest.len());
                self.seen += skipped;
                self.skip -= skipped as u64;
                if self.skip > 0 {
                    return self.bounded(None);
                }
                if let Some(end) = self.close() {
                    return self.bounded(Some(end));
                }
                continue;
            }
            let Some(header) = header(rest)? else { return self.bounded(None) };
            self.seen += header.n_bytes;
            if header.skip > 0 {
                self.skip = header.skip;
                if self.seen as u64 + header.skip > self.max_bytes as u64 {
                    return Err(FrameError::TooLong);
                }
            } else if header.values > 0 {
                *self.open.get_mut(self.depth).ok_or(FrameError::TooDeep)? = header.values;
                self.depth += 1;
            } else if let Some(end) = self.close() {
                return self.bounded(Some(end));
            }
        }
    }

    /// One value ended: so do all arrays and maps of which it was the last.
    fn close(&mut self) -> Option<usize> {
        while self.depth > 0 {
            let left = &mut self.open[self.depth - 1];
            *left -= 1;
            if *left > 0 {
                return None;
            }
            self.depth -= 1;
        }
        Some(std::mem::take(&mut self.seen))
    }

    fn bounded(&self, end: Option<usize>) -> Result<Option<usize>, FrameError> {
        if end.unwrap_or(self.seen) > self.max_bytes { Err(FrameError::TooLong) } else { Ok(end) }
    }
}

/// Reads the header of a value; `None` if some of it is still to come. Source: the MessagePack specification, "Formats".
fn header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let whole = |n_bytes: usize| Some(Header { n_bytes: 1, skip: n_bytes as u64, values: 0 });
    let values = |values: u64| Some(Header { n_bytes: 1, skip: 0, values });
    let long = |width: usize, extra: u64| {
        length(bytes, width).map(|n| Header { n_bytes: 1 + width, skip: n + extra, values: 0 })
    };
    let many = |width: usize, each: u64| {
        length(bytes, width).map(|n| Header { n_bytes: 1 + width, skip: 0, values: n * each })
    };
    Ok(match first {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => whole(0),
        0x80..=0x8f => values(u64::from(first & 0x0f) * 2),
        0x90..=0x9f => values(u64::from(first & 0x0f)),
        0xa0..=0xbf => whole(usize::from(first & 0x1f)),
        0xc1 => return Err(FrameError::Malformed),
        0xc4 | 0xd9 => long(1, 0),
        0xc5 | 0xda => long(2, 0),
        0xc6 | 0xdb => long(4, 0),
        0xc7 => long(1, 1),
        0xc8 => long(2, 1),
        0xc9 => long(4, 1),
        0xcc | 0xd0 => whole(1),
        0xcd | 0xd1 | 0xd4 => whole(2),
        0xd5 => whole(3),
        0xca | 0xce | 0xd2 => whole(4),
        0xd6 => whole(5),
        0xcb | 0xcf | 0xd3 => whole(8),
        0xd7 => whole(9),
        0xd8 => whole(17),
        0xdc => many(2, 1),
        0xdd => many(4, 1),
        0xde => many(2, 2),
        0xdf => many(4, 2),
    })
}

/// Reads a big-endian length behind the first byte.
fn length(bytes: &[u8], width: usize) -> Option<u64> {
    let digits = bytes.get(1..=width)?;
    Some(digits.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests;
