//! Lines of a file replaced by others.

/// Some lines to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The first of them, from 1; one behind the last to add lines at the end.
    pub first: usize,
    /// How many there are; 0 puts the new lines before the first.
    pub n_lines: usize,
    /// What they must be, without line ends; `None` for anything.
    pub old: Option<Vec<Vec<u8>>>,
    /// What comes instead, without line ends.
    pub new: Vec<Vec<u8>>,
}

/// Why lines cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// The file has fewer lines.
    #[error("there is no line {0}")]
    OutOfRange(usize),
    /// Two replacements are about one line, or one place.
    #[error("line {0} is replaced twice")]
    Overlap(usize),
    /// A line is another than expected.
    #[error("line {0} is not as expected")]
    Differs(usize),
    /// The expected lines are more or fewer than those to be replaced.
    #[error("the expected lines are not as many as the lines to be replaced")]
    Count,
    /// A new line has a line end in it.
    #[error("a line end is within a line")]
    LineEnd,
}

/// Replaces lines. New ones end as the first one that they replace does, or their neighbours; a file without a line end
/// at its end stays one.
///
/// # Errors
/// [`ReplaceError`].
pub fn replace_lines(content: &[u8], replacements: &[Replacement]) -> Result<Vec<u8>, ReplaceError> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let mut sorted: Vec<&Replacement> = replacements.iter().collect();
    sorted.sort_by_key(|replacement| replacement.first);
    for pair in sorted.windows(2) {
        let [one, next] = pair else { continue };
        if next.first == one.first || next.first < one.first.saturating_add(one.n_lines) {
            return Err(ReplaceError::Overlap(next.first));
        }
    }
    let usual = lines.first().map_or(&b"\n"[..], |line| end_of(line));
    let usual = if usual.is_empty() { b"\n" } else { usual };
    // Text and line end of each; one that lacks its end gets it, so that others may follow.
    let mut out: Vec<(&[u8], &[u8])> = Vec::new();
    let whole = |line| if end_of(line).is_empty() { usual } else { end_of(line) };
    let mut at = 0;
    for replacement in sorted {
        let (from, to) = range(replacement, &lines)?;
        out.extend(lines[at..from].iter().map(|line| (text_of(line), whole(line))));
        let end =
            lines.get(from).or_else(|| lines.get(from.wrapping_sub(1))).map_or(usual, |line| whole(line));
        out.extend(replacement.new.iter().map(|line| (&line[..], end)));
        at = to;
    }
    out.extend(lines[at..].iter().map(|line| (text_of(line), whole(line))));
    let is_cut = lines.last().is_some_and(|line| end_of(line).is_empty());
    let mut replaced = Vec::with_capacity(content.len());
    for (text, end) in &out {
        replaced.extend_from_slice(text);
        replaced.extend_from_slice(end);
    }
    if let Some((_, end)) = out.last().filter(|_| is_cut) {
        replaced.truncate(replaced.len() - end.len());
    }
    Ok(replaced)
}

/// Finds the lines of a replacement and compares them.
fn range(replacement: &Replacement, lines: &[&[u8]]) -> Result<(usize, usize), ReplaceError> {
    let Replacement { first, n_lines, old, new } = replacement;
    let from = first.checked_sub(1).ok_or(ReplaceError::OutOfRange(*first))?;
    let to = from.saturating_add(*n_lines);
    if to > lines.len() {
        return Err(ReplaceError::OutOfRange(to));
    }
    if new.iter().any(|line| line.contains(&b'\n')) {
        return Err(ReplaceError::LineEnd);
    }
    if let Some(old) = old {
        if old.len() != *n_lines {
            return Err(ReplaceError::Count);
        }
        let differs = lines[from..to].iter().zip(old).position(|(line, old)| {
            text_of(line) != old.strip_suffix(b"\r").filter(|_| end_of(line) == b"\r\n").unwrap_or(old)
        });
        if let Some(nth) = differs {
            return Err(ReplaceError::Differs(first + nth));
        }
    }
    Ok((from, to))
}

fn end_of(line: &[u8]) -> &[u8] {
    let n = match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    &line[line.len() - n..]
}

fn text_of(line: &[u8]) -> &[u8] {
    &line[..line.len() - end_of(line).len()]
}

#[cfg(test)]
mod tests {
    use super::{ReplaceError, Replacement, replace_lines};

    fn with(first: usize, n_lines: usize, new: &[&str]) -> Replacement {
        Replacement {
            first,
            n_lines,
            old: None,
            new: new.iter().map(|line| line.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn line_ends_are_kept() {
        for (content, replacements, wanted) in [
            ("a\nb\nc\n", vec![with(2, 1, &["x", "y"])], "a\nx\ny\nc\n"),
            ("a\nb\nc\n", vec![with(3, 1, &["z"]), with(1, 1, &[])], "b\nz\n"),
            ("a\r\nb\r\n", vec![with(2, 1, &["x", "y"])], "a\r\nx\r\ny\r\n"),
            ("a\r\nb\n", vec![with(2, 1, &["x"])], "a\r\nx\n"),
            ("a\nb", vec![with(2, 1, &["x", "y"])], "a\nx\ny"),
            ("a\nb", vec![with(1, 1, &["x"])], "x\nb"),
            ("a\nb", vec![with(2, 1, &[])], "a"),
            ("a\r\nb", vec![with(3, 0, &["x"])], "a\r\nb\r\nx"),
            ("a\n", vec![with(1, 0, &["x"])], "x\na\n"),
            ("a\n", vec![with(2, 0, &["x"])], "a\nx\n"),
            ("", vec![with(1, 0, &["x"])], "x\n"),
            ("a", vec![with(1, 1, &[])], ""),
            ("a\nb\n", vec![with(1, 1, &["x"]), with(2, 0, &["y"])], "x\ny\nb\n"),
        ] {
            let replaced = replace_lines(content.as_bytes(), &replacements).unwrap();
            assert_eq!(String::from_utf8_lossy(&replaced), wanted, "{content:?} {replacements:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let old = |old: &[&str]| Replacement {
            old: Some(old.iter().map(|line| line.as_bytes().to_vec()).collect()),
            ..with(2, 2, &["x"])
        };
        let content = b"a\nb\r\nc";
        assert_eq!(replace_lines(content, &[old(&["b", "c"])]).unwrap(), b"a\nx");
        assert_eq!(replace_lines(content, &[old(&["b\r", "c"])]).unwrap(), b"a\nx");
        for (replacements, wanted) in [
            (vec![old(&["b", "d"])], ReplaceError::Differs(3)),
            (vec![old(&["b"])], ReplaceError::Count),
            (vec![with(3, 2, &[])], ReplaceError::OutOfRange(4)),
            (vec![with(0, 0, &[])], ReplaceError::OutOfRange(0)),
            (vec![with(5, 0, &["x"])], ReplaceError::OutOfRange(4)),
            (vec![with(1, 2, &[]), with(2, 1, &[])], ReplaceError::Overlap(2)),
            (vec![with(2, 0, &["x"]), with(2, 1, &[])], ReplaceError::Overlap(2)),
            (vec![with(1, 1, &["x\ny"])], ReplaceError::LineEnd),
            (vec![with(1, usize::MAX, &[])], ReplaceError::OutOfRange(usize::MAX)),
        ] {
            assert_eq!(replace_lines(content, &replacements), Err(wanted), "{replacements:?}");
        }
    }
}
