//! Directories and what is searched in them.

use std::path::Path;

use serde_json::{Value, json};

use super::{At, Check, Sample, records, rows, text};

/// Lines that a search finds at most.
const MAX_LINES: usize = 1_000;

pub(super) fn checks(_: &Path, sample: &mut Sample) -> Vec<Check> {
    let mut checks = Vec::new();
    for (nth, commit) in sample.commits.iter().enumerate() {
        checks.push(listed(commit, b"", false));
        if nth < 6 {
            checks.push(listed(commit, b"", true));
            checks.push(counted(commit));
        }
        if nth < 4 {
            checks.extend(searched(commit));
        }
    }
    for At { commit, path, kind } in &sample.paths {
        checks.push(entry(commit, path));
        if kind == "040" {
            checks.push(listed(commit, path, false));
        }
    }
    checks
}

/// `mode oid size path` of an entry; no size but that of a blob.
fn shown(entry: &Value) -> String {
    let (mode, path) = (entry["mode"].as_u64().unwrap(), entry["path"].as_str().unwrap());
    let is_blob = !matches!(mode & 0o170_000, 0o040_000 | 0o160_000);
    let size = if is_blob { entry["size_bytes"].to_string() } else { "-".to_owned() };
    format!("{mode:06o} {} {size} {path}", entry["oid"].as_str().unwrap())
}

/// The same of lines of `ls-tree -l -z`, below a directory.
fn heard(said: &[u8], directory: &[u8]) -> Vec<String> {
    let line = |record: &[u8]| {
        let tab = record.iter().position(|byte| *byte == b'\t').unwrap();
        let head = String::from_utf8(record[..tab].to_vec()).unwrap();
        let [mode, _, oid, size] = head.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{head}") };
        let path = if directory.is_empty() {
            record[tab + 1..].to_vec()
        } else {
            [directory, b"/", &record[tab + 1..]].concat()
        };
        format!("{mode} {oid} {size} {}", text(&path))
    };
    records(said).map(line).collect()
}

fn listed(commit: &str, directory: &[u8], recursive: bool) -> Check {
    let request = json!({
        "revision": {"oid": commit}, "path": text(directory), "recursive": recursive, "with_sizes": true
    });
    let tree = [commit.as_bytes(), b":", directory].concat();
    let flags: &[&[u8]] = if recursive { &[b"-r", b"-t"] } else { &[] };
    let git = [&[&b"ls-tree"[..], b"-l", b"-z"], flags, &[&tree]].concat();
    let directory = directory.to_vec();
    let said = |parts: &[Value]| rows(parts, "entries").map(shown).collect();
    Check::new("tree.list", request, &git, said, move |said| heard(said, &directory))
}

fn entry(commit: &str, path: &[u8]) -> Check {
    let request = json!({"revision": {"oid": commit}, "path": text(path)});
    let git: [&[u8]; 6] = [b"ls-tree", b"-l", b"-z", commit.as_bytes(), b"--", path];
    Check::new(
        "tree.get_entry",
        request,
        &git,
        |parts| parts.iter().map(shown).collect(),
        |said| heard(said, b""),
    )
}

fn counted(commit: &str) -> Check {
    let git: [&[u8]; 5] = [b"ls-tree", b"-r", b"-z", b"--name-only", commit.as_bytes()];
    let request = json!({"revision": {"oid": commit}, "query": ""});
    let said = |parts: &[Value]| vec![parts[0]["n_matches"].to_string()];
    Check::new("tree.find_files", request, &git, said, |said| vec![records(said).count().to_string()])
}

/// Searches for text and by expression, upper and lower case alike and not.
fn searched(commit: &str) -> [Check; 3] {
    [("Int", false, false), ("return", false, true), ("[a-f]+_[0-9]* ?[(=]", true, true)].map(
        |(query, regex, cased)| {
            let request = json!({
                "revision": {"oid": commit}, "query": query, "regex": regex, "case_sensitive": cased
            });
            let mut git: Vec<&[u8]> = vec![b"grep", b"-I", b"-z", b"-n", b"--column", b"--max-count=100"];
            git.push(if regex { b"-E" } else { b"-F" });
            if !cased {
                git.push(b"-i");
            }
            git.extend([b"-e", query.as_bytes(), commit.as_bytes()]);
            let said = |parts: &[Value]| rows(parts, "matches").map(hit).collect();
            Check::new("tree.search", request, &git, said, heard_search)
        },
    )
}

fn hit(found: &Value) -> String {
    let [path, line] = ["path", "text"].map(|field| found[field].as_str().unwrap());
    format!("{path} {} {} {line}", found["line"], found["column"])
}

/// `commit:path\0line\0column\0text\n`
fn heard_search(said: &[u8]) -> Vec<String> {
    let (mut hits, mut rest) = (Vec::new(), said);
    while !rest.is_empty() && hits.len() < MAX_LINES {
        let mut fields = rest.splitn(4, |byte| *byte == 0);
        let [path, line, column, more] = [(); 4].map(|()| fields.next().unwrap());
        let end = more.iter().position(|byte| *byte == b'\n').unwrap();
        let colon = path.iter().position(|byte| *byte == b':').unwrap();
        let cut = &more[..end.min(1_024)];
        hits.push(format!("{} {} {} {}", text(&path[colon + 1..]), text(line), text(column), text(cut)));
        rest = &more[end + 1..];
    }
    hits
}
