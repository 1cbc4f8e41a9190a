//! Commits and history.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{At, Check, Sample, git, lines, rows, text, words};

/// Commits that a listing of a sample shows: more than one part holds.
const LISTED: usize = 150;

pub(super) fn checks(dir: &Path, sample: &mut Sample) -> Vec<Check> {
    let mut checks = Vec::new();
    for commit in &sample.commits {
        checks.push(one(commit));
        checks.extend(histories(dir, commit));
    }
    for at in &sample.paths {
        checks.extend(of_path(&at.commit, &at.path, at.is_file()));
    }
    for (commit, path) in directories(sample) {
        checks.extend(last_commits(dir, &commit, &path));
    }
    for (one, other) in sample.pairs(12) {
        checks.push(merge_base(&one, &other));
        checks.push(excluded(&one, &other));
    }
    let files = sample.paths.iter().filter(|at| at.is_file()).take(6);
    checks.extend(files.flat_map(|at| blames(&at.commit, &at.path)));
    checks
}

fn oid(value: &Value) -> String {
    value["oid"].as_str().unwrap().to_owned()
}

/// What one commit says.
fn one(commit: &str) -> Check {
    let said = |parts: &[Value]| {
        let commit = &parts[0];
        let person = |word: &str| {
            let who = &commit[word];
            let field = |name: &str| who[name].as_str().unwrap().to_owned();
            let offset = who["offset_minutes"].as_i64().unwrap();
            let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            let zone = format!("{sign}{:02}{:02}", offset / 60, offset % 60);
            format!("{word} {} <{}> {} {zone}", field("name"), field("email"), who["time_s"])
        };
        let mut lines = vec![format!("tree {}", commit["tree_oid"].as_str().unwrap())];
        let parents = commit["parent_oids"].as_array().unwrap();
        lines.extend(parents.iter().map(|parent| format!("parent {}", parent.as_str().unwrap())));
        lines.extend(["author", "committer"].map(person));
        let encoding = commit["encoding"].as_str().unwrap();
        lines.extend(Some(format!("encoding {encoding}")).filter(|_| !encoding.is_empty()));
        lines.push(commit["message"].as_str().unwrap().to_owned());
        lines
    };
    let heard = |said: &[u8]| {
        let end = said.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let known = [&b"tree "[..], b"parent ", b"author ", b"committer ", b"encoding "];
        let mut lines = Vec::new();
        for line in said[..end].split(|byte| *byte == b'\n') {
            if known.iter().any(|word| line.starts_with(word)) {
                lines.push(header(line));
            }
        }
        lines.push(text(&said[end + 2..]));
        lines
    };
    Check::new(
        "commit.get",
        json!({"revision": {"oid": commit}}),
        &[b"cat-file", b"commit", commit.as_bytes()],
        said,
        heard,
    )
}

/// Writes a header with name and address as JSON shows them.
fn header(line: &[u8]) -> String {
    let person = line
        .iter()
        .position(|byte| *byte == b' ')
        .map_or((line, &b""[..]), |at| (&line[..at], &line[at + 1..]));
    if person.0 != b"author" && person.0 != b"committer" {
        return text(line);
    }
    let (open, close) = (
        line.iter().position(|byte| *byte == b'<').unwrap(),
        line.iter().rposition(|byte| *byte == b'>').unwrap(),
    );
    let name = text(line[person.0.len() + 1..open].trim_ascii());
    format!("{} {name} <{}>{}", text(person.0), text(&line[open + 1..close]), text(&line[close + 1..]))
}

