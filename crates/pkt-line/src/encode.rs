//! Writing packets.

use crate::MAX_PAYLOAD;

/// The flush packet: end of a message.
pub const FLUSH: &[u8; 4] = b"0000";

/// The delim packet: between the sections of a message.
pub const DELIM: &[u8; 4] = b"0001";

/// The response-end packet: end of a response on a stateless connection.
pub const RESPONSE_END: &[u8; 4] = b"0002";

/// Appends one data packet.
///
/// # Panics
/// If `payload` is longer than [`MAX_PAYLOAD`]; callers frame what may be longer in side-band packets.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    encode_parts(&[payload], out);
}

/// Appends one data packet with a line of text: cut at [`MAX_PAYLOAD`] if longer, ended by a line feed.
pub fn encode_text(line: &str, out: &mut Vec<u8>) {
    let line = &line.as_bytes()[..line.len().min(MAX_PAYLOAD - 1)];
    encode_parts(&[line, b"\n"], out);
}

/// Appends one data packet whose payload is the concatenation of `parts`.
///
/// # Panics
/// If the payload is longer than [`MAX_PAYLOAD`].
pub fn encode_parts(parts: &[&[u8]], out: &mut Vec<u8>) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    assert!(len <= MAX_PAYLOAD, "a payload of {len} bytes does not fit a pkt-line");
    write_length(len + 4, out);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Returns the four bytes that go before a payload of `len` bytes, for callers that send the payload itself without
/// copying it.
///
/// # Panics
/// If `len` is larger than [`MAX_PAYLOAD`].
pub fn encode_header(len: usize) -> [u8; 4] {
    assert!(len <= MAX_PAYLOAD, "a payload of {len} bytes does not fit a pkt-line");
    let mut out = Vec::with_capacity(4);
    write_length(len + 4, &mut out);
    [out[0], out[1], out[2], out[3]]
}

/// Appends the four digits of a length.
pub(crate) fn write_length(len: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[len >> shift & 15]);
    }
}
