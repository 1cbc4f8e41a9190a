//! What is asked of both sides, and our answers in git's words.

use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use anyhow::{Context, Result};
use hakata_git::diff::{DiffQuery, LineKind};
use hakata_git::objects::View;
use hakata_git::read::{Allowance, Depth, ListTree, LogQuery};
use hakata_names::{Oid, TreePath};

use super::{Operation, Subject, run};

/// Our side of an operation.
pub(super) type Answer = Box<dyn Fn(&Subject) -> Pin<Box<dyn Future<Output = Result<Vec<u8>>> + '_>>>;

/// Entries whose last commits git is asked for, one process each.
const MAX_LAST_COMMITS: usize = 40;

/// Lists the operations for a repository.
pub(super) fn operations(path: &Path, subject: &Subject) -> Result<Vec<Operation>> {
    let tip = subject.tip;
    let names = run(path, &words(&["ls-tree", "--name-only", "HEAD"]))?;
    let names: Vec<String> = String::from_utf8(names)?.lines().map(str::to_owned).collect();
    let files = String::from_utf8(run(path, &words(&["ls-tree", "-r", "--name-only", "HEAD"]))?)?;
    let file = files.lines().next().context("the repository has a file")?.to_owned();
    let blob = Oid::parse_hex(run(path, &words(&["rev-parse", &format!("HEAD:{file}")]))?.trim_ascii())?;
    let chain = run(path, &words(&["rev-list", "--first-parent", "--max-count=501", "HEAD"]))?;
    let old = chain.trim_ascii().rsplit(|byte| *byte == b'\n').next().context("there are commits")?;
    let old = Oid::parse_hex(old)?;
    let mut all = vec![
        one("revision", 10.0, &["rev-parse", "HEAD~10^{tree}"], move |view| {
            Ok(format!("{}\n", view.resolve(b"HEAD~10^{tree}", &|name| (name == b"HEAD").then_some(tip))?))
        }),
        one("blob", 10.0, &["cat-file", "blob", &blob.to_string()], move |view| {
            Ok(view.read_blob(&blob, 1 << 30)?)
        }),
        one("tree", 3.0, &["ls-tree", "-z", "HEAD"], move |view| tree(view, tip, false)),
        one("tree with sizes", 3.0, &["ls-tree", "-l", "-z", "HEAD"], move |view| tree(view, tip, true)),
        one("log of 50", 3.0, &["log", "-50", "--format=%H %at %an %s", "HEAD"], move |view| log(view, tip)),
        one("count", 1.0, &["rev-list", "--count", "HEAD"], move |view| {
            let query = LogQuery { tips: vec![tip], ..LogQuery::default() };
            Ok(format!("{}\n", view.count_commits(&query)?))
        }),
        one("merge base", 3.0, &["merge-base", &tip.to_string(), &old.to_string()], move |view| {
            Ok(view.merge_bases(&tip, &[old])?.iter().map(|oid| format!("{oid}\n")).collect::<String>())
        }),
        diverged(path, tip)?,
        one(
            "ahead behind",
            1.0,
            &["rev-list", "--left-right", "--count", &format!("{tip}...{old}")],
            move |view| {
                let apart = view.ahead_behind(&[(tip, old)])?[0];
                Ok(format!("{}\t{}\n", apart.ahead, apart.behind))
            },
        ),
        path_log(tip, file.clone()),
        small_diff(tip),
    ];
    let asked = &names[..names.len().min(MAX_LAST_COMMITS)];
    all.push(last_commits(tip, &names, asked));
    Ok(all)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Makes an operation of one light read.
fn one<T: Into<Vec<u8>> + Send + 'static>(
    name: &'static str,
    at_least: f64,
    command: &[&str],
    read: impl Fn(&View) -> Result<T> + Clone + Send + 'static,
) -> Operation {
    let ours: Answer = Box::new(move |subject| {
        let read = read.clone();
        Box::pin(async move { subject.objects.read(move |view| Ok(read(view).map(Into::into))).await? })
    });
    Operation { name, at_least, commands: vec![words(command)], ours }
}

