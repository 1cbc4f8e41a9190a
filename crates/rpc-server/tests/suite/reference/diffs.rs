//! What differs.

use std::path::Path;

use serde_json::{Value, json};

use super::{Check, Sample, git, records, rows, text, words};

pub(super) fn checks(dir: &Path, sample: &mut Sample) -> Vec<Check> {
    let mut checks = Vec::new();
    for commit in &sample.commits {
        let parent = git(dir, &words(&["rev-parse", "--verify", "--quiet", &format!("{commit}~1")]));
        let Ok(parent) = parent else { continue };
        let parent = String::from_utf8(parent.trim_ascii().to_vec()).unwrap();
        checks.extend(between(&parent, commit));
        let older = git(dir, &words(&["rev-parse", "--verify", "--quiet", &format!("{commit}~12")]));
        if let Ok(older) = older {
            let older = String::from_utf8(older.trim_ascii().to_vec()).unwrap();
            checks.extend(between(&older, commit));
        }
        checks.extend(range_diff(dir, commit));
    }
    checks
}

/// All questions about two commits.
fn between(old: &str, new: &str) -> Vec<Check> {
    let comparison = |more: Value| {
        let mut comparison = json!({"base": {"oid": old}, "head": {"oid": new}});
        comparison.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "comparison": comparison })
    };
    let git = |flags: &[&str]| {
        words(&[&["diff-tree", "-r", "--full-index", "--no-abbrev"], flags, &[old, new]].concat())
    };
    let mut checks = Vec::new();
    let mut add = |key,
                   request,
                   args: Vec<Vec<u8>>,
                   said: fn(&[Value]) -> Vec<String>,
                   heard: fn(&[u8]) -> Vec<String>| {
        let args: Vec<&[u8]> = args.iter().map(|word| &word[..]).collect();
        checks.push(Check::new(key, request, &args, said, heard));
    };
    add("diff.changed_paths", comparison(json!({})), git(&["--raw", "-z", "-M"]), changes, raw);
    add(
        "diff.changed_paths",
        comparison(json!({"no_renames": true})),
        git(&["--raw", "-z", "--no-renames"]),
        changes,
        raw,
    );
    add("diff.stats", comparison(json!({})), git(&["--numstat", "-z", "-M"]), stats, numstat);
    let whole = |said: &[u8]| vec![text(said)];
    add("diff.patch", comparison(json!({})), git(&["-p", "-M"]), patch, whole);
    for (word, flag) in [
        ("WHITESPACE_UNSPECIFIED", "-M"),
        ("WHITESPACE_IGNORE_AT_END", "--ignore-space-at-eol"),
        ("WHITESPACE_IGNORE_CHANGE", "-b"),
        ("WHITESPACE_IGNORE_ALL", "-w"),
    ] {
        add(
            "diff.diff",
            comparison(json!({ "whitespace": word })),
            git(&["-p", "-M", "--diff-filter=t", flag]),
            hunks,
            patched,
        );
    }
    add(
        "diff.diff",
        comparison(json!({"context": 0})),
        git(&["-p", "-M", "--diff-filter=t", "-U0"]),
        hunks,
        patched,
    );
    checks
}

fn changes(parts: &[Value]) -> Vec<String> {
    let line = |change: &Value| {
        let field = |name: &str| change[name].as_str().unwrap().to_owned();
        let similarity = change["similarity"].as_u64().unwrap();
        let status = match &field("status")[..] {
            "CHANGE_STATUS_ADDED" => "A".to_owned(),
            "CHANGE_STATUS_DELETED" => "D".to_owned(),
            "CHANGE_STATUS_MODIFIED" => "M".to_owned(),
            "CHANGE_STATUS_TYPE_CHANGED" => "T".to_owned(),
            "CHANGE_STATUS_RENAMED" => format!("R{similarity:03}"),
            other => other.to_owned(),
        };
        let paths = match &status[..1] {
            "R" => format!("{} {}", field("old_path"), field("new_path")),
            "D" => field("old_path"),
            _ => field("new_path"),
        };
        let modes = ["old_mode", "new_mode"].map(|mode| format!("{:06o}", change[mode].as_u64().unwrap()));
        format!("{} {} {} {} {status} {paths}", modes[0], modes[1], field("old_oid"), field("new_oid"))
    };
    rows(parts, "changes").map(line).collect()
}

/// `:mode mode oid oid status\0path\0[path\0]`
fn raw(said: &[u8]) -> Vec<String> {
    let (mut lines, mut fields) = (Vec::new(), records(said));
    while let Some(head) = fields.next() {
        let head = String::from_utf8(head[1..].to_vec()).unwrap();
        let head: Vec<&str> = head
            .split(' ')
            .map(|word| if word.len() >= 40 && word.bytes().all(|byte| byte == b'0') { "" } else { word })
            .collect();
        let mut paths = text(fields.next().unwrap());
        if head[4].starts_with('R') {
            paths = format!("{paths} {}", text(fields.next().unwrap()));
        }
        lines.push(format!("{} {paths}", head.join(" ")));
    }
    lines
}

fn stats(parts: &[Value]) -> Vec<String> {
    let line = |file: &Value| {
        let field = |name: &str| file[name].as_str().unwrap().to_owned();
        let counts = match file["binary"] == true {
            true => "-\t-".to_owned(),
            false => format!("{}\t{}", file["n_added"], file["n_deleted"]),
        };
        format!("{}\t{} {}", unread(counts, &field("old_path")), field("old_path"), field("path"))
    };
    rows(parts, "files").map(line).collect()
}

