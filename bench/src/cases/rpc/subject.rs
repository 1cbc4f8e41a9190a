//! What a repository is asked about, picked by git.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hakata_names::Oid;
use hakata_rpc::v1::RepositoryKey;

use super::node::{Given, Place};
use crate::cases::read::run;

/// Pairs whose merge bases are asked for.
const MAX_BASES: usize = 16;

/// Refs that are compared with `HEAD`.
const MAX_COMPARED: usize = 64;

/// Commits whose differences are asked for.
const MAX_DIFFS: usize = 200;

/// Files of such a difference, at most: the service tells no more in one answer.
const MAX_FILES: usize = 1_000;

/// Merges that are made again.
const MAX_MERGES: usize = 250;

/// Changed lines of a small diff, and its files, at most.
const SMALL: (usize, usize) = (100, 5);

/// A repository, and what is asked about it.
pub(super) struct Subject {
    /// What it is called in the table.
    pub(super) shown: String,
    /// The directory that all peers read.
    pub(super) path: PathBuf,
    pub(super) key: RepositoryKey,
    pub(super) tip: Oid,
    pub(super) n_commits: usize,
    /// The largest text file of the root, by lines.
    pub(super) file: String,
    pub(super) blobs: Vec<Oid>,
    /// Both sides of the last merges.
    pub(super) bases: Vec<(Oid, Oid)>,
    /// Refs, and the commits that they lead to.
    pub(super) compared: Vec<(String, Oid)>,
    /// Names of the root's entries.
    pub(super) entries: Vec<String>,
    /// A commit with few changes, and its parent.
    pub(super) small: Option<(Oid, Oid)>,
    /// Commits with one parent, and that.
    pub(super) diffs: Vec<(Oid, Oid)>,
    /// The middle of the history along first parents.
    pub(super) half: Oid,
    /// Both sides of merges.
    pub(super) merges: Vec<(Oid, Oid)>,
}

impl Subject {
    /// Looks at a repository where the service has its copy.
    pub(super) fn of(given: &Given, place: &Place) -> Result<Self> {
        let path = &*place.path;
        let git = |args: &[&str]| lines(path, args);
        let tip = oid(first(&git(&["rev-parse", "HEAD"])?)?)?;
        let chain = git(&["rev-list", "--first-parent", "HEAD"])?;
        let merges = git(&["rev-list", "--min-parents=2", "--max-parents=2", "--parents", "HEAD"])?;
        let merges = merges.iter().take(MAX_MERGES).map(|line| pair(line, 1)).collect::<Result<Vec<_>>>()?;
        let diffs = git(&["rev-list", "--min-parents=1", "--max-parents=1", "--parents", "HEAD"])?;
        let diffs = single(path, &diffs)?;
        let file = long_file(path)?;
        Ok(Self {
            shown: given.shown.clone(),
            path: path.to_owned(),
            key: place.key.clone(),
            tip,
            n_commits: first(&git(&["rev-list", "--count", "HEAD"])?)?.parse()?,
            file,
            blobs: blobs(path)?,
            bases: merges.iter().take(MAX_BASES).copied().collect(),
            compared: compared(path)?,
            entries: git(&["ls-tree", "--name-only", "HEAD"])?,
            small: small(path, &diffs)?,
            diffs,
            half: oid(&chain[chain.len() / 2])?,
            merges,
        })
    }
}

/// Reads an oid of git's.
pub(super) fn oid(hex: &str) -> Result<Oid> {
    Ok(Oid::parse_hex(hex.trim().as_bytes())?)
}

/// Runs git; its output by lines.
fn lines(path: &Path, args: &[&str]) -> Result<Vec<String>> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let output = run(path, &args)?;
    Ok(String::from_utf8_lossy(&output).lines().map(str::to_owned).collect())
}

fn first(lines: &[String]) -> Result<&str> {
    lines.first().map(String::as_str).context("git says something")
}

/// Reads two oids of a line, from one on.
fn pair(line: &str, from: usize) -> Result<(Oid, Oid)> {
    let mut words = line.split(' ').skip(from);
    let (one, other) = words.next().zip(words.next()).context("the line has two oids")?;
    Ok((oid(one)?, oid(other)?))
}

/// Finds the text file of the root with the most lines.
fn long_file(path: &Path) -> Result<String> {
    let empty = first(&lines(path, &["hash-object", "-t", "tree", "/dev/null"])?)?.to_owned();
    let counted = lines(path, &["diff-tree", "--numstat", &empty, "HEAD"])?;
    let longest = counted
        .iter()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let n: u64 = fields.next()?.parse().ok()?;
            Some((n, fields.nth(1)?.to_owned()))
        })
        .filter(|(_, name)| !name.starts_with('"'))
        .max();
    longest.map(|(_, name)| name).context("the root has a text file")
}

fn blobs(path: &Path) -> Result<Vec<Oid>> {
    let listed = lines(path, &["ls-tree", "-r", "HEAD"])?;
    let blobs = listed.iter().filter_map(|line| line.split_once(" blob "));
    blobs.map(|(_, rest)| oid(rest.split('\t').next().unwrap_or_default())).collect()
}

/// Picks branches and tags of commits, spread evenly.
fn compared(path: &Path) -> Result<Vec<(String, Oid)>> {
    let format = "--format=%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)";
    let listed = lines(path, &["for-each-ref", format, "refs/heads", "refs/tags"])?;
    let commits: Vec<(String, Oid)> = listed
        .iter()
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let commit = match words[..] {
                [_, "commit", commit, ..] | [_, _, _, "commit", commit] => commit,
                _ => return None,
            };
            Some((words[0].to_owned(), oid(commit).ok()?))
        })
        .collect();
    let step = commits.len().div_ceil(MAX_COMPARED).max(1);
    Ok(commits.into_iter().step_by(step).collect())
}

/// Picks the newest commits with one parent whose differences the service tells whole.
fn single(path: &Path, history: &[String]) -> Result<Vec<(Oid, Oid)>> {
    let mut picked = Vec::with_capacity(MAX_DIFFS);
    for line in history {
        if picked.len() == MAX_DIFFS {
            break;
        }
        let (commit, parent) = pair(line, 0)?;
        let changed =
            lines(path, &["diff-tree", "-r", "--name-only", &parent.to_string(), &commit.to_string()])?;
        if changed.len() <= MAX_FILES {
            picked.push((commit, parent));
        }
    }
    Ok(picked)
}

/// Picks the newest commit with few changes.
fn small(path: &Path, diffs: &[(Oid, Oid)]) -> Result<Option<(Oid, Oid)>> {
    for (commit, parent) in diffs.iter().take(50) {
        let counted =
            lines(path, &["diff-tree", "-r", "--numstat", &parent.to_string(), &commit.to_string()])?;
        let changed = |line: &String| -> usize {
            line.split('\t').take(2).map(|n| n.parse::<usize>().unwrap_or(usize::MAX / 4)).sum()
        };
        let n_lines: usize = counted.iter().map(changed).fold(0, usize::saturating_add);
        if !counted.is_empty() && counted.len() <= SMALL.1 && n_lines <= SMALL.0 {
            return Ok(Some((*commit, *parent)));
        }
    }
    Ok(None)
}
