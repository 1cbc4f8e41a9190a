//! Paths as git quotes them for lines: as C does, if they hold anything odd.

/// Takes the quotes off; a path without them is returned as it is.
pub(super) fn unquote(path: &[u8]) -> Vec<u8> {
    let Some(inner) = path.strip_prefix(b"\"").and_then(|path| path.strip_suffix(b"\"")) else {
        return path.to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next() {
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'v') => 11,
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            Some(high @ b'0'..=b'3') => {
                let digit = |byte: Option<u8>| byte.map_or(0, |byte| byte.wrapping_sub(b'0') & 7);
                let (middle, low) = (digit(bytes.next()), digit(bytes.next()));
                (high - b'0') << 6 | middle << 3 | low
            }
            Some(other) => other,
            None => b'\\',
        });
    }
    out
}

/// Puts a path into quotes if it needs them. Source: `core.quotePath` in git-config(1).
pub(crate) fn quote(path: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if path.iter().all(is_plain) {
        return path.to_vec();
    }
    let mut out = vec![b'"'];
    for byte in path {
        let letter = match byte {
            7 => b'a',
            8 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            11 => b'v',
            12 => b'f',
            b'\r' => b'r',
            b'"' | b'\\' => *byte,
            plain if is_plain(plain) => {
                out.push(*plain);
                continue;
            }
            odd => {
                out.extend_from_slice(format!("\\{odd:03o}").as_bytes());
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::{quote, unquote};

    #[test]
    fn quotes_are_put_on_and_taken_off_again() {
        let all: Vec<u8> = (1..=255).collect();
        assert_eq!(unquote(&quote(&all)), all);
        assert_eq!(quote(b"a b/c"), b"a b/c");
        assert_eq!(quote(b"t\xc3\xbc\x07\"\\"), b"\"t\\303\\274\\a\\\"\\\\\"");
    }

    #[test]
    fn quotes_are_taken_off() {
        for (quoted, path) in [
            (&b"plain path"[..], &b"plain path"[..]),
            (b"\"new\\nline\"", b"new\nline"),
            (b"\"\\377\\\"\\\\\\t\"", b"\xff\"\\\t"),
            (b"\"", b"\""),
        ] {
            assert_eq!(unquote(quoted), path);
        }
    }
}
