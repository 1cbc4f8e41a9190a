//! The git command, started for each question as a server would start it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use hakata_names::Oid;

use super::peers::{self, Peer, Sum, Told, told};
use super::question::Question;
use super::subject::Subject;

/// git itself; the directory is where it may write trees.
pub(super) struct GitCommand<'a> {
    pub(super) scratch: &'a Path,
}

impl Peer for GitCommand<'_> {
    fn name(&self) -> &'static str {
        "git"
    }

    fn ask(&self, question: Question, subject: &Subject) -> Option<Result<Told>> {
        let git = Git { subject, path: &subject.path };
        Some(match question {
            Question::Refs => git.refs(),
            Question::Revision => git.said(&["rev-parse", "HEAD~10^{tree}"], trimmed),
            Question::Tree => git.said(&["ls-tree", "-l", "-z", "HEAD"], tree),
            Question::Blob => git.said(&["cat-file", "blob", &format!("HEAD:{}", subject.file)], Ok),
            Question::Blobs => git.blobs(),
            Question::Log(n) => git.log(&format!("-{n}"), &[]),
            Question::Count => git.said(&["rev-list", "--count", "HEAD"], trimmed),
            Question::MergeBases => git.merge_bases(),
            Question::AheadBehind => git.ahead_behind(),
            Question::PathLog => git.log("-100", &["--", &subject.file]),
            Question::LastCommits | Question::LastCommitsAgain => git.last_commits(),
            Question::SmallDiff => git.small_diff(),
            Question::Diffs => git.diffs(),
            Question::HugeStats => git.huge(&["--numstat", "-z"], numstat),
            Question::HugePatch => {
                git.huge(&["-p"], |patch| Ok(peers::counts(&[peers::count_patch(&patch)])))
            }
            Question::Merges => git.merges(self.scratch),
            Question::Blame => git.said(&["blame", "--porcelain", "HEAD", "--", &subject.file], blame),
        })
    }
}

struct Git<'a> {
    subject: &'a Subject,
    path: &'a Path,
}

impl Git<'_> {
    fn said(&self, args: &[&str], words: fn(Vec<u8>) -> Result<Vec<u8>>) -> Result<Told> {
        let output = run(self.path, args, None, &[])?;
        told(move || words(output))
    }

    fn refs(&self) -> Result<Told> {
        let format = "--format=%(refname) %(objectname) %(objecttype) %(*objecttype) %(creatordate:unix) \
                      %(*committerdate:unix)";
        self.said(&["for-each-ref", format, "refs/heads", "refs/tags"], |output| {
            let mut rows = Vec::new();
            for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
                let text = |at: usize| String::from_utf8_lossy(words.get(at).copied().unwrap_or_default());
                let is_commit = text(2) == "commit" || text(3) == "commit";
                let date = text(4).parse().or_else(|_| text(5).parse()).ok();
                rows.push((words[0].to_vec(), text(1).into_owned(), date.filter(|_| is_commit)));
            }
            Ok(peers::refs(rows))
        })
    }

    fn blobs(&self) -> Result<Told> {
        let asked: String = self.subject.blobs.iter().map(|oid| format!("{oid}\n")).collect();
        let args = ["cat-file", "--batch", "--buffer"];
        let output = run(self.path, &args, Some(asked.into_bytes()), &[])?;
        let mut sum = Sum::default();
        let mut rest = &output[..];
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').context("a header ends")?;
            let header = String::from_utf8_lossy(&rest[..end]);
            let size: usize = header.rsplit(' ').next().unwrap_or_default().parse().context("a size")?;
            sum.add(&rest[end + 1..end + 1 + size]);
            rest = &rest[end + 2 + size..];
        }
        told(move || Ok(sum.words()))
    }

    fn log(&self, limit: &str, paths: &[&str]) -> Result<Told> {
        let args = [&["log", limit, "--format=%H %at %ct %an %ae %s", "HEAD"], paths].concat();
        self.said(&args, |output| {
            let mut rows = Vec::new();
            for line in output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let text = String::from_utf8_lossy(line);
                let words: Vec<&str> = text.splitn(4, ' ').collect();
                rows.push((words[0].to_owned(), words[1].parse()?, words[2].parse()?));
            }
            Ok(peers::log(rows))
        })
    }

    fn merge_bases(&self) -> Result<Told> {
        let ask = |(one, other): &(Oid, Oid)| {
            run(self.path, &["merge-base", "--all", &one.to_string(), &other.to_string()], None, &[])
        };
        let outputs = self.subject.bases.iter().map(ask).collect::<Result<Vec<_>>>()?;
        told(move || Ok(peers::oids(outputs.iter().map(|output| lines(output)).collect())))
    }

    fn ahead_behind(&self) -> Result<Told> {
        let format = "--format=%(ahead-behind:HEAD)";
        let refs = self.subject.compared.iter().map(|(name, _)| name.as_str());
        let args: Vec<&str> = ["for-each-ref", format].into_iter().chain(refs).collect();
        self.said(&args, Ok)
    }

    fn last_commits(&self) -> Result<Told> {
        let ask = |name: &String| {
            run(
                self.path,
                &["log", "-1", "--format=%H", "HEAD", "--", &format!(":(literal){name}")],
                None,
                &[],
            )
        };
        let outputs = self.subject.entries.iter().map(ask).collect::<Result<Vec<_>>>()?;
        told(move || Ok(peers::oids(outputs.iter().map(|output| lines(output)).collect())))
    }

    fn small_diff(&self) -> Result<Told> {
        let (commit, parent) = self.subject.small.context("there is a small commit")?;
        let args = ["diff-tree", "-r", "-M", "-p", &parent.to_string(), &commit.to_string()];
        self.said(&args, |patch| Ok(peers::counts(&[peers::count_patch(&patch)])))
    }

    /// All in one process, which is more than a server could ask for that gets one question at a time.
    fn diffs(&self) -> Result<Told> {
        let asked: String = self.subject.diffs.iter().map(|(commit, _)| format!("{commit}\n")).collect();
        let args = ["diff-tree", "--stdin", "-r", "-M", "-p", "--format=commit%x00%H"];
        let output = run(self.path, &args, Some(asked.into_bytes()), &[])?;
        told(move || {
            // No line of a patch begins with this: it is of another length, and hunks are indented.
            let mut rows = Vec::new();
            let mut begin = 0;
            let mark = b"commit\0";
            let ends = (0..output.len())
                .filter(|at| output[*at..].starts_with(mark) && (*at == 0 || output[*at - 1] == b'\n'));
            let ends: Vec<usize> = ends.skip(1).chain([output.len()]).collect();
            for end in ends {
                rows.push(peers::count_patch(&output[begin..end]));
                begin = end;
            }
            Ok(peers::counts(&rows))
        })
    }

    fn huge(&self, how: &[&str], words: fn(Vec<u8>) -> Result<Vec<u8>>) -> Result<Told> {
        let (half, tip) = (self.subject.half.to_string(), self.subject.tip.to_string());
        self.said(&[&["diff-tree", "-r", "-M"], how, &[&half, &tip]].concat(), words)
    }

    /// All in one process, as good as a server that keeps one could do.
    fn merges(&self, scratch: &Path) -> Result<Told> {
        let objects = scratch.join("objects");
        let _ = std::fs::remove_dir_all(&objects);
        std::fs::create_dir_all(&objects)?;
        let theirs = self.path.join("objects");
        let apart = [("GIT_OBJECT_DIRECTORY", &*objects), ("GIT_ALTERNATE_OBJECT_DIRECTORIES", &*theirs)];
        let asked = self.subject.merges.iter().map(|(base, head)| format!("{base} {head}\n"));
        let asked = asked.collect::<String>().into_bytes();
        let args = ["merge-tree", "--write-tree", "--no-messages", "--allow-unrelated-histories", "--stdin"];
        let output = run(self.path, &args, Some(asked), &apart)?;
        told(move || Ok(merged(&output)))
    }
}

