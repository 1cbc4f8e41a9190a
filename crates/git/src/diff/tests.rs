//! Every difference is asked of git too.

mod files;
mod lines;

use super::{FileDiff, LineKind, Status};

/// Renders a file as git's patch does from its first hunk on.
fn render(file: &FileDiff) -> Vec<u8> {
    let mut out = Vec::new();
    for hunk in file.hunks.as_deref().unwrap_or_default() {
        let range = |start: u32, n: u32| if n == 1 { format!("{start}") } else { format!("{start},{n}") };
        let (old, new) = (range(hunk.old_start, hunk.old_lines), range(hunk.new_start, hunk.new_lines));
        out.extend_from_slice(format!("@@ -{old} +{new} @@").as_bytes());
        if !hunk.heading.is_empty() {
            out.push(b' ');
            out.extend_from_slice(&hunk.heading);
        }
        out.push(b'\n');
        for line in &hunk.lines {
            out.push(match line.kind {
                LineKind::Context => b' ',
                LineKind::Deleted => b'-',
                LineKind::Added => b'+',
            });
            out.extend_from_slice(&line.content);
            if !line.content.ends_with(b"\n") {
                out.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
    }
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
