//! Patches as git writes them. Source: git-diff(1), "Generating patch text with -p", and `diff.c` of git.

use hakata_names::{ObjectFormat, Oid};

use super::changes::{Change, ChangeSide, Status};
use super::hunks::{FileDiff, FileOptions, Hunk, LineKind, NoHunks};
use crate::objects::{ReadError, View};
use crate::read::quote;

/// Stands for the side on which there is no file.
const NOTHING: &[u8] = b"/dev/null";

/// Compares one file and writes its part of a patch.
///
/// # Errors
/// [`ReadError::Exhausted`], and errors of reading.
pub(super) fn write(
    view: &View,
    change: &Change,
    options: &FileOptions,
    into: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let Change { status, old, new } = change;
    if *status != Status::TypeChanged {
        return write_file(&view.diff_file(change, options)?, view.format(), into);
    }
    for half in [Change::plain(old.clone(), None), Change::plain(None, new.clone())] {
        write_file(&view.diff_file(&half, options)?, view.format(), into)?;
    }
    Ok(())
}

fn write_file(file: &FileDiff, format: ObjectFormat, into: &mut Vec<u8>) -> Result<(), ReadError> {
    let Change { status, old, new } = &file.change;
    let name = |prefix: &str, one: &Option<ChangeSide>, other: &Option<ChangeSide>| {
        let side = one.as_ref().or(other.as_ref());
        quote(&[prefix.as_bytes(), side.map_or(&[], |side| &side.path)].concat())
    };
    let (a, b) = (name("a/", old, new), name("b/", new, old));
    put(into, &[b"diff --git ", &a, b" ", &b, b"\n"]);
    match (old, new) {
        (None, Some(new)) => put(into, &[format!("new file mode {:06o}\n", new.mode).as_bytes()]),
        (Some(old), None) => put(into, &[format!("deleted file mode {:06o}\n", old.mode).as_bytes()]),
        (Some(old), Some(new)) if old.mode != new.mode => {
            put(into, &[format!("old mode {:06o}\nnew mode {:06o}\n", old.mode, new.mode).as_bytes()]);
        }
        _ => {}
    }
    if let (Status::Renamed(score) | Status::Copied(score), Some(old), Some(new)) = (status, old, new) {
        let word: &[u8] = if matches!(status, Status::Renamed(_)) { b"rename" } else { b"copy" };
        let (from, to) = (quote(&old.path), quote(&new.path));
        put(into, &[format!("similarity index {score}%\n").as_bytes()]);
        put(into, &[word, b" from ", &from, b"\n", word, b" to ", &to, b"\n"]);
    }
    write_index(old.as_ref(), new.as_ref(), format, into);
    let label_a = if old.is_some() { &a[..] } else { NOTHING };
    let label_b = if new.is_some() { &b[..] } else { NOTHING };
    match &file.hunks {
        Ok(hunks) if hunks.is_empty() => {}
        Ok(hunks) => {
            // A name with a space ends with a tab, so that others do not take a date for part of it.
            let tab = |label: &[u8]| if label.contains(&b' ') { &b"\t"[..] } else { b"" };
            put(into, &[b"--- ", label_a, tab(label_a), b"\n+++ ", label_b, tab(label_b), b"\n"]);
            hunks.iter().for_each(|hunk| write_hunk(hunk, into));
        }
        Err(NoHunks::Binary { .. }) => {
            put(into, &[b"Binary files ", label_a, b" and ", label_b, b" differ\n"]);
        }
        Err(NoHunks::TooLarge | NoHunks::LimitReached) => {
            return Err(ReadError::Walk("a file is too large for a patch".into()));
        }
    }
    Ok(())
}

/// Writes `index <oid>..<oid>[ <mode>]` if the content is another.
fn write_index(old: Option<&ChangeSide>, new: Option<&ChangeSide>, format: ObjectFormat, into: &mut Vec<u8>) {
    let oid = |side: Option<&ChangeSide>| side.map(|side| side.oid);
    if oid(old) == oid(new) {
        return;
    }
    let [from, to] = [old, new].map(|side| Oid::wire_hex(oid(side), format));
    put(into, &[b"index ", from.as_bytes(), b"..", to.as_bytes()]);
    match (old, new) {
        (Some(old), Some(new)) if old.mode == new.mode => {
            put(into, &[format!(" {:06o}\n", new.mode).as_bytes()]);
        }
        _ => into.push(b'\n'),
    }
}

/// Writes a hunk from its `@@` on.
pub(super) fn write_hunk(hunk: &Hunk, into: &mut Vec<u8>) {
    let range = |start: u32, n: u32| if n == 1 { format!("{start}") } else { format!("{start},{n}") };
    let (old, new) = (range(hunk.old_start, hunk.old_lines), range(hunk.new_start, hunk.new_lines));
    put(into, &[b"@@ -", old.as_bytes(), b" +", new.as_bytes(), b" @@"]);
    if !hunk.heading.is_empty() {
        put(into, &[b" ", &hunk.heading]);
    }
    into.push(b'\n');
    for line in &hunk.lines {
        into.push(match line.kind {
            LineKind::Context => b' ',
            LineKind::Deleted => b'-',
            LineKind::Added => b'+',
        });
        into.extend_from_slice(&line.content);
        if !line.content.ends_with(b"\n") {
            into.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

fn put(into: &mut Vec<u8>, words: &[&[u8]]) {
    words.iter().for_each(|word| into.extend_from_slice(word));
}
