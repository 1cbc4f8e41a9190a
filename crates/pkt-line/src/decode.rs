//! Reading packets from a buffer that fills up.

use bytes::{Buf, Bytes, BytesMut};

use crate::MAX_PKT_LINE;

/// One packet of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A payload, possibly empty.
    Data(Bytes),
    /// End of a message.
    Flush,
    /// Between the sections of a message.
    Delim,
    /// End of a response on a stateless connection.
    ResponseEnd,
}

/// Why bytes are not a pkt-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The length is not four hexadecimal digits.
    #[error("pkt-line length is not hexadecimal")]
    Length,
    /// The length is 3, or larger than [`MAX_PKT_LINE`].
    #[error("pkt-line of {len} bytes is out of range")]
    Range {
        /// The length that the line claims.
        len: usize,
    },
}

/// Takes the first packet out of `buffer`, or returns `None` and leaves the buffer alone if it is not whole
/// yet. Copies nothing; needs at most [`MAX_PKT_LINE`] bytes in the buffer to make progress.
///
/// # Errors
/// Any [`DecodeError`]; the stream cannot be understood from there on.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
    let Some(digits) = buffer.first_chunk::<4>() else {
        // A first digit that is none is refused at once: the rest may never come.
        return if buffer.iter().all(u8::is_ascii_hexdigit) { Ok(None) } else { Err(DecodeError::Length) };
    };
    let len = parse_length(digits)?;
    let packet = match len {
        0 => Packet::Flush,
        1 => Packet::Delim,
        2 => Packet::ResponseEnd,
        4..=MAX_PKT_LINE if buffer.len() < len => return Ok(None),
        4..=MAX_PKT_LINE => {
            buffer.advance(4);
            return Ok(Some(Packet::Data(buffer.split_to(len - 4).freeze())));
        }
        len => return Err(DecodeError::Range { len }),
    };
    buffer.advance(4);
    Ok(Some(packet))
}

fn parse_length(digits: &[u8; 4]) -> Result<usize, DecodeError> {
    digits.iter().try_fold(0, |len, digit| {
        let value = char::from(*digit).to_digit(16).ok_or(DecodeError::Length)?;
        Ok(len << 4 | value as usize)
    })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::{DecodeError, Packet, decode};
    use crate::{DELIM, FLUSH, MAX_PAYLOAD, RESPONSE_END, encode, encode_header};

    fn all(mut buffer: BytesMut) -> Result<(Vec<Packet>, usize), DecodeError> {
        let mut packets = Vec::new();
        while let Some(packet) = decode(&mut buffer)? {
            packets.push(packet);
        }
        Ok((packets, buffer.len()))
    }

    #[test]
    fn special_packets_and_payloads() {
        let mut wire = Vec::new();
        encode(b"a", &mut wire);
        encode(b"", &mut wire);
        wire.extend_from_slice(DELIM);
        wire.extend_from_slice(FLUSH);
        wire.extend_from_slice(RESPONSE_END);
        wire.extend_from_slice(b"00");
        let expected = vec![
            Packet::Data("a".into()),
            Packet::Data("".into()),
            Packet::Delim,
            Packet::Flush,
            Packet::ResponseEnd,
        ];
        assert_eq!(all(BytesMut::from(&wire[..])), Ok((expected, 2)));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for (wire, error) in [
            (&b"0003"[..], DecodeError::Range { len: 3 }),
            (b"fff1", DecodeError::Range { len: 65_521 }),
            (b"zzzz", DecodeError::Length),
            (b"+123", DecodeError::Length),
            (b"G", DecodeError::Length),
        ] {
            assert_eq!(all(BytesMut::from(wire)), Err(error), "{wire:?}");
        }
    }

    #[test]
    fn the_longest_payload_fits() {
        let mut wire = Vec::new();
        encode(&vec![7; MAX_PAYLOAD], &mut wire);
        assert_eq!((&wire[..4], encode_header(MAX_PAYLOAD)), (&b"fff0"[..], *b"fff0"));
        assert_eq!(all(BytesMut::from(&wire[..])).map(|(packets, rest)| (packets.len(), rest)), Ok((1, 0)));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_packets(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8), cut in 0usize..200) {
            let mut wire = Vec::new();
            payloads.iter().for_each(|payload| encode(payload, &mut wire));
            let cut = cut.min(wire.len());
            let mut buffer = BytesMut::from(&wire[..cut]);
            let mut packets = Vec::new();
            while let Some(packet) = decode(&mut buffer).expect("well formed") { packets.push(packet); }
            buffer.extend_from_slice(&wire[cut..]);
            while let Some(packet) = decode(&mut buffer).expect("well formed") { packets.push(packet); }
            let expected: Vec<Packet> = payloads.into_iter().map(|payload| Packet::Data(payload.into())).collect();
            prop_assert_eq!(packets, expected);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = all(BytesMut::from(&bytes[..]));
        }
    }
}
