//! Percent-decoding of paths that refuses what it does not understand.

use std::borrow::Cow;

/// Decodes one component of a path, or returns `None` when a `%` is not followed by two hexadecimal digits.
/// Borrows when there is nothing to decode, which is the case for every git client.
pub fn percent_decode(component: &str) -> Option<Cow<'_, [u8]>> {
    if !component.contains('%') {
        return Some(Cow::Borrowed(component.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(component.len());
    let mut bytes = component.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    Some(Cow::Owned(decoded))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::percent_decode;

    #[test]
    fn escapes_are_decoded_once_and_strictly() {
        for (component, expected) in [
            ("", Some(&b""[..])),
            ("tools.git", Some(b"tools.git")),
            ("%74ools", Some(b"tools")),
            ("a%2Fb", Some(b"a/b")),
            ("a%2fb", Some(b"a/b")),
            ("%252f", Some(b"%2f")),
            ("%00", Some(b"\0")),
            ("a+b", Some(b"a+b")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("a%4gb", None),
            ("%+1", None),
        ] {
            assert_eq!(percent_decode(component).as_deref(), expected, "{component}");
        }
    }
}
