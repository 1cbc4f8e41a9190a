//! Refs and revisions.

use std::path::Path;

use serde_json::{Value, json};

use super::{At, Check, Sample, lines, rows, words};

pub(super) fn checks(_: &Path, sample: &mut Sample) -> Vec<Check> {
    let mut checks = vec![
        listed("ref.list_branches", "branches", "refs/heads/", json!({}), &[]),
        listed("ref.list_tags", "tags", "refs/tags/", json!({}), &[]),
        listed("ref.list_tags", "tags", "refs/tags/", json!({"with_tips": true}), &[]),
        listed(
            "ref.list_branches",
            "branches",
            "refs/heads/",
            json!({"order": "REF_ORDER_NEWEST", "with_tips": true}),
            &["--sort=-creatordate"],
        ),
        tips(),
    ];
    for branch in sample.branches.iter().take(5) {
        for expression in [branch.trim_start_matches("refs/heads/"), branch] {
            checks.push(resolved(expression.to_owned()));
        }
    }
    for (nth, commit) in sample.commits.iter().enumerate() {
        for step in ["~1", "~7", "^2", "^0", "^{tree}", "^2~1", "~3^{tree}", ":", "^{blob}", "^9"] {
            checks.push(resolved(format!("{commit}{step}")));
        }
        checks.push(resolved(commit[..12].to_owned()));
        if nth < 6 {
            checks.extend(["refs/heads/", "refs/tags/"].map(|prefix| containing(commit, prefix)));
        }
    }
    // The object of a submodule is elsewhere.
    for At { commit, path, .. } in sample.paths.iter().filter(|at| at.kind != "160") {
        if let Ok(path) = std::str::from_utf8(path) {
            checks.push(resolved(format!("{commit}:{path}")));
        }
    }
    let pairs = sample.pairs(12);
    checks.extend(pairs.iter().map(|(base, head)| ahead_behind(base, head)));
    checks
}

fn listed(key: &'static str, list: &'static str, prefix: &str, request: Value, flags: &[&str]) -> Check {
    let format = "--format=%(objectname) %(refname) %(*objectname)";
    let git = words(&[&["for-each-ref", format], flags, &[prefix]].concat());
    let git: Vec<&[u8]> = git.iter().map(|word| &word[..]).collect();
    let said = move |parts: &[Value]| {
        let line = |entry: &Value| {
            let found = &entry["ref"];
            let [target, name, peeled] =
                ["target_oid", "name", "peeled_oid"].map(|field| found[field].as_str().unwrap());
            format!("{target} {name} {peeled}")
        };
        rows(parts, list).map(line).collect()
    };
    Check::new(key, request, &git, said, lines)
}

/// Commits behind branches.
fn tips() -> Check {
    let format = b"--format=%(objectname) %(authoremail) %(committerdate:unix)";
    let said = |parts: &[Value]| {
        let line = |entry: &Value| {
            let tip = &entry["tip"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (oid, email) = (text(&tip["oid"]), text(&tip["author"]["email"]));
            format!("{oid} <{email}> {}", tip["committer"]["time_s"])
        };
        rows(parts, "branches").map(line).collect()
    };
    Check::new(
        "ref.list_branches",
        json!({"with_tips": true}),
        &[b"for-each-ref", format, b"refs/heads/"],
        said,
        lines,
    )
}

fn resolved(expression: String) -> Check {
    let request = json!({"revision": {"expression": expression}});
    let said = |parts: &[Value]| vec![parts[0]["oid"].as_str().unwrap().to_owned()];
    let git: [&[u8]; 4] = [b"rev-parse", b"--verify", b"--quiet", expression.as_bytes()];
    Check::new("ref.resolve_revision", request, &git, said, lines)
}

fn containing(commit: &str, prefix: &str) -> Check {
    let request = json!({"revision": {"oid": commit}, "prefix": prefix});
    let contains = format!("--contains={commit}");
    let git: [&[u8]; 4] = [b"for-each-ref", contains.as_bytes(), b"--format=%(refname)", prefix.as_bytes()];
    let said = |parts: &[Value]| {
        rows(parts, "refs").map(|found| found["name"].as_str().unwrap().to_owned()).collect()
    };
    Check::new("ref.list_refs_containing", request, &git, said, lines)
}

fn ahead_behind(base: &str, head: &str) -> Check {
    let request = json!({"pairs": [{"base": {"oid": base}, "head": {"oid": head}}]});
    let range = format!("{base}...{head}");
    let said = |parts: &[Value]| {
        let count = &parts[0]["counts"][0];
        vec![format!("{}\t{}", count["behind"], count["ahead"])]
    };
    let git: [&[u8]; 4] = [b"rev-list", b"--left-right", b"--count", range.as_bytes()];
    Check::new("ref.ahead_behind", request, &git, said, lines)
}
