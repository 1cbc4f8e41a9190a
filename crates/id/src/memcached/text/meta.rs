//! The meta commands: two letters, a key, flags of a letter each.
//!
//! Source: doc/protocol.txt of memcached, "Meta Commands".

use super::super::decimal::Decimal;
use super::super::{Event, MAX_KEY_BYTES, Next, Source, one_id};
use super::Outcome;
use super::command::{BAD_LINE, say, write_all, write_refusal};
use super::fields::Fields;
use super::store::{Block, malformed};
use crate::issue::Refusal;

/// Most flags of one command. Source: memcached.
const MAX_FLAGS: usize = 20;

/// Longest token of the flag `O`, in bytes. Source: memcached.
const MAX_OPAQUE_BYTES: usize = 32;

/// What a command says behind its verb.
struct Request<'a> {
    key: &'a [u8],
    flags: Fields<'a>,
}

impl<'a> Request<'a> {
    /// Takes the key and judges the flags.
    ///
    /// # Errors
    /// The reply to a line that cannot be served.
    fn parse(mut fields: Fields<'a>, known: &[u8]) -> Result<Self, &'static [u8]> {
        let key = fields.next().filter(|key| key.len() <= MAX_KEY_BYTES).ok_or(BAD_LINE)?;
        let flags = fields.clone();
        for (at, flag) in fields.enumerate() {
            if !known.contains(&flag[0]) {
                return Err(b"CLIENT_ERROR invalid flag\r\n");
            }
            if flag[0] == b'O' && flag.len() > MAX_OPAQUE_BYTES + 1 {
                return Err(b"CLIENT_ERROR opaque token too long\r\n");
            }
            if at >= MAX_FLAGS {
                return Err(b"CLIENT_ERROR options flags are too long\r\n");
            }
        }
        Ok(Self { key, flags })
    }

    fn has(&self, letter: u8) -> bool {
        self.flags.clone().any(|flag| flag[0] == letter)
    }

    /// Appends the flags that say nothing of a value.
    fn write_echo(&self, flag: &[u8], out: &mut Vec<u8>) {
        match flag[0] {
            b'O' => write_all(&[b" ", flag], out),
            b'k' => {
                write_all(&[b" k", self.key], out);
                // The key goes back as it came, so still in base64.
                out.extend_from_slice(if self.has(b'b') { b" b" } else { b"" });
            }
            _ => {}
        }
    }
}

/// `mg key flags*`: an id if the value, its size or its token is asked for; else only that there would be one.
pub(super) fn get<S: Source>(fields: Fields<'_>, out: &mut Vec<u8>, source: &mut S) -> Outcome {
    let request = match Request::parse(fields, b"bcfhklOqstvENRT") {
        Ok(request) => request,
        Err(reply) => return say(reply, out, source),
    };
    let wants_id = b"vcs".iter().any(|letter| request.has(*letter));
    let id = match wants_id.then(|| one_id(source)).transpose() {
        Ok(id) => Decimal::new(id.unwrap_or_default()),
        Err(Refusal::Wait(by)) => return Outcome::Pause(Next::Wait(by)),
        Err(refusal) => {
            source.count(Event::Misses(1));
            write_refusal(refusal, out);
            return Outcome::Answered;
        }
    };
    let with_value = request.has(b'v');
    if with_value {
        write_all(&[b"VA ", id.len_digits()], out);
    } else {
        out.extend_from_slice(b"HD");
    }
    for flag in request.flags.clone() {
        match flag[0] {
            b'c' => write_all(&[b" c", id.digits()], out),
            b's' => write_all(&[b" s", id.len_digits()], out),
            b'f' => out.extend_from_slice(b" f0"),
            b'h' => out.extend_from_slice(b" h0"),
            b'l' => out.extend_from_slice(b" l0"),
            b't' => out.extend_from_slice(b" t-1"),
            _ => request.write_echo(flag, out),
        }
    }
    out.extend_from_slice(b"\r\n");
    if with_value {
        write_all(&[id.digits(), b"\r\n"], out);
    }
    Outcome::Answered
}

/// `me key`: nothing is known of any key.
pub(super) fn debug<S: Source>(mut fields: Fields<'_>, out: &mut Vec<u8>, source: &mut S) -> Outcome {
    match fields.next() {
        Some(key) if key.len() <= MAX_KEY_BYTES => say(b"EN\r\n", out, source),
        _ => say(BAD_LINE, out, source),
    }
}

/// `md key flags*` and `ma key flags*`: there is nothing to delete or count.
pub(super) fn miss<S: Source>(fields: Fields<'_>, out: &mut Vec<u8>, source: &mut S) -> Outcome {
    let request = match Request::parse(fields, b"bcCDEIJkMNOqtTvx") {
        Ok(request) => request,
        Err(reply) => return say(reply, out, source),
    };
    if !request.has(b'q') {
        out.extend_from_slice(b"NF");
        request.flags.clone().for_each(|flag| request.write_echo(flag, out));
        out.extend_from_slice(b"\r\n");
    }
    Outcome::Answered
}

/// `ms key bytes flags*`, and data. Its flag `q` hides success only.
pub(super) fn store<S: Source>(mut fields: Fields<'_>, out: &mut Vec<u8>, source: &mut S) -> Outcome {
    match (fields.next(), fields.next()) {
        (Some(key), Some(len)) => match Block::announced(key, len, false) {
            Some(block) => Outcome::Block(block),
            None => malformed(out, source),
        },
        _ => malformed(out, source),
    }
}
