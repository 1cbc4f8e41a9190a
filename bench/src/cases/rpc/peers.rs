//! What the peers have in common: an answer, and its words.

use std::fmt::Write as _;

use anyhow::Result;

use super::question::Question;
use super::subject::Subject;

/// An answer. Putting it into the words that all peers share is not part of what is measured.
pub(super) type Told = Box<dyn FnOnce() -> Result<Vec<u8>>>;

/// Somebody who can answer.
pub(super) trait Peer {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// Answers; `None` if it cannot.
    fn ask(&self, question: Question, subject: &Subject) -> Option<Result<Told>>;
}

/// Makes an answer of a function that puts it into words.
pub(super) fn told(words: impl FnOnce() -> Result<Vec<u8>> + 'static) -> Result<Told> {
    Ok(Box::new(words))
}

/// A branch or tag: its name, its target, and the date of its tag object or commit if it leads to one.
pub(super) type RefRow = (Vec<u8>, String, Option<i64>);

pub(super) fn refs(mut rows: Vec<RefRow>) -> Vec<u8> {
    rows.sort();
    let mut out = Vec::new();
    for (name, target, date) in rows {
        out.extend_from_slice(&name);
        let date = date.map_or("-".to_owned(), |date| date.to_string());
        out.extend_from_slice(format!(" {target} {date}\n").as_bytes());
    }
    out
}

/// An entry of a directory: its mode, oid, size if it is a file, and name.
pub(super) type TreeRow = (u32, String, Option<u64>, Vec<u8>);

pub(super) fn tree(rows: Vec<TreeRow>) -> Vec<u8> {
    let mut out = Vec::new();
    for (mode, oid, size, name) in rows {
        let size = size.map_or("-".to_owned(), |size| size.to_string());
        out.extend_from_slice(format!("{mode:06o} {oid} {size}\t").as_bytes());
        out.extend_from_slice(&name);
        out.push(b'\n');
    }
    out
}

/// Contents, as good as counted: summing them costs every peer the same and proves that all bytes were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) n_bytes: u64,
    sum: u64,
}

impl Sum {
    pub(super) fn add(&mut self, content: &[u8]) {
        self.n_bytes += content.len() as u64;
        self.sum = self.sum.wrapping_add(content.iter().map(|byte| u64::from(*byte)).sum());
    }

    pub(super) fn words(self) -> Vec<u8> {
        format!("{} bytes, sum {}\n", self.n_bytes, self.sum).into_bytes()
    }
}

/// A commit: its oid, and the times of author and committer.
pub(super) type LogRow = (String, i64, i64);

pub(super) fn log(rows: Vec<LogRow>) -> Vec<u8> {
    let mut out = String::new();
    for (oid, authored, committed) in rows {
        let _ = writeln!(out, "{oid} {authored} {committed}");
    }
    out.into_bytes()
}

/// One line of oids a question, in their order.
pub(super) fn oids(mut rows: Vec<Vec<String>>) -> Vec<u8> {
    rows.iter_mut().for_each(|row| row.sort());
    rows.iter().map(|row| row.join(" ") + "\n").collect::<String>().into_bytes()
}

/// Files, lines added and lines deleted of each difference.
pub(super) fn counts(rows: &[(u64, u64, u64)]) -> Vec<u8> {
    let line = |(files, added, deleted): &(u64, u64, u64)| format!("{files} files, +{added} -{deleted}\n");
    rows.iter().map(line).collect::<String>().into_bytes()
}

/// Counts what a patch of git's says: files, lines added, lines deleted.
pub(super) fn count_patch(patch: &[u8]) -> (u64, u64, u64) {
    let (mut files, mut added, mut deleted) = (0, 0, 0);
    // Lines of a hunk that are still to come, of both sides.
    let (mut old, mut new) = (0_u64, 0_u64);
    for line in patch.split(|byte| *byte == b'\n') {
        match line.first() {
            Some(b'+') if new > 0 => (added, new) = (added + 1, new - 1),
            Some(b'-') if old > 0 => (deleted, old) = (deleted + 1, old - 1),
            Some(b' ') if old > 0 || new > 0 => (old, new) = (old.saturating_sub(1), new.saturating_sub(1)),
            _ if line.starts_with(b"diff --git ") => files += 1,
            _ if line.starts_with(b"@@ ") => (old, new) = hunk(line),
            _ => {}
        }
    }
    (files, added, deleted)
}

/// Reads the lengths of both sides: `@@ -1,2 +3,4 @@`.
fn hunk(line: &[u8]) -> (u64, u64) {
    let text = String::from_utf8_lossy(line);
    let mut sides = text.split(' ').skip(1).take(2).map(|side| {
        let length = side.split_once(',').map_or("1", |(_, length)| length);
        length.parse().unwrap_or(0)
    });
    (sides.next().unwrap_or(0), sides.next().unwrap_or(0))
}

/// The commit of each line.
pub(super) fn blame(mut lines: Vec<(u32, String)>) -> Vec<u8> {
    lines.sort();
    lines.iter().map(|(line, oid)| format!("{line} {oid}\n")).collect::<String>().into_bytes()
}
