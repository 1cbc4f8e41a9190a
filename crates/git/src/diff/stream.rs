//! A whole difference: first which files, then their hunks, a few files at a time.

use std::collections::VecDeque;

use futures_util::{StreamExt, TryStreamExt, stream};
use hakata_names::{Oid, TreePath};

use super::changes::{Change, ChangeSide, Status};
use super::hunks::{FileDiff, FileOptions, NoHunks};
use super::patch::between;
use super::renames::{Search, find_renames};
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError, View};
use crate::process::ask;
use crate::read::{Allowance, Deadline, deadline, left_until, until};

/// Most output of git that lists changes, in bytes: about a million files.
const MAX_LISTING: u64 = 256 << 20;

/// Lines after which a batch of files is handed out.
const BATCH_LINES: usize = 2_000;

/// Files after which a batch is handed out.
const BATCH_FILES: usize = 64;

/// Files after which a batch is handed out whose lines are only counted.
const BATCH_COUNTED: usize = 256;

/// Whether to look for files that moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renames {
    /// They are deletions and additions.
    Off,
    /// Half of the content makes a rename, as `--find-renames`.
    #[default]
    Find,
    /// Copies of changed files are found too, as `--find-copies`. Always starts git.
    WithCopies,
}

/// How much of a difference is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffLimits {
    /// Most files.
    pub max_files: usize,
    /// Most lines of all hunks; files behind them come without hunks.
    pub max_lines: usize,
    /// Most bytes of lines of all hunks.
    pub max_bytes: u64,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self { max_files: 1_000, max_lines: 100_000, max_bytes: 16 << 20 }
    }
}

/// A question for a difference.
#[derive(Clone, Debug, Default)]
pub struct DiffQuery {
    /// A tree, commit or tag; nothing at all without one.
    pub old: Option<Oid>,
    /// A tree, commit or tag; nothing at all without one.
    pub new: Option<Oid>,
    /// Files and directories; all without one.
    pub paths: Vec<TreePath>,
    /// Whether to look for renames.
    pub renames: Renames,
    /// How each file is compared.
    pub file: FileOptions,
    /// How much is shown.
    pub limits: DiffLimits,
}

/// Files with their hunks, in the order of their paths.
pub struct DiffStream {
    objects: Objects,
    allowance: Allowance,
    deadline: Deadline,
    n_changes: usize,
    rest: Rest,
    ready: VecDeque<FileDiff>,
}

/// What is still to be compared, and how much of it may be shown.
#[derive(Default)]
struct Rest {
    waiting: VecDeque<Change>,
    options: FileOptions,
    limits: DiffLimits,
}

impl Objects {
    /// Lists the changed files, with renames as git finds them.
    ///
    /// # Errors
    /// [`ReadError::Absent`] or [`ReadError::Invalid`] for what is no tree, [`ReadError::Exhausted`],
    /// [`ReadError::Child`], and errors of reading.
    pub async fn changes(&self, query: &DiffQuery, allowance: &Allowance) -> Result<Vec<Change>, ReadError> {
        if query.renames != Renames::WithCopies {
            let (asked, max_pairs) = (query.clone(), self.git().settings().in_process_renames);
            let read = move |view: &View| changes_in_process(view, &asked, max_pairs);
            if let Some(changes) = self.read_within(allowance, read).await? {
                return Ok(changes);
            }
        }
        self.changes_by_git(query, allowance).await
    }

    async fn changes_by_git(
        &self,
        query: &DiffQuery,
        allowance: &Allowance,
    ) -> Result<Vec<Change>, ReadError> {
        let trees = self.trees(query.old, query.new, allowance).await?;
        let copies = query.renames == Renames::WithCopies;
        let command = Command::new(Subcommand::DiffTree)
            .dir(self.dir())
            .flag("-r")
            .flag("-z")
            .flag("--raw")
            .flag("--no-abbrev")
            .flag(if copies { "--find-copies" } else { "--find-renames" });
        let command = between(command, trees, &query.paths);
        let asked = ask(self.git(), &command, Vec::new(), MAX_LISTING);
        let (finished, listing) = until(deadline(allowance), asked).await??;
        finished.success()?;
        parse_raw(&listing).ok_or_else(|| ReadError::Walk("git listed changes in an unknown way".into()))
    }

