//! Files that differ, as messages.

use bytes::Bytes;
use hakata_git::diff;
use hakata_rpc::v1::{ChangeStatus, ChangedPath, DiffLine, FileDiff, FileStats, Hunk, LineKind, NoHunks};

use super::super::messages::oid_bytes;

pub(super) fn change(found: &diff::Change) -> ChangedPath {
    let (status, similarity) = match found.status {
        diff::Status::Added => (ChangeStatus::Added, 0),
        diff::Status::Deleted => (ChangeStatus::Deleted, 0),
        diff::Status::Modified => (ChangeStatus::Modified, 0),
        diff::Status::TypeChanged => (ChangeStatus::TypeChanged, 0),
        diff::Status::Renamed(similarity) => (ChangeStatus::Renamed, similarity),
        diff::Status::Copied(similarity) => (ChangeStatus::Copied, similarity),
    };
    let path = |side: &Option<diff::ChangeSide>| side.as_ref().map(|side| Bytes::from(side.path.clone()));
    let mode = |side: &Option<diff::ChangeSide>| side.as_ref().map_or(0, |side| side.mode);
    let oid = |side: &Option<diff::ChangeSide>| side.as_ref().map(|side| oid_bytes(&side.oid));
    ChangedPath {
        status: status.into(),
        similarity: similarity.into(),
        old_path: path(&found.old).unwrap_or_default(),
        new_path: path(&found.new).unwrap_or_default(),
        old_mode: mode(&found.old),
        new_mode: mode(&found.new),
        old_oid: oid(&found.old).unwrap_or_default(),
        new_oid: oid(&found.new).unwrap_or_default(),
    }
}

/// Makes the message of a file, and counts the bytes of its lines.
pub(super) fn file(found: diff::FileDiff) -> (FileDiff, usize) {
    let change = change(&found.change);
    let (hunks, no_hunks) = match found.hunks {
        Ok(hunks) => (hunks, NoHunks::Unspecified),
        Err(diff::NoHunks::Binary { .. }) => (Vec::new(), NoHunks::Binary),
        Err(diff::NoHunks::TooLarge) => (Vec::new(), NoHunks::TooLarge),
        Err(diff::NoHunks::LimitReached) => (Vec::new(), NoHunks::Limit),
    };
    let lines = hunks.iter().flat_map(|hunk| &hunk.lines);
    let n_bytes = lines.map(|line| line.content.len() + 16).sum::<usize>() + 128;
    let message = FileDiff {
        change: Some(change),
        no_hunks: no_hunks.into(),
        truncated: found.is_truncated,
        hunks: hunks.into_iter().map(hunk).collect(),
        n_added: found.n_added,
        n_deleted: found.n_deleted,
    };
    (message, n_bytes)
}

fn hunk(found: diff::Hunk) -> Hunk {
    Hunk {
        old_line: found.old_start,
        old_count: found.old_lines,
        new_line: found.new_start,
        new_count: found.new_lines,
        section: found.heading,
        lines: found.lines.into_iter().map(line).collect(),
    }
}

fn line(found: diff::Line) -> DiffLine {
    let kind = match found.kind {
        diff::LineKind::Context => LineKind::Context,
        diff::LineKind::Added => LineKind::Added,
        diff::LineKind::Deleted => LineKind::Deleted,
    };
    let ends = found.content.last() == Some(&b'\n');
    let text = if ends { found.content.slice(..found.content.len() - 1) } else { found.content };
    let words = found.words.iter().flat_map(|range| [range.start, range.end.saturating_sub(range.start)]);
    DiffLine { kind: kind.into(), text, no_newline: !ends, words: words.collect() }
}

pub(super) fn stats(found: &diff::FileDiff) -> FileStats {
    let moved = matches!(found.change.status, diff::Status::Renamed(_) | diff::Status::Copied(_));
    let old = found.change.old.as_ref().filter(|_| moved).map(|side| Bytes::from(side.path.clone()));
    FileStats {
        path: Bytes::copy_from_slice(found.change.path()),
        old_path: old.unwrap_or_default(),
        n_added: found.n_added,
        n_deleted: found.n_deleted,
        binary: matches!(found.hunks, Err(diff::NoHunks::Binary { .. })),
        too_large: found.hunks == Err(diff::NoHunks::TooLarge),
    }
}
