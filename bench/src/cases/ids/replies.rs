//! Requests and replies of the servers compared, checked while they are counted.

use anyhow::{Result, ensure};

/// The value that memcached returns: as long as an id.
pub(super) const VALUE: u64 = 4_096_000_000_000_000_000;

/// What is asked and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Ids over memcached's text protocol.
    Ids,
    /// The same from a server that may borrow from ticks that have not begun.
    Borrowed,
    /// `get` of a stored value.
    Get,
    /// `get` of the server that only writes what it has ready.
    Floor,
    /// `incr` of a counter.
    Incr,
    /// Redis's `INCR`.
    RedisIncr,
}

impl Dialect {
    /// The name in tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ids => "hakata",
            Self::Borrowed => "hakata borrowing",
            Self::Get => "memcached get",
            Self::Floor => "bare sockets",
            Self::Incr => "memcached incr",
            Self::RedisIncr => "redis INCR",
        }
    }

    /// One request for `n_keys` numbers.
    pub(super) fn request(self, n_keys: usize) -> Vec<u8> {
        match self {
            Self::Ids | Self::Borrowed | Self::Get | Self::Floor => {
                format!("get{}\r\n", " k".repeat(n_keys)).into_bytes()
            }
            Self::Incr => b"incr n 1\r\n".to_vec(),
            Self::RedisIncr => b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".to_vec(),
        }
    }

    /// Reads one reply at the start of `input`; returns its length, or `None` if it is not whole.
    ///
    /// `last` is the number that this connection received before: the next one must be above.
    pub(super) fn read(self, input: &[u8], n_keys: usize, last: &mut u64) -> Result<Option<usize>> {
        // A reply that is not whole is read again from its beginning.
        let mut reached = *last;
        let length = match self {
            Self::Ids | Self::Borrowed => values(input, n_keys, |id| rises(id, &mut reached)),
            Self::Get | Self::Floor => values(input, n_keys, is_stored),
            Self::Incr => number(input, b"", &mut reached),
            Self::RedisIncr => number(input, b":", &mut reached),
        }?;
        if length.is_some() {
            *last = reached;
        }
        Ok(length)
    }
}

/// Reads `VALUE k 0 SIZE`, a number, and so on, up to `END`.
fn values(input: &[u8], n_keys: usize, mut each: impl FnMut(u64) -> Result<()>) -> Result<Option<usize>> {
    let mut at = 0;
    for _ in 0..n_keys {
        let Some(header) = input.get(at..at + 14) else { return Ok(None) };
        ensure!(header.starts_with(b"VALUE k 0 "), "{:?} is no value", String::from_utf8_lossy(header));
        let Some((size, size_length)) = digits(&input[at + 10..]) else { return Ok(None) };
        let body = at + 10 + size_length + 2;
        let Some((value, length)) = digits(&input[body..]) else { return Ok(None) };
        ensure!(size == length as u64, "a value of {length} bytes said to be {size} long");
        each(value)?;
        at = body + length + 2;
    }
    let Some(end) = input.get(at..at + 5) else { return Ok(None) };
    ensure!(end == b"END\r\n", "{:?} is no end", String::from_utf8_lossy(end));
    Ok(Some(at + 5))
}

fn number(input: &[u8], sign: &[u8], last: &mut u64) -> Result<Option<usize>> {
    if input.len() <= sign.len() {
        return Ok(None);
    }
    ensure!(
        input.starts_with(sign),
        "{:?} is no number",
        String::from_utf8_lossy(&input[..input.len().min(40)])
    );
    let Some((value, length)) = digits(&input[sign.len()..]) else { return Ok(None) };
    rises(value, last)?;
    Ok(Some(sign.len() + length + 2))
}

fn is_stored(value: u64) -> Result<()> {
    ensure!(value == VALUE, "{value} was not stored");
    Ok(())
}

fn rises(value: u64, last: &mut u64) -> Result<()> {
    ensure!(value > *last, "{value} came after {last}");
    *last = value;
    Ok(())
}

/// Reads digits up to the end of a line; `None` if that has not come. What is no digit gives length 0.
fn digits(input: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in input.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
            b'\r' if input.len() > at + 1 => return Some((value, at)),
            b'\r' => return None,
            _ => return Some((0, 0)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Dialect, VALUE};

    #[test]
    fn whole_replies_are_measured_and_parts_awaited() {
        let value = format!("VALUE k 0 19\r\n{VALUE}\r\nEND\r\n");
        let cases = [
            (Dialect::Ids, "VALUE k 0 1\r\n5\r\nEND\r\n", 1),
            (Dialect::Ids, "VALUE k 0 1\r\n5\r\nVALUE k 0 2\r\n16\r\nEND\r\n", 2),
            (Dialect::Get, &value, 1),
            (Dialect::Incr, "77\r\n", 1),
            (Dialect::RedisIncr, ":77\r\n", 1),
        ];
        for (dialect, reply, n_keys) in cases {
            let mut last = 0;
            for end in 0..reply.len() {
                let part = dialect.read(&reply.as_bytes()[..end], n_keys, &mut last);
                assert_eq!(part.unwrap(), None, "{dialect:?} takes a part for a reply: {:?}", &reply[..end]);
            }
            let twice = reply.repeat(2);
            assert_eq!(dialect.read(twice.as_bytes(), n_keys, &mut last).unwrap(), Some(reply.len()));
        }
    }

    #[test]
    fn wrong_replies_are_found() {
        let cases = [
            (Dialect::Ids, "VALUE k 0 1\r\n3\r\nEND\r\n"),
            (Dialect::Ids, "SERVER_ERROR no lease\r\n"),
            (Dialect::Ids, "VALUE k 0 2\r\n5\r\nEND\r\n"),
            (Dialect::Ids, "VALUE k 0 1\r\n5\r\nVALUE k 0 1\r\n6\r\n"),
            (Dialect::Get, "VALUE k 0 1\r\n5\r\nEND\r\n"),
            (Dialect::Incr, "3\r\n"),
            (Dialect::RedisIncr, "-ERR\r\n"),
        ];
        for (dialect, reply) in cases {
            assert!(dialect.read(reply.as_bytes(), 1, &mut 3).is_err(), "{dialect:?} takes {reply:?}");
        }
    }
}
