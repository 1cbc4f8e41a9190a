//! The lines in which two versions of a file differ, with some lines around them.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use gix::diff::blob::{Algorithm, Diff, IndentHeuristic, IndentLevel, InternedInput, SliderHeuristic, Token};

use super::changes::{Change, ChangeSide};
use super::lines::{is_binary, key, lines_backwards, n_lines, split};
use super::window::{Window, is_one_replacement};
use super::words::mark_words;
use crate::objects::{Kind, ReadError, View};
use crate::read::EntryKind;

/// Longest part of a line that heads a hunk, in bytes. Source: git's `func_line` buffer.
const MAX_HEADING: usize = 80;

/// What the ends of two versions are compared by, in bytes. Source: `trim_common_tail` of git.
const TAIL_BLOCK: usize = 1_024;

/// Most lines of a version that is compared with another one: each takes much more memory than its bytes.
const MAX_LINES: u64 = 1 << 20;

/// Largest version of a file whose lines are counted, in bytes.
const MAX_COUNTED_BYTES: u64 = 16 << 20;

/// Which whitespace counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whitespace {
    /// All of it.
    #[default]
    Exact,
    /// Not that at the ends of lines.
    IgnoreAtEnd,
    /// How much there is does not, only whether there is any.
    IgnoreAmount,
    /// None.
    IgnoreAll,
}

/// How one file is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Unchanged lines around a change.
    pub context: u32,
    /// Which whitespace counts.
    pub whitespace: Whitespace,
    /// Whether to mark the changed words within changed lines.
    pub words: bool,
    /// Largest version of a file that is compared, in bytes.
    pub max_file_bytes: u64,
    /// Most lines of hunks of one file; with 0 lines are only counted.
    pub max_lines: usize,
}

impl Default for FileOptions {
    fn default() -> Self {
        let (context, max_file_bytes, max_lines) = (3, 1 << 20, 20_000);
        Self { context, whitespace: Whitespace::Exact, words: false, max_file_bytes, max_lines }
    }
}

impl FileOptions {
    /// Counts lines instead, for which files may be larger.
    #[must_use]
    pub fn counting(self) -> Self {
        Self { max_file_bytes: MAX_COUNTED_BYTES, max_lines: 0, ..self }
    }
}

/// A file and its hunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiff {
    /// What happened to it.
    pub change: Change,
    /// Its hunks, or why there are none.
    pub hunks: Result<Vec<Hunk>, NoHunks>,
    /// Added lines, those of left-out hunks too.
    pub n_added: u64,
    /// Deleted lines, those of left-out hunks too.
    pub n_deleted: u64,
    /// Whether further hunks were left out.
    pub is_truncated: bool,
}

/// Why a file has no hunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHunks {
    /// One version is binary; their sizes.
    Binary {
        /// Of the old version.
        old_bytes: u64,
        /// Of the new version.
        new_bytes: u64,
    },
    /// One version is too large to be compared.
    TooLarge,
    /// Earlier files used up what the caller takes; lines are not counted either.
    LimitReached,
}

/// Some changed lines and those around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// First line in the old version, from 1 on; the line before if it has none.
    pub old_start: u32,
    /// Lines of the old version.
    pub old_lines: u32,
    /// First line in the new version, from 1 on; the line before if it has none.
    pub new_start: u32,
    /// Lines of the new version.
    pub new_lines: u32,
    /// The line above that names what it is in, such as a function.
    pub heading: Bytes,
    /// The lines.
    pub lines: Vec<Line>,
}

/// What happened to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineKind {
    /// Nothing.
    Context,
    /// It is gone.
    Deleted,
    /// It is new.
    Added,
}

/// A line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What happened to it.
    pub kind: LineKind,
    /// Its bytes, its end included; only the last line of a file can lack one.
    pub content: Bytes,
    /// The parts of it that changed, if words are asked for and its counterpart is known.
    pub words: Vec<Range<u32>>,
}

impl View {
    /// Compares the two versions of one file.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], and errors of reading.
    pub fn diff_file(&self, change: &Change, options: &FileOptions) -> Result<FileDiff, ReadError> {
        let mut diff = FileDiff {
            change: change.clone(),
            hunks: Ok(Vec::new()),
            n_added: 0,
            n_deleted: 0,
            is_truncated: false,
        };
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        if old.map(|side| side.oid) == new.map(|side| side.oid) {
            return Ok(diff);
        }
        let max = options.max_file_bytes;
        // Packs mostly hold the old version as a change of the new one, which is then known.
        let new = self.version(new, max)?;
        let (Some(old), Some(new)) = (self.version(old, max)?, new) else {
            diff.hunks = Err(NoHunks::TooLarge);
            return Ok(diff);
        };
        if is_binary(&old) || is_binary(&new) {
            let (old_bytes, new_bytes) = (old.len() as u64, new.len() as u64);
            diff.hunks = Err(NoHunks::Binary { old_bytes, new_bytes });
            return Ok(diff);
        }
        self.meter().look()?;
        let has_too_many = |version: &Bytes| version.len() as u64 > MAX_LINES && n_lines(version) > MAX_LINES;
        if (has_too_many(&old) || has_too_many(&new)) && !old.is_empty() && !new.is_empty() {
            diff.hunks = Err(NoHunks::TooLarge);
            return Ok(diff);
        }
        compare(&old, &new, options, &mut diff);
        Ok(diff)
    }