    /// Compares two trees. What is shown first is read along with the list of files.
    ///
    /// # Errors
    /// As [`changes`](Self::changes), and errors of reading.
    pub async fn diff(&self, query: &DiffQuery, allowance: &Allowance) -> Result<DiffStream, ReadError> {
        let deadline = deadline(allowance);
        let mut begun = None;
        if query.renames != Renames::WithCopies {
            let (asked, max_pairs) = (query.clone(), self.git().settings().in_process_renames);
            let read = move |view: &View| {
                let changes = changes_in_process(view, &asked, max_pairs)?;
                changes.map(|changes| begin(view, changes, &asked)).transpose()
            };
            begun = self.read_within(allowance, read).await?;
        }
        let (n_changes, rest, ready) = match begun {
            Some(begun) => begun,
            None => {
                let changes = self.changes_by_git(query, allowance).await?;
                (changes.len(), Rest::new(changes, query), VecDeque::new())
            }
        };
        Ok(DiffStream { objects: self.clone(), allowance: *allowance, deadline, n_changes, rest, ready })
    }
}

/// Lists the changed files; `None` if only git can tell which were renamed.
pub(super) fn changes_in_process(
    view: &View,
    query: &DiffQuery,
    max_pairs: usize,
) -> Result<Option<Vec<Change>>, ReadError> {
    let mut changes = view.tree_changes(query.old.as_ref(), query.new.as_ref(), &query.paths)?;
    let search = match query.renames {
        Renames::Off => Search::Complete,
        _ => find_renames(view, &mut changes, max_pairs)?,
    };
    Ok((search == Search::Complete).then_some(changes))
}

/// Compares as many files as are handed out at once, unless several threads can do so.
fn begin(
    view: &View,
    changes: Vec<Change>,
    query: &DiffQuery,
) -> Result<(usize, Rest, VecDeque<FileDiff>), ReadError> {
    let n_changes = changes.len();
    let mut rest = Rest::new(changes, query);
    let ready = if rest.is_for_many() { VecDeque::new() } else { rest.compare_some(view)? };
    Ok((n_changes, rest, ready))
}

impl DiffStream {
    /// Returns how many files differ; fewer are returned if there are more than allowed.
    pub fn n_changes(&self) -> usize {
        self.n_changes
    }

    /// Returns the next file; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Exhausted`], and errors of reading.
    pub async fn next(&mut self) -> Result<Option<FileDiff>, ReadError> {
        if self.ready.is_empty() && !self.rest.waiting.is_empty() {
            self.compare_more().await?;
        }
        Ok(self.ready.pop_front())
    }

    /// Compares files until there is enough to hand out.
    async fn compare_more(&mut self) -> Result<(), ReadError> {
        let allowance = left_until(self.deadline, &self.allowance)?;
        let compare = |mut rest: Rest| {
            let read = move |view: &View| rest.compare_some(view).map(|ready| (rest, ready));
            self.objects.read_within(&allowance, read)
        };
        if self.rest.is_for_many() {
            let n_threads = self.objects.git().settings().diff_threads.max(1);
            let parts = self.rest.split().into_iter().map(compare);
            let compared: Vec<_> = stream::iter(parts).buffered(n_threads).try_collect().await?;
            self.ready = compared.into_iter().flat_map(|(_, ready)| ready).collect();
        } else {
            (self.rest, self.ready) = compare(std::mem::take(&mut self.rest)).await?;
        }
        Ok(())
    }
}

impl Rest {
    fn new(changes: Vec<Change>, query: &DiffQuery) -> Self {
        let waiting = changes.into_iter().take(query.limits.max_files).collect();
        Self { waiting, options: query.file, limits: query.limits }
    }

