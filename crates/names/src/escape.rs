//! Bytes from outside made safe for terminals and logs.

use std::fmt::Write;

/// Renders bytes as text in which control characters and invalid UTF-8 cannot reach a terminal.
///
/// Printable characters stay as they are; C0, DEL and C1 controls and the bidirectional overrides become
/// `\u{..}`; bytes that are not UTF-8 become `\x..`.
pub fn escape_controls(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_bidi_control(c) {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Whether the character reorders the text around it (the "Trojan Source" class).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::escape_controls;

    #[test]
    fn controls_and_invalid_bytes_are_visible() {
        assert_eq!(escape_controls(b"a\x1b[31mb\n"), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(escape_controls(b"\xff\xc3\xa9"), "\\xff\u{e9}");
        assert_eq!(escape_controls("\u{202e}x\u{9b}".as_bytes()), "\\u{202e}x\\u{9b}");
    }
}