    /// Reads one version; `None` if it is too large.
    fn version(&self, side: Option<&ChangeSide>, max_bytes: u64) -> Result<Option<Bytes>, ReadError> {
        let Some(side) = side else { return Ok(Some(Bytes::new())) };
        if side.kind() == EntryKind::Submodule {
            // As git shows it.
            return Ok(Some(format!("Subproject commit {}\n", side.oid).into()));
        }
        match self.header(&side.oid)? {
            None => Err(ReadError::Absent(side.oid)),
            Some(header) if header.size_bytes > max_bytes => Ok(None),
            Some(header) => {
                self.meter().take_bytes(header.size_bytes)?;
                Ok(Some(self.read_object(&side.oid, Kind::Blob)?))
            }
        }
    }
}

/// Compares two contents without a repository.
#[cfg(test)]
pub(super) fn compare_contents(old: &Bytes, new: &Bytes, options: &FileOptions) -> FileDiff {
    let change = Change::plain(None, None);
    let mut diff = FileDiff { change, hunks: Ok(Vec::new()), n_added: 0, n_deleted: 0, is_truncated: false };
    compare(old, new, options, &mut diff);
    diff
}

/// Two versions in lines.
struct Sides<'a> {
    old: &'a Bytes,
    new: &'a Bytes,
    /// What is not cut into lines, since both versions share it.
    window: Window,
    old_lines: Vec<&'a [u8]>,
    new_lines: Vec<&'a [u8]>,
}

fn compare(old: &Bytes, new: &Bytes, options: &FileOptions, into: &mut FileDiff) {
    if options.max_lines == 0 && (old.is_empty() || new.is_empty()) {
        (into.n_deleted, into.n_added) = (n_lines(old), n_lines(new));
        into.is_truncated = into.n_deleted + into.n_added > 0;
        return;
    }
    let n_common = if options.context == 0 { common_tail(old, new) } else { 0 };
    let (old, new) = (&old.slice(..old.len() - n_common), &new.slice(..new.len() - n_common));
    let (sides, changes) = Sides::compared(old, new, options);
    let mut hunks = Vec::new();
    let mut n_kept = 0;
    for group in group(&changes, options.context as usize) {
        for block in group {
            into.n_deleted += block.old.len() as u64;
            into.n_added += block.new.len() as u64;
        }
        into.is_truncated |= options.max_lines == 0;
        if into.is_truncated {
            continue;
        }
        let hunk = sides.hunk(group, options);
        n_kept += hunk.lines.len();
        if n_kept > options.max_lines {
            into.is_truncated = true;
        } else {
            hunks.push(hunk);
        }
    }
    into.hunks = Ok(hunks);
}

/// Counts the bytes at the end of both versions that git does not look at where no lines around a change are asked for.
/// Whole lines; a change that could stand in several places does not move there.
fn common_tail(old: &[u8], new: &[u8]) -> usize {
    let blocks = old.rchunks_exact(TAIL_BLOCK).zip(new.rchunks_exact(TAIL_BLOCK));
    let n_common = blocks.take_while(|(old, new)| old == new).count() * TAIL_BLOCK;
    let tail = &old[old.len() - n_common..];
    let torn = tail.iter().position(|byte| *byte == b'\n').map_or(n_common, |end| end + 1);
    n_common - torn
}