/// Histories from one commit, by every filter.
fn histories(dir: &Path, commit: &str) -> Vec<Check> {
    let shown = git(dir, &words(&["show", "-s", "--encoding=UTF-8", "--format=%ct%n%ae%n%s", commit]))
        .unwrap_or_default();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let mut shown = shown.lines();
    let time: i64 = shown.next().and_then(|time| time.parse().ok()).unwrap_or(1);
    let email = shown.next().unwrap_or("x").to_uppercase();
    let word = shown.next().unwrap_or_default().split(' ').find(|word| word.len() > 3 && word.is_ascii());
    let word = word.unwrap_or("none").to_uppercase();
    let (author, message) = (format!("--author={email}"), format!("--grep={word}"));
    let (max_age, min_age) =
        (format!("--max-age={}", time - 90 * 86_400), format!("--min-age={}", time - 3_600));
    let filters: [(Value, Vec<&str>); 8] = [
        (json!({}), vec![]),
        (json!({"first_parent": true}), vec!["--first-parent"]),
        (json!({"no_merges": true}), vec!["--no-merges"]),
        (json!({"author": email}), vec!["-i", "-F", &author]),
        (json!({"message": word}), vec!["-i", "-F", &message]),
        (json!({"since_s": time - 90 * 86_400}), vec![&max_age]),
        (json!({"until_s": time - 3_600}), vec![&min_age]),
        (
            json!({"until_s": time - 3_600, "first_parent": true, "no_merges": true}),
            vec![&min_age, "--first-parent", "--no-merges"],
        ),
    ];
    let mut checks = Vec::new();
    for (mut history, flags) in filters {
        history["revisions"] = json!([{"oid": commit}]);
        checks.push(history_of(history, &[&flags[..], &[commit]].concat(), &[]));
    }
    // More than one page over MessagePack-RPC holds.
    let all = json!({"history": {"revisions": [{"oid": commit}]}, "limit": 9_000});
    let git: [&[u8]; 4] = [b"rev-list", b"--max-count=9000", commit.as_bytes(), b"--"];
    let listed = |parts: &[Value]| rows(parts, "commits").map(oid).collect();
    checks.push(Check::new("commit.list", all, &git, listed, lines));
    let history = json!({"history": {"revisions": [{"oid": commit}]}});
    let git: [&[u8]; 3] = [b"rev-list", b"--count", commit.as_bytes()];
    let counted = |parts: &[Value]| vec![parts[0]["n_commits"].to_string()];
    checks.push(Check::new("commit.count", history, &git, counted, lines));
    let history = json!({"history": {"revisions": [{"oid": commit}], "author": email, "no_merges": true}});
    let git = words(&["rev-list", "--count", "-i", "-F", &author, "--no-merges", commit]);
    let git: Vec<&[u8]> = git.iter().map(|word| &word[..]).collect();
    checks.push(Check::new("commit.count", history, &git, counted, lines));
    checks
}

/// One listing.
fn history_of(history: Value, flags: &[&str], paths: &[&[u8]]) -> Check {
    let limit = format!("--max-count={LISTED}");
    let git: Vec<&[u8]> = ["rev-list", &limit]
        .iter()
        .chain(flags)
        .map(|word| word.as_bytes())
        .chain([&b"--"[..]])
        .chain(paths.iter().copied())
        .collect();
    let said = |parts: &[Value]| rows(parts, "commits").map(oid).collect();
    Check::new("commit.list", json!({"history": history, "limit": LISTED}), &git, said, lines)
}

fn excluded(commit: &str, other: &str) -> Check {
    let history = json!({"revisions": [{"oid": commit}], "excluded": [{"oid": other}]});
    history_of(history, &[commit, &format!("^{other}")], &[])
}

/// What changed a path.
fn of_path(commit: &str, path: &[u8], is_file: bool) -> Vec<Check> {
    let revisions = json!([{"oid": commit}]);
    let shown = text(path);
    let mut checks = vec![
        history_of(json!({"revisions": revisions, "paths": [shown]}), &[commit], &[path]),
        history_of(
            json!({"revisions": revisions, "paths": [shown], "first_parent": true}),
            &["--first-parent", commit],
            &[path],
        ),
    ];
    let git: [&[u8]; 6] = [b"log", b"-1", b"--format=%H", commit.as_bytes(), b"--", path];
    let request = json!({"revision": {"oid": commit}, "path": shown});
    let said = |parts: &[Value]| vec![oid(&parts[0])];
    checks.push(Check::new("commit.last_commit_for_path", request, &git, said, lines));
    if is_file {
        let history = json!({"revisions": revisions, "paths": [shown], "follow": true});
        let git: [&[u8]; 7] = [b"log", b"--follow", b"-150", b"--format=%H", commit.as_bytes(), b"--", path];
        let said = |parts: &[Value]| rows(parts, "commits").map(oid).collect();
        checks.push(Check::new(
            "commit.list",
            json!({"history": history, "limit": LISTED}),
            &git,
            said,
            lines,
        ));
    }
    checks
}

/// The root of some commits, and directories that were met.
fn directories(sample: &Sample) -> Vec<(String, Vec<u8>)> {
    let roots = sample.commits.iter().take(4).map(|commit| (commit.clone(), Vec::new()));
    let met = sample.paths.iter().filter_map(|At { commit, path, .. }| {
        let slash = path.iter().rposition(|byte| *byte == b'/')?;
        Some((commit.clone(), path[..slash].to_vec()))
    });
    roots.chain(met.take(8)).collect()
}

