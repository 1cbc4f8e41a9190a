//! Conflicts and other ends of a merge, as callers are told.

use bytes::Bytes;
use hakata_git::merge::{Conflict, ReplayError, Side};
use hakata_names::Oid;
use hakata_rpc::v1::ConflictingPath;
use hakata_rpc::{Code, Status};

use super::super::messages::optional;
use super::super::status;

/// Bytes of paths that an error holds: over HTTP/2 it travels in a header, for which clients have little room.
const MAX_DETAIL_BYTES: usize = 4 << 10;

/// Says a conflict.
pub(super) fn conflicting(conflict: &Conflict) -> ConflictingPath {
    let oid = |side: &Option<Side>| optional(side.as_ref().map(|side| &side.oid));
    let mode = |side: &Option<Side>| side.map_or(0, |side| side.mode);
    ConflictingPath {
        path: Bytes::copy_from_slice(&conflict.path),
        kind: conflict.kinds.join(", "),
        base_oid: oid(&conflict.base),
        ours_oid: oid(&conflict.ours),
        theirs_oid: oid(&conflict.theirs),
        base_mode: mode(&conflict.base),
        ours_mode: mode(&conflict.ours),
        theirs_mode: mode(&conflict.theirs),
    }
}

/// Says that a commit cannot be merged, and as many of the paths as an error holds.
fn conflict(theirs: &Oid, conflicts: &[Conflict]) -> Status {
    let mut n_bytes = 0;
    let fits = |path: &ConflictingPath| {
        n_bytes += 3 * path.base_oid.len() + path.path.len() + path.kind.len() + 32;
        n_bytes <= MAX_DETAIL_BYTES
    };
    let paths: Vec<_> = conflicts.iter().map(conflicting).take_while(fits).collect();
    let n = conflicts.len();
    let message = match n - paths.len() {
        0 => format!("{theirs} conflicts on {n} paths"),
        n_more => format!("{theirs} conflicts on {n} paths, of which {n_more} are not listed here"),
    };
    Status::conflict(message, paths)
}

/// Says why no commits came of it.
pub(in super::super) fn not_made(error: ReplayError) -> Status {
    match &error {
        ReplayError::Conflict { theirs, merged } => conflict(theirs, &merged.conflicts),
        ReplayError::Empty(_) => Status::new(Code::FailedPrecondition, error.to_string()),
        ReplayError::Invalid(said) => Status::invalid(said),
        ReplayError::Read(_) | ReplayError::Write(_) => status(&error),
    }
}
