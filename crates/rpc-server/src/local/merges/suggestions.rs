//! Lines of files replaced by suggested ones.

use std::collections::BTreeMap;

use hakata_git::objects::View;
use hakata_git::read::EntryKind;
use hakata_git::write::{
    Act, Existing, FileChange, NewObjects, Obstacle, ReplaceError, Replacement, replace_lines,
};
use hakata_names::{Oid, TreePath};
use hakata_rpc::Status;
use hakata_rpc::v1::{ConflictingPath, Suggestion};

use super::super::messages::optional;
use super::super::{file_path, status};
use super::{conflicting, edit_status, write_status};

/// Applies suggestions to files of a tree, none longer than so many bytes; answers the new tree.
pub(super) fn apply(
    view: &View,
    objects: &mut NewObjects,
    tree: Option<Oid>,
    suggestions: Vec<Suggestion>,
    max_file_bytes: u64,
) -> Result<Oid, Status> {
    let mut by_path: BTreeMap<TreePath, Vec<Replacement>> = BTreeMap::new();
    for suggestion in suggestions {
        by_path.entry(file_path(&suggestion.path)?).or_default().push(replacement(suggestion));
    }
    let (mut changes, mut conflicts) = (Vec::new(), Vec::new());
    for (path, replacements) in by_path {
        let found = match &tree {
            Some(tree) => view.find_entry(tree, &path).map_err(|error| status(&error))?,
            None => None,
        };
        let Some(entry) = found else {
            conflicts.push(conflict(&path, Obstacle::Missing, None));
            continue;
        };
        if !matches!(entry.kind, EntryKind::Blob | EntryKind::Executable) {
            conflicts.push(conflict(&path, Obstacle::NoFile, Some(entry.oid)));
            continue;
        }
        let content = view.read_blob(&entry.oid, max_file_bytes).map_err(|error| status(&error))?;
        match replace_lines(&content, &replacements) {
            Ok(content) => {
                let blob = objects.blob(content).map_err(write_status)?;
                let act = Act::Write { blob, mode: None, existing: Existing::Must };
                changes.push(FileChange { path, act, expected: Some(entry.oid) });
            }
            Err(ReplaceError::Differs(_) | ReplaceError::OutOfRange(_)) => {
                conflicts.push(conflict(&path, Obstacle::Differs, Some(entry.oid)));
            }
            Err(error) => return Err(Status::invalid(format!("{path}: {error}"))),
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicting(conflicts));
    }
    objects.edited(view, tree.as_ref(), &changes).map_err(edit_status)
}

fn replacement(suggestion: Suggestion) -> Replacement {
    let lines = |lines: Vec<bytes::Bytes>| lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>();
    let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Replacement {
        first: number(suggestion.first_line),
        n_lines: number(suggestion.n_lines),
        old: (!suggestion.old_lines.is_empty()).then(|| lines(suggestion.old_lines)),
        new: lines(suggestion.new_lines),
    }
}

fn conflict(path: &TreePath, what: Obstacle, actual: Option<Oid>) -> ConflictingPath {
    ConflictingPath {
        path: bytes::Bytes::copy_from_slice(path.as_bytes()),
        kind: what.name().to_owned(),
        ours_oid: optional(actual.as_ref()),
        ..ConflictingPath::default()
    }
}