fn trimmed(mut output: Vec<u8>) -> Result<Vec<u8>> {
    output.truncate(output.trim_ascii_end().len());
    Ok(output)
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

fn tree(output: Vec<u8>) -> Result<Vec<u8>> {
    let mut rows = Vec::new();
    for entry in output.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let tab = entry.iter().position(|byte| *byte == b'\t').context("an entry has a name")?;
        let words = String::from_utf8_lossy(&entry[..tab]);
        let words: Vec<&str> = words.split_ascii_whitespace().collect();
        let mode = u32::from_str_radix(words[0], 8)?;
        rows.push((mode, words[2].to_owned(), words[3].parse().ok(), entry[tab + 1..].to_vec()));
    }
    Ok(peers::tree(rows))
}

/// Reads `ADDED TAB DELETED TAB PATH NUL`, where a renamed file has its two paths behind an empty one.
fn numstat(output: Vec<u8>) -> Result<Vec<u8>> {
    let (mut files, mut added, mut deleted) = (0, 0, 0);
    let mut fields = output.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    while let Some(field) = fields.next() {
        let words: Vec<&[u8]> = field.splitn(3, |byte| *byte == b'\t').collect();
        let number = |at: usize| String::from_utf8_lossy(words[at]).parse::<u64>().unwrap_or(0);
        ensure!(words.len() == 3, "git counts lines in an unknown way");
        (files, added, deleted) = (files + 1, added + number(0), deleted + number(1));
        if words[2].is_empty() {
            fields.nth(1);
        }
    }
    Ok(peers::counts(&[(files, added, deleted)]))
}

/// Reads for each merge `CLEAN NUL TREE NUL (CONFLICT NUL)* NUL`.
fn merged(output: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut fields = output.split(|byte| *byte == 0);
    while let Some(clean) = fields.next().filter(|clean| !clean.is_empty()) {
        let tree = fields.next().unwrap_or_default();
        out.extend_from_slice(if clean == b"1" { tree } else { b"conflicts" });
        out.push(b'\n');
        while fields.next().is_some_and(|conflict| !conflict.is_empty()) {}
    }
    out
}

fn blame(output: Vec<u8>) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for line in output.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(&line[..line.len().min(120)]);
        let words: Vec<&str> = text.split(' ').collect();
        if !line.starts_with(b"\t") && words.len() >= 3 && matches!(words[0].len(), 40 | 64) {
            lines.push((words[2].parse()?, words[0].to_owned()));
        }
    }
    Ok(peers::blame(lines))
}

/// Runs git to its end.
fn run(path: &Path, args: &[&str], input: Option<Vec<u8>>, environment: &[(&str, &Path)]) -> Result<Vec<u8>> {
    let mut command = Command::new("git");
    command.arg("--git-dir").arg(path).args(args).stdout(Stdio::piped());
    command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]);
    command.envs(environment.iter().copied());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().context("starting git")?;
    let writer = input
        .zip(child.stdin.take())
        .map(|(input, mut stdin)| std::thread::spawn(move || stdin.write_all(&input)));
    let output = child.wait_with_output()?;
    if let Some(writer) = writer {
        writer.join().map_err(|_| anyhow::anyhow!("writing to git"))??;
    }
    ensure!(output.status.success(), "git {args:?} failed");
    Ok(output.stdout)
}
