//! Answers for callers from before 2013, who know neither bytes nor short text: all of both is their one raw type.
//! Source: the MessagePack specification, "Upgrading".

use bytes::{Buf, BufMut};

/// Rewrites an encoded value without the types that old readers do not know. What is no whole value is left as it is.
pub fn compatible(mut value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 16);
    while let Some(&first) = value.first() {
        let (header, length) = match first {
            0xc4 | 0xd9 => (2, value.get(1).map(|&n| usize::from(n))),
            0xc5 | 0xda => (3, value.get(1..3).map(|mut n| usize::from(n.get_u16()))),
            0xc6 | 0xdb => (5, value.get(1..5).and_then(|mut n| usize::try_from(n.get_u32()).ok())),
            0xa0..=0xbf => (1, Some(usize::from(first & 0x1f))),
            _ => {
                let n = fixed(first).min(value.len());
                out.put_slice(&value[..n]);
                value.advance(n);
                continue;
            }
        };
        let Some(text) = length.and_then(|length| value.get(header..header + length)) else {
            out.put_slice(value);
            return out;
        };
        raw(text, &mut out);
        value.advance(header + text.len());
    }
    out
}

/// Writes the old raw type: of up to 31 bytes, 64 KiB or 4 GiB.
fn raw(text: &[u8], out: &mut Vec<u8>) {
    match (u8::try_from(text.len()), u16::try_from(text.len()), u32::try_from(text.len())) {
        (Ok(n @ 0..=31), ..) => out.put_u8(0xa0 | n),
        (_, Ok(n), _) => {
            out.put_u8(0xda);
            out.put_u16(n);
        }
        (_, _, n) => {
            out.put_u8(0xdb);
            // Pages are far smaller than 4 GiB.
            out.put_u32(n.unwrap_or(u32::MAX));
        }
    }
    out.put_slice(text);
}

/// Counts the bytes of a number, or of the header of an array or map, whose values follow by themselves.
fn fixed(first: u8) -> usize {
    match first {
        0xcc | 0xd0 => 2,
        0xcd | 0xd1 | 0xdc | 0xde => 3,
        0xca | 0xce | 0xd2 | 0xdd | 0xdf => 5,
        0xcb | 0xcf | 0xd3 => 9,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::compatible;

    #[test]
    fn bytes_and_short_text_become_raw() {
        assert_eq!(compatible(b"\x92\xc4\x02\xff\xfe\xa1a"), b"\x92\xa2\xff\xfe\xa1a");
        let long = [b"\xd9\x28".as_slice(), &[b'x'; 40]].concat();
        assert_eq!(compatible(&long), [b"\xda\x00\x28".as_slice(), &[b'x'; 40]].concat());
        assert_eq!(
            compatible(b"\x81\xa1n\xcf\x00\x00\x00\x01\x00\x00\x00\xc4"),
            b"\x81\xa1n\xcf\x00\x00\x00\x01\x00\x00\x00\xc4"
        );
    }

    #[test]
    fn halves_of_values_are_left_alone() {
        assert_eq!(compatible(b"\xc4\x05ab"), b"\xc4\x05ab");
        assert_eq!(compatible(b"\xcf\x01"), b"\xcf\x01");
    }
}
