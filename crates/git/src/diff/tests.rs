//! Every difference is asked of git too.

mod files;
mod lines;
mod patches;

use super::written::write_hunk;
use super::{FileDiff, Status};

/// Renders a file as git's patch does from its first hunk on.
fn render(file: &FileDiff) -> Vec<u8> {
    let mut out = Vec::new();
    file.hunks.iter().flatten().for_each(|hunk| write_hunk(hunk, &mut out));
    out
}

/// Cuts a patch of git into the parts from `@@` on, one a file.
fn bodies(patch: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut is_body = false;
    for line in patch.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"diff --git ") {
            is_body = false;
            all.push(Vec::new());
        }
        is_body |= line.starts_with(b"@@");
        if let Some(body) = all.last_mut().filter(|_| is_body) {
            body.extend_from_slice(line);
        }
    }
    all
}

/// Renders a status as `--raw` does.
fn letter(status: Status) -> String {
    match status {
        Status::Added => "A".into(),
        Status::Deleted => "D".into(),
        Status::Modified => "M".into(),
        Status::TypeChanged => "T".into(),
        Status::Renamed(score) => format!("R{score:03}"),
        Status::Copied(score) => format!("C{score:03}"),
    }
}