/// Whether a file is binary that was only renamed nobody reads here.
fn unread(counts: String, old_path: &str) -> String {
    if !old_path.is_empty() && counts == "-\t-" { "0\t0".to_owned() } else { counts }
}

/// `added\tdeleted\tpath\0`, of a rename `added\tdeleted\t\0old\0new\0`
fn numstat(said: &[u8]) -> Vec<String> {
    let (mut lines, mut fields) = (Vec::new(), said.split(|byte| *byte == 0));
    while let Some(field) = fields.next().filter(|field| !field.is_empty()) {
        let mut words = field.splitn(3, |byte| *byte == b'\t');
        let [added, deleted, path] = [(); 3].map(|()| words.next().unwrap());
        let counts = format!("{}\t{}", text(added), text(deleted));
        lines.push(match path {
            b"" => {
                let [old, new] = [(); 2].map(|()| text(fields.next().unwrap()));
                format!("{}\t{old} {new}", unread(counts, &old))
            }
            path => format!("{counts}\t {}", text(path)),
        });
    }
    lines
}

fn patch(parts: &[Value]) -> Vec<String> {
    vec![text(&parts.iter().flat_map(|part| super::bytes(&part["content"])).collect::<Vec<u8>>())]
}

/// All hunks as a patch has them, but for a file that became a link: that is one change here, and two in a patch.
fn hunks(parts: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    let files = rows(parts, "files").filter(|file| file["change"]["status"] != "CHANGE_STATUS_TYPE_CHANGED");
    for file in files {
        assert!(file["truncated"] == false, "the sample is within the limits: {}", file["change"]);
        for hunk in file["hunks"].as_array().unwrap() {
            let range = |line: &str, count: &str| match hunk[count].as_u64().unwrap() {
                1 => hunk[line].to_string(),
                count => format!("{},{count}", hunk[line]),
            };
            let (old, new) = (range("old_line", "old_count"), range("new_line", "new_count"));
            let section = Some(super::bytes(&hunk["section"])).filter(|section| !section.is_empty());
            let section = section.map(|section| [b" ", &section[..]].concat()).unwrap_or_default();
            lines.push(text(&[format!("@@ -{old} +{new} @@").as_bytes(), &section].concat()));
            for line in hunk["lines"].as_array().unwrap() {
                let sign = match line["kind"].as_str().unwrap() {
                    "LINE_KIND_ADDED" => b"+",
                    "LINE_KIND_DELETED" => b"-",
                    _ => b" ",
                };
                lines.push(text(&[&sign[..], &super::bytes(&line["text"])].concat()));
                if line["no_newline"] == true {
                    lines.push("\\ No newline at end of file".to_owned());
                }
            }
        }
    }
    lines
}

/// The hunks of git's patch.
fn patched(said: &[u8]) -> Vec<String> {
    let (mut lines, mut left) = (Vec::new(), [0_u32; 2]);
    for line in said.split(|byte| *byte == b'\n') {
        if left == [0, 0] {
            if line.starts_with(b"@@ -") {
                left = counts(line);
                lines.push(text(line));
            } else if line.starts_with(b"\\ ") {
                lines.push(text(line));
            }
            continue;
        }
        for (side, skipped) in left.iter_mut().zip([b'+', b'-']) {
            *side -= u32::from(line[0] != skipped && line[0] != b'\\');
        }
        lines.push(text(line));
    }
    lines
}

/// Reads both counts of `@@ -1,2 +3 @@`.
fn counts(line: &[u8]) -> [u32; 2] {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split(' ').skip(1);
    [(); 2].map(|()| {
        let range = words.next().unwrap();
        range.split_once(',').map_or(1, |(_, count)| count.parse().unwrap())
    })
}

/// Two versions of the last commits before one: without the last, and all.
fn range_diff(dir: &Path, commit: &str) -> Option<Check> {
    let find = |step: &str| {
        let found =
            git(dir, &words(&["rev-parse", "--verify", "--quiet", &format!("{commit}{step}")])).ok()?;
        String::from_utf8(found.trim_ascii().to_vec()).ok()
    };
    let (base, old) = (find("~3")?, find("~1")?);
    let few = git(dir, &words(&["rev-list", "--count", &format!("{base}..{commit}")])).ok()?;
    String::from_utf8(few).ok()?.trim().parse::<u32>().ok().filter(|n| *n < 30)?;
    let named = |oid: &str| json!({ "oid": oid });
    let request = json!({
        "old_base": named(&base), "old_head": named(&old), "new_base": named(&base), "new_head": named(commit)
    });
    let (one, other) = (format!("{base}..{old}"), format!("{base}..{commit}"));
    let args = words(&["range-diff", "--no-color", "--no-patch", "--abbrev=64", &one, &other]);
    let args: Vec<&[u8]> = args.iter().map(|word| &word[..]).collect();
    let said = |parts: &[Value]| {
        let side =
            |oid: &Value| Some(oid.as_str().unwrap()).filter(|oid| !oid.is_empty()).unwrap_or("-").to_owned();
        let line =
            |pair: &Value| format!("{} {} {}", side(&pair["old_oid"]), side(&pair["new_oid"]), pair["equal"]);
        rows(parts, "pairs").map(line).collect()
    };
    Some(Check::new("diff.range_diff", request, &args, said, heard_pairs))
}

/// ` 1:  oid = 2:  oid subject`
fn heard_pairs(said: &[u8]) -> Vec<String> {
    let line = |line: String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let side = |word: &str| if word.starts_with('-') { "-".to_owned() } else { word.to_owned() };
        format!("{} {} {}", side(words[1]), side(words[4]), words[2] == "=")
    };
    super::lines(said).into_iter().map(line).collect()
}