fn tree(view: &View, root: Oid, sizes: bool) -> Result<Vec<u8>> {
    let query = ListTree { root, path: None, depth: Depth::One, sizes, after: None, limit: usize::MAX };
    let mut out = Vec::new();
    for entry in view.list_tree(&query)?.entries {
        let kind = match entry.mode & 0o170_000 {
            0o040_000 => "tree",
            0o160_000 => "commit",
            _ => "blob",
        };
        let size = entry.size_bytes.map_or("-".to_owned(), |size| size.to_string());
        let size = if sizes { format!(" {size:>7}") } else { String::new() };
        out.extend_from_slice(format!("{:06o} {kind} {}{size}\t", entry.mode, entry.oid).as_bytes());
        out.extend_from_slice(&entry.path);
        out.push(0);
    }
    Ok(out)
}

fn log(view: &View, tip: Oid) -> Result<String> {
    let query = LogQuery { tips: vec![tip], ..LogQuery::default() };
    let mut out = String::new();
    for oid in view.log_page(&query, None, 50)?.commits {
        let commit = view.read_commit(&oid)?;
        let (name, subject) = (commit.text(&commit.author.name), commit.text(&commit.subject()));
        let _ = writeln!(out, "{oid} {} {name} {subject}", commit.author.time.unwrap_or(0));
    }
    Ok(out)
}

/// A merge base of two histories of which neither is in the other: the parents of one of the last merges.
fn diverged(path: &Path, tip: Oid) -> Result<Operation> {
    let merges = run(path, &words(&["rev-list", "--merges", "--max-count=20", "--parents", "HEAD"]))?;
    let last = merges.trim_ascii().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let parents: Vec<&[u8]> = last.split(|byte| *byte == b' ').skip(1).collect();
    let (one, other) = match parents[..] {
        [one, other, ..] => (Oid::parse_hex(one)?, Oid::parse_hex(other)?),
        // A history without merges has nothing that diverged.
        _ => (tip, tip),
    };
    let command = ["merge-base", &one.to_string(), &other.to_string()];
    Ok(self::one("merge base of a merge", 3.0, &command, move |view| {
        let found = view.merge_bases(&one, &[other])?;
        Ok(found.iter().take(1).map(|oid| format!("{oid}\n")).collect::<String>())
    }))
}

fn path_log(tip: Oid, file: String) -> Operation {
    let path = TreePath::parse(file.as_bytes());
    one("log of a path", 1.0, &["log", "-50", "--format=%H", "HEAD", "--", &file], move |view| {
        let query = LogQuery { tips: vec![tip], paths: vec![path.clone()?], ..LogQuery::default() };
        Ok(view.log_page(&query, None, 50)?.commits.iter().map(|oid| format!("{oid}\n")).collect::<String>())
    })
}

fn small_diff(tip: Oid) -> Operation {
    let ours: Answer = Box::new(move |subject| {
        Box::pin(async move {
            let parent = subject.objects.read(move |view| Ok(view.commit(&tip)?.parents.first().copied()));
            let query = DiffQuery { old: parent.await?, new: Some(tip), ..DiffQuery::default() };
            let mut diff = subject.objects.diff(&query, &Allowance::default()).await?;
            let mut out = String::new();
            while let Some(file) = diff.next().await? {
                let hunks = file.hunks.iter().flatten();
                let lines = hunks.flat_map(|hunk| &hunk.lines);
                let n_changed = lines.filter(|line| line.kind != LineKind::Context).count() as u64;
                anyhow::ensure!(n_changed == file.n_added + file.n_deleted, "the lines are those counted");
                let path = String::from_utf8_lossy(file.change.path()).into_owned();
                let _ = writeln!(out, "{}\t{}\t{path}", file.n_added, file.n_deleted);
            }
            Ok(out.into_bytes())
        })
    });
    let command = words(&["diff-tree", "-r", "--numstat", "HEAD~1", "HEAD"]);
    Operation { name: "small diff", at_least: 3.0, commands: vec![command], ours }
}

/// Ours is asked for all entries of the root, git for some of them: it has to be that much faster.
fn last_commits(tip: Oid, names: &[String], asked: &[String]) -> Operation {
    let commands =
        asked.iter().map(|name| words(&["log", "-1", "--format=%H", "HEAD", "--", name])).collect();
    let n_asked = asked.len();
    let share = names.len().max(1) as f64 / n_asked.max(1) as f64;
    let mut operation = one("last commits of all (git: of 40)", 5.0 / share, &[], move |view| {
        let found = view.last_commits(&tip, None, &|_| None)?;
        Ok(found.entries.iter().take(n_asked).map(|entry| format!("{}\n", entry.commit)).collect::<String>())
    });
    operation.commands = commands;
    operation
}