/// The last commits of a directory; git is asked for each of some entries.
fn last_commits(dir: &Path, commit: &str, directory: &[u8]) -> Vec<Check> {
    let prefix = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
    let tree = [commit.as_bytes(), b":", directory].concat();
    let names =
        git(dir, &[b"ls-tree".to_vec(), b"-z".to_vec(), b"--name-only".to_vec(), tree]).unwrap_or_default();
    let names: Vec<Vec<u8>> = super::records(&names).map(<[u8]>::to_vec).collect();
    let step = (names.len() / 8).max(1);
    let asked = names.into_iter().step_by(step).map(|name| {
        let path = [&prefix[..], &name].concat();
        let request = json!({"revision": {"oid": commit}, "path": text(directory)});
        let git: [&[u8]; 6] = [b"log", b"-1", b"--format=%H", commit.as_bytes(), b"--", &path];
        let shown = text(&name);
        let said = move |parts: &[Value]| {
            let entry = rows(parts, "entries").find(|entry| entry["name"] == shown[..]);
            entry.map(|entry| oid(&entry["commit"])).into_iter().collect()
        };
        Check::new("commit.list_last_commits_for_tree", request, &git, said, lines)
    });
    asked.collect()
}

fn merge_base(one: &str, other: &str) -> Check {
    let request = json!({"revisions": [{"oid": one}, {"oid": other}]});
    let said = |parts: &[Value]| {
        let mut oids: Vec<String> =
            parts[0]["oids"].as_array().unwrap().iter().map(|oid| oid.as_str().unwrap().to_owned()).collect();
        oids.sort();
        oids
    };
    let heard = |said: &[u8]| {
        let mut oids = lines(said);
        oids.sort();
        oids
    };
    let git: [&[u8]; 4] = [b"merge-base", b"--all", one.as_bytes(), other.as_bytes()];
    Check::new("commit.merge_base", request, &git, said, heard)
}

/// Who last changed each line, with and without white space, and of some lines only.
fn blames(commit: &str, path: &[u8]) -> [Check; 3] {
    let request = json!({"revision": {"oid": commit}, "path": text(path)});
    let with = |more: Value| {
        let mut request = request.clone();
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    [
        (json!({}), vec![]),
        (json!({"ignore_whitespace": true}), vec![&b"-w"[..]]),
        (json!({"first_line": 1, "last_line": 3}), vec![b"-L1,+3"]),
    ]
    .map(|(more, flags)| {
        let git =
            [&[&b"blame"[..], b"--line-porcelain"], &flags[..], &[commit.as_bytes(), b"--", path]].concat();
        Check::new("commit.blame", with(more), &git, blamed, heard_blame)
    })
}

/// Line by line: commit, line there, path there.
fn blamed(parts: &[Value]) -> Vec<String> {
    let mut lines = BTreeMap::new();
    for range in rows(parts, "ranges") {
        let number = |field: &str| range[field].as_u64().unwrap();
        for nth in 0..number("n_lines") {
            let (oid, path) = (oid(range), range["origin_path"].as_str().unwrap());
            lines.insert(number("line") + nth, format!("{oid} {} {path}", number("origin_line") + nth));
        }
    }
    lines.into_values().collect()
}

fn heard_blame(said: &[u8]) -> Vec<String> {
    let (mut head, mut lines) = (String::new(), Vec::new());
    let mut at_head = true;
    for line in said.split(|byte| *byte == b'\n') {
        if std::mem::take(&mut at_head) {
            head = text(line).split(' ').take(2).collect::<Vec<_>>().join(" ");
        } else if let Some(path) = line.strip_prefix(b"filename ") {
            lines.push(format!("{head} {}", text(&unquoted(path))));
        } else if line.starts_with(b"\t") {
            at_head = true;
        }
    }
    lines
}

/// Undoes git's quotes around a path.
fn unquoted(path: &[u8]) -> Vec<u8> {
    let Some(inner) = path.strip_prefix(b"\"").and_then(|path| path.strip_suffix(b"\"")) else {
        return path.to_vec();
    };
    let (mut out, mut rest) = (Vec::new(), inner);
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (escaped, behind) = rest.split_first().unwrap();
        rest = behind;
        out.push(match escaped {
            b'n' => b'\n',
            b't' => b'\t',
            b'0'..=b'3' => {
                let digits = std::str::from_utf8(&rest[..2]).unwrap();
                rest = &rest[2..];
                (escaped - b'0') << 6 | u8::from_str_radix(digits, 8).unwrap()
            }
            other => *other,
        });
    }
    out
}
