//! Contents of files.

use std::path::Path;

use serde_json::{Value, json};

use super::{At, Check, Sample, bytes, git, lines, rows, text};

pub(super) fn checks(dir: &Path, sample: &mut Sample) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut oids = Vec::new();
    for At { commit, path, .. } in sample.paths.iter().filter(|at| at.is_file()) {
        let name = [commit.as_bytes(), b":", path].concat();
        checks.push(whole(commit, path, &name));
        checks.push(piece(commit, path, &name));
        let oid = git(dir, &[b"rev-parse".to_vec(), name]).unwrap();
        oids.push(String::from_utf8(oid.trim_ascii().to_vec()).unwrap());
    }
    for (nth, oid) in oids.iter().enumerate() {
        let asked = [oid, &oids[nth / 2]];
        checks.push(size(oid));
        checks.push(many(&asked));
    }
    checks
}

fn content(parts: &[Value]) -> Vec<u8> {
    parts.iter().flat_map(|part| bytes(&part["content"])).collect()
}

fn whole(commit: &str, path: &[u8], name: &[u8]) -> Check {
    let request = json!({"revision": {"oid": commit}, "path": text(path)});
    let said = |parts: &[Value]| vec![text(&content(parts)), parts[0]["size_bytes"].to_string()];
    let heard = |said: &[u8]| vec![text(said), said.len().to_string()];
    Check::new("blob.get", request, &[b"cat-file", b"blob", name], said, heard)
}

fn piece(commit: &str, path: &[u8], name: &[u8]) -> Check {
    let request =
        json!({"revision": {"oid": commit}, "path": text(path), "offset_bytes": 5, "limit_bytes": 700});
    let heard = |said: &[u8]| {
        let from = said.len().min(5);
        vec![text(&said[from..said.len().min(705)])]
    };
    Check::new("blob.get", request, &[b"cat-file", b"blob", name], |parts| vec![text(&content(parts))], heard)
}

fn size(oid: &str) -> Check {
    let said = |parts: &[Value]| vec![parts[0]["sizes"][0]["size_bytes"].to_string()];
    Check::new("blob.sizes", json!({"oids": [oid]}), &[b"cat-file", b"-s", oid.as_bytes()], said, lines)
}

/// Of several at once, git is asked for the first.
fn many(oids: &[&String; 2]) -> Check {
    let said = |parts: &[Value]| {
        let first: Vec<Value> = parts.iter().filter(|part| part["index"] == 0).cloned().collect();
        assert!(rows(&[json!({ "all": parts })], "all").any(|part| part["index"] == 1), "both come");
        vec![text(&content(&first))]
    };
    Check::new(
        "blob.get_many",
        json!({"oids": oids}),
        &[b"cat-file", b"blob", oids[0].as_bytes()],
        said,
        |said| vec![text(said)],
    )
}