/// Lines that took the place of others; one of the two may be empty.
pub(super) struct Block {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

fn span(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// Splits changes where so many unchanged lines are between them that they share no context.
fn group(changes: &[Block], context: usize) -> impl Iterator<Item = &[Block]> {
    changes.chunk_by(move |one, next| next.old.start - one.old.end <= 2 * context)
}

impl<'a> Sides<'a> {
    /// Finds the changed lines: by what is around the only place that changed if that is enough to know the answer.
    fn compared(old: &'a Bytes, new: &'a Bytes, options: &FileOptions) -> (Self, Vec<Block>) {
        if let Some(window) = Window::around_changes(old, new, options.context) {
            let sides = Self::within(old, new, window);
            if let Some(changes) = sides.changes(options.whitespace) {
                return (sides, changes);
            }
        }
        let sides = Self::within(old, new, Window::default());
        let changes = sides.changes(options.whitespace).expect("the whole files are enough");
        (sides, changes)
    }

    fn within(old: &'a Bytes, new: &'a Bytes, window: Window) -> Self {
        let (old_lines, new_lines) = (split(window.of(old)), split(window.of(new)));
        Self { old, new, window, old_lines, new_lines }
    }

    /// Finds the changed lines; `None` if what is outside of the window may count.
    fn changes(&self, whitespace: Whitespace) -> Option<Vec<Block>> {
        if self.old_lines.is_empty() || self.new_lines.is_empty() {
            let block = Block { old: 0..self.old_lines.len(), new: 0..self.new_lines.len() };
            return Some(if block.old == block.new { Vec::new() } else { vec![block] });
        }
        let mut input = InternedInput::<Cow<'_, [u8]>>::default();
        input.reserve(number(self.old_lines.len()), number(self.new_lines.len()));
        input.update_before(self.old_lines.iter().map(|line| key(line, whitespace)));
        input.update_after(self.new_lines.iter().map(|line| key(line, whitespace)));
        if !self.window.is_all() && !is_one_replacement(&input) {
            return None;
        }
        let mut diff = Diff::compute(Algorithm::Myers, &input);
        self.slide(&mut diff, &input);
        let block = |hunk: gix::diff::blob::Hunk| Block { old: span(&hunk.before), new: span(&hunk.after) };
        let changes: Vec<Block> = diff.hunks().map(block).collect();
        let n_lines = [self.old_lines.len(), self.new_lines.len()];
        self.window.holds(&changes, n_lines).then_some(changes)
    }

    /// Moves changes that could stand in several places to where people expect them, by the indentation of the
    /// lines themselves: what is compared may lack it.
    fn slide(&self, diff: &mut Diff, input: &InternedInput<Cow<'_, [u8]>>) {
        let n_lines = self.old_lines.len().max(self.new_lines.len());
        let mut numbers: Vec<Token> = Vec::new();
        let place = |tokens: &[Token], hunk: Range<u32>, earliest: u32| {
            let is_old = std::ptr::eq(tokens, &*input.before);
            let lines = if is_old { &self.old_lines } else { &self.new_lines };
            let indent = |at: Token| IndentLevel::for_ascii_line(lines[at.0 as usize].iter().copied(), 8);
            if numbers.is_empty() {
                numbers.extend((0..).take(n_lines).map(Token));
            }
            IndentHeuristic::new(indent).best_slider_end(&numbers[..lines.len()], hunk, earliest)
        };
        diff.postprocess_with_heuristic(input, place);
    }

    fn hunk(&self, blocks: &[Block], options: &FileOptions) -> Hunk {
        let context = options.context as usize;
        let (first, last) = (&blocks[0], &blocks[blocks.len() - 1]);
        let before = context.min(first.old.start).min(first.new.start);
        let after = context.min(self.old_lines.len() - last.old.end).min(self.new_lines.len() - last.new.end);
        let (old, new) =
            (first.old.start - before..last.old.end + after, first.new.start - before..last.new.end + after);
        let mut lines = Vec::with_capacity(old.len() + new.len());
        let mut at = new.start;
        for block in blocks {
            self.push(LineKind::Context, at..block.new.start, &mut lines);
            let changed = lines.len();
            self.push(LineKind::Deleted, block.old.clone(), &mut lines);
            self.push(LineKind::Added, block.new.clone(), &mut lines);
            if options.words {
                mark_words(&mut lines[changed..], block.old.len());
            }
            at = block.new.end;
        }
        self.push(LineKind::Context, at..new.end, &mut lines);
        let heading = self.heading(old.start);
        Hunk {
            old_start: self.start(&old),
            old_lines: number(old.len()),
            new_start: self.start(&new),
            new_lines: number(new.len()),
            heading,
            lines,
        }
    }

    /// Appends lines: deleted ones of the old version, others of the new one.
    fn push(&self, kind: LineKind, range: Range<usize>, into: &mut Vec<Line>) {
        let (whole, lines) = match kind {
            LineKind::Deleted => (self.old, &self.old_lines),
            _ => (self.new, &self.new_lines),
        };
        let line = |line: &&[u8]| Line { kind, content: whole.slice_ref(line), words: Vec::new() };
        into.extend(lines[range].iter().map(line));
    }

    /// Finds the last line that begins with a letter, `_` or `$`. Source: `def_ff` of git.
    fn heading(&self, above: usize) -> Bytes {
        let names = |line: &&[u8]| {
            line.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$'))
        };
        let named = self.old_lines[..above].iter().copied().rfind(names);
        match named.or_else(|| lines_backwards(self.window.above(self.old)).find(names)) {
            Some(line) => {
                let line = line[..line.len().min(MAX_HEADING)].trim_ascii_end();
                // git shows it up to the first bytes that are no character, such as one that was cut.
                let valid = line.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
                self.old.slice_ref(&line[..valid])
            }
            None => Bytes::new(),
        }
    }

    /// Returns the number of the first of these lines in the whole file.
    fn start(&self, range: &Range<usize>) -> u32 {
        let first = self.window.n_lines_above() + range.start;
        number(if range.is_empty() { first } else { first + 1 })
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