    /// Says whether lines are counted, for which no file depends on another, and of so many files that several threads
    /// are worth it.
    fn is_for_many(&self) -> bool {
        self.options.max_lines == 0 && self.waiting.len() > BATCH_COUNTED
    }

    /// Splits what is counted into batches.
    fn split(&mut self) -> Vec<Self> {
        let mut parts = Vec::new();
        while !self.waiting.is_empty() {
            let n = self.waiting.len().min(BATCH_COUNTED);
            let waiting = self.waiting.drain(..n).collect();
            parts.push(Self { waiting, options: self.options, limits: self.limits });
        }
        parts
    }

    /// Compares one batch.
    fn compare_some(&mut self, view: &View) -> Result<VecDeque<FileDiff>, ReadError> {
        let max_files = if self.options.max_lines == 0 { BATCH_COUNTED } else { BATCH_FILES };
        let (mut ready, mut n_lines) = (VecDeque::new(), 0);
        while ready.len() < max_files && n_lines < BATCH_LINES {
            let Some(change) = self.waiting.pop_front() else { break };
            let file = compare_one(view, change, &self.options, &mut self.limits)?;
            n_lines += file.hunks.iter().flatten().map(|hunk| hunk.lines.len()).sum::<usize>();
            ready.push_back(file);
        }
        Ok(ready)
    }
}

/// Compares one file with what is left of the limits, and takes off what it used.
fn compare_one(
    view: &View,
    change: Change,
    options: &FileOptions,
    limits: &mut DiffLimits,
) -> Result<FileDiff, ReadError> {
    if options.max_lines > 0 && (limits.max_lines == 0 || limits.max_bytes == 0) {
        let hunks = Err(NoHunks::LimitReached);
        return Ok(FileDiff { change, hunks, n_added: 0, n_deleted: 0, is_truncated: true });
    }
    let options = FileOptions { max_lines: options.max_lines.min(limits.max_lines), ..*options };
    let mut file = view.diff_file(&change, &options)?;
    if let Ok(hunks) = &mut file.hunks {
        let mut n_kept = 0;
        for hunk in hunks.iter() {
            let n_bytes: u64 = hunk.lines.iter().map(|line| line.content.len() as u64).sum();
            if n_bytes > limits.max_bytes {
                limits.max_bytes = 0;
                file.is_truncated = true;
                break;
            }
            limits.max_bytes -= n_bytes;
            limits.max_lines = limits.max_lines.saturating_sub(hunk.lines.len());
            n_kept += 1;
        }
        hunks.truncate(n_kept);
        if file.is_truncated && options.max_lines == limits.max_lines {
            limits.max_lines = 0;
        }
    }
    Ok(file)
}

/// Parses `:<mode> <mode> <oid> <oid> <status>\0<path>\0[<path>\0]`. Source: git-diff-tree(1), raw output format.
fn parse_raw(listing: &[u8]) -> Option<Vec<Change>> {
    let mut fields = listing.split(|byte| *byte == 0);
    let mut changes = Vec::new();
    loop {
        let head = fields.next()?;
        if head.is_empty() {
            return Some(changes);
        }
        let words: Vec<&str> = std::str::from_utf8(head).ok()?.strip_prefix(':')?.split(' ').collect();
        let &[old_mode, new_mode, old_oid, new_oid, status] = &words[..] else { return None };
        let path = fields.next()?;
        let side = |mode: &str, oid: &str, path: &[u8]| {
            let mode = u32::from_str_radix(mode, 8).ok()?;
            let oid = Oid::parse_hex(oid.as_bytes()).ok()?;
            Some(ChangeSide { path: path.to_vec(), mode, oid })
        };
        let (kind, score) = status.split_at_checked(1)?;
        let old = side(old_mode, old_oid, path);
        changes.push(match kind {
            "R" | "C" => {
                let score = score.parse().ok()?;
                let status = if kind == "R" { Status::Renamed(score) } else { Status::Copied(score) };
                Change { status, old, new: side(new_mode, new_oid, fields.next()?) }
            }
            _ => Change::plain(old, side(new_mode, new_oid, path)),
        });
    }
}
