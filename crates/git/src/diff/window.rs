//! The part of two versions around the only place that changed.
//!
//! Most changes of a file are few lines in one place, and to cut all of a long file into lines takes longer than to
//! compare them. What both versions share at their beginnings and ends is left aside, but for so many lines that the
//! answer is the one of the whole files.

use std::borrow::Cow;

use gix::diff::blob::{InternedInput, Token};

use super::hunks::Block;

/// Lines around the change that are looked at.
const MARGIN_LINES: usize = 256;

/// Lines between a change and the end of the window. What moves a change to where people expect it looks at fewer: it
/// moves by 100 lines at most, and looks at 20 lines more for one that is not blank.
const MIN_DISTANCE: usize = 128;

/// Most unchanged lines around a change that the margin has for sure.
const MAX_CONTEXT: u32 = 64;

/// Bytes that are compared at once.
const BLOCK: usize = 256;

/// What both versions share at their beginnings and ends, in whole lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    n_bytes_above: usize,
    n_bytes_below: usize,
    n_lines_above: usize,
}

impl Window {
    /// Finds it; `None` if that is not worth it.
    pub(super) fn around_changes(old: &[u8], new: &[u8], context: u32) -> Option<Self> {
        if context > MAX_CONTEXT {
            return None;
        }
        let (above, below) = shared(old, new);
        let n_bytes_above =
            memchr::memrchr_iter(b'\n', &old[..above]).nth(MARGIN_LINES).map_or(0, |at| at + 1);
        let tail = &old[old.len() - below..];
        let n_bytes_below = memchr::memchr_iter(b'\n', tail).nth(MARGIN_LINES).map_or(0, |at| below - at - 1);
        let n_lines_above = memchr::memchr_iter(b'\n', &old[..n_bytes_above]).count();
        let window = Self { n_bytes_above, n_bytes_below, n_lines_above };
        (!window.is_all()).then_some(window)
    }

    /// Says whether nothing is left aside.
    pub(super) fn is_all(&self) -> bool {
        self.n_bytes_above + self.n_bytes_below == 0
    }

    /// Returns the part of a version that is compared.
    pub(super) fn of<'a>(&self, version: &'a [u8]) -> &'a [u8] {
        &version[self.n_bytes_above..version.len() - self.n_bytes_below]
    }

    /// Returns the part of a version before it.
    pub(super) fn above<'a>(&self, version: &'a [u8]) -> &'a [u8] {
        &version[..self.n_bytes_above]
    }

    /// Counts the lines before it.
    pub(super) fn n_lines_above(&self) -> usize {
        self.n_lines_above
    }

    /// Says whether changes are so far from what was left aside that this cannot have counted.
    pub(super) fn holds(&self, changes: &[Block], [n_old, n_new]: [usize; 2]) -> bool {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return true };
        let above = first.old.start.min(first.new.start);
        let below = (n_old - last.old.end).min(n_new - last.new.end);
        (self.n_bytes_above == 0 || above >= MIN_DISTANCE)
            && (self.n_bytes_below == 0 || below >= MIN_DISTANCE)
    }
}

/// Counts the bytes that both versions share at their beginnings, and behind those at their ends.
fn shared(old: &[u8], new: &[u8]) -> (usize, usize) {
    let blocks = old.chunks_exact(BLOCK).zip(new.chunks_exact(BLOCK));
    let whole = blocks.take_while(|(old, new)| old == new).count() * BLOCK;
    let (old_rest, new_rest) = (&old[whole..], &new[whole..]);
    let above = whole + old_rest.iter().zip(new_rest).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[above..], &new[above..]);
    let blocks = old.rchunks_exact(BLOCK).zip(new.rchunks_exact(BLOCK));
    let whole = blocks.take_while(|(old, new)| old == new).count() * BLOCK;
    let (old_rest, new_rest) = (&old[..old.len() - whole], &new[..new.len() - whole]);
    let pairs = old_rest.iter().rev().zip(new_rest.iter().rev());
    (above, whole + pairs.take_while(|(old, new)| old == new).count())
}

/// Says whether no line between what both versions share at their ends stands on both sides. Then all of those are
/// deleted or added, wherever else such lines stand in the files.
pub(super) fn is_one_replacement(input: &InternedInput<Cow<'_, [u8]>>) -> bool {
    let (old, new) = (&input.before[..], &input.after[..]);
    let above = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[above..], &new[above..]);
    let below = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new): (&[Token], &[Token]) = (&old[..old.len() - below], &new[..new.len() - below]);
    let mut is_old = vec![false; input.interner.num_tokens() as usize];
    old.iter().for_each(|line| is_old[line.0 as usize] = true);
    !new.iter().any(|line| is_old[line.0 as usize])
}
