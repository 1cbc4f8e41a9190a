//! The words in which changed lines differ from the lines whose place they took.

use std::ops::Range;

use gix::diff::blob::{Algorithm, Diff, InternedInput};

use super::hunks::{Line, LineKind};

/// Most words of one block of changed lines that are compared.
const MAX_WORDS: usize = 4_000;

/// Least part of the words that must be the same: marks all over help nobody.
const MIN_SHARED_PERCENT: usize = 20;

/// Marks the changed words of a block: `n_deleted` deleted lines, then added ones.
pub(super) fn mark_words(lines: &mut [Line], n_deleted: usize) {
    let (deleted, added) = lines.split_at_mut(n_deleted);
    if deleted.is_empty() || added.is_empty() {
        return;
    }
    let (old, new) = (words(deleted), words(added));
    if old.len() + new.len() > MAX_WORDS {
        return;
    }
    let mut input = InternedInput::<&[u8]>::default();
    input.update_before(old.iter().map(|word| word.text(deleted)));
    input.update_after(new.iter().map(|word| word.text(added)));
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_no_heuristic(&input);
    let n_shared = old.len() - diff.count_removals() as usize;
    if n_shared * 100 < MIN_SHARED_PERCENT * old.len().max(new.len()) {
        return;
    }
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for hunk in diff.hunks() {
        gone.extend(old[hunk.before.start as usize..hunk.before.end as usize].iter().cloned());
        come.extend(new[hunk.after.start as usize..hunk.after.end as usize].iter().cloned());
    }
    mark(deleted, gone);
    mark(added, come);
}

/// A word's place.
#[derive(Clone)]
struct Word {
    line: usize,
    range: Range<usize>,
}

impl Word {
    fn text<'a>(&self, lines: &'a [Line]) -> &'a [u8] {
        &lines[self.line].content[self.range.clone()]
    }
}

/// Cuts lines into words: letters and digits, spaces, or one other character.
fn words(lines: &[Line]) -> Vec<Word> {
    let mut all = Vec::new();
    for (line, content) in lines.iter().map(|line| &line.content[..]).enumerate() {
        let mut at = 0;
        while at < content.len() && all.len() <= MAX_WORDS {
            let kind = kind(content[at]);
            let rest = &content[at + 1..];
            let length = match kind {
                Kind::Other => 0,
                _ => rest.iter().position(|byte| self::kind(*byte) != kind).unwrap_or(rest.len()),
            };
            all.push(Word { line, range: at..at + 1 + length });
            at += 1 + length;
        }
    }
    all
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Space,
    Other,
}

/// Bytes beyond ASCII are taken together, so that no character is cut.
fn kind(byte: u8) -> Kind {
    match byte {
        b'_' | 0x80.. => Kind::Letter,
        _ if byte.is_ascii_alphanumeric() => Kind::Letter,
        _ if byte.is_ascii_whitespace() => Kind::Space,
        _ => Kind::Other,
    }
}

/// Adds ranges to lines; neighbours become one, and line ends alone are not marked.
fn mark(lines: &mut [Line], words: Vec<Word>) {
    for word in words {
        let line = &mut lines[word.line];
        debug_assert!(line.kind != LineKind::Context, "only changed lines have changed words");
        let end = line.content.strip_suffix(b"\n").map_or(line.content.len(), <[u8]>::len);
        let place = |at: usize| u32::try_from(at.min(end)).unwrap_or(u32::MAX);
        let range = place(word.range.start)..place(word.range.end);
        match line.words.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => line.words.push(range),
        }
    }
}
