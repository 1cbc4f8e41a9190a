//! Files cut into lines, and how lines are compared.

use std::borrow::Cow;

use super::hunks::Whitespace;

/// Bytes at the beginning of a file that are looked at. Source: `FIRST_FEW_BYTES` of git.
const LOOKED_AT: usize = 8_000;

/// Bytes of a line of source code, about.
const TYPICAL_LINE: usize = 32;

/// Says whether a file is binary, by git's rule: a zero byte near the beginning.
pub(super) fn is_binary(content: &[u8]) -> bool {
    content[..content.len().min(LOOKED_AT)].contains(&0)
}

/// Counts lines; the last one may have no end.
pub(super) fn n_lines(content: &[u8]) -> u64 {
    let n_ends = memchr::memchr_iter(b'\n', content).count();
    n_ends as u64 + u64::from(content.last().is_some_and(|byte| *byte != b'\n'))
}

/// Splits into lines with their ends; the last one may have none.
pub(super) fn split(content: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::with_capacity(content.len() / TYPICAL_LINE);
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', content) {
        lines.push(&content[start..=end]);
        start = end + 1;
    }
    if start < content.len() {
        lines.push(&content[start..]);
    }
    lines
}

/// Splits into lines from the last one on.
pub(super) fn lines_backwards(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let (_, before_end) = rest.split_last()?;
        let start = memchr::memrchr(b'\n', before_end).map_or(0, |end| end + 1);
        let line;
        (rest, line) = rest.split_at(start);
        Some(line)
    })
}

/// Returns what of a line counts when lines are compared.
pub(super) fn key(line: &[u8], whitespace: Whitespace) -> Cow<'_, [u8]> {
    match whitespace {
        Whitespace::Exact => Cow::Borrowed(line),
        Whitespace::IgnoreAtEnd => Cow::Borrowed(line.trim_ascii_end()),
        Whitespace::IgnoreAll => Cow::Owned(line.iter().copied().filter(|byte| !is_space(*byte)).collect()),
        Whitespace::IgnoreAmount => {
            let mut key = Vec::with_capacity(line.len());
            let mut was_space = false;
            for byte in line.trim_ascii_end() {
                match (is_space(*byte), was_space) {
                    (true, true) => {}
                    (true, false) => key.push(b' '),
                    (false, _) => key.push(*byte),
                }
                was_space = is_space(*byte);
            }
            Cow::Owned(key)
        }
    }
}

/// What C's `isspace` takes for a space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}
