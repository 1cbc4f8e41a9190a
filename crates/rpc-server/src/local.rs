//! Every operation, answered from the repositories of this process.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hakata_git::read::Allowance;
use hakata_names::{ObjectFormat, Oid, RefName, RepositoryId, RepositoryPath, TreePath};
use hakata_repository::{Readable, Repositories, Repository, RepositoryRow};
use hakata_rpc::v1::{LanguagesResponse, RepositoryKey};
use hakata_rpc::{Call, Status};
use tokio::time::Instant;

use crate::settings::Settings;

mod blobs;
mod commits;
mod contents;
mod diffs;
mod failure;
mod made;
mod merges;
mod messages;
mod pulls;
mod refs;
mod repositories;
mod revisions;
mod server;
mod trees;

use commits::last_commits::KeptLastCommits;
use contents::Uploads;
use failure::status;
use refs::tips::KeptTips;

/// Answers operations; cheap to clone.
#[derive(Clone, Debug)]
pub struct Local(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    repositories: Repositories,
    git_version: String,
    settings: Settings,
    last_commits: Arc<KeptLastCommits>,
    tips: Arc<KeptTips>,
    /// What trees are written in.
    languages: quick_cache::sync::Cache<Oid, LanguagesResponse>,
    uploads: Arc<Uploads>,
}

impl Local {
    /// Answers from these repositories, which a git of this version reads.
    pub fn new(repositories: Repositories, git_version: String, settings: Settings) -> Self {
        let last_commits = Arc::new(KeptLastCommits::new(settings.last_commits_bytes));
        let tips = Arc::new(KeptTips::new(settings.tips_bytes));
        let languages = quick_cache::sync::Cache::new(commits::MAX_KNOWN);
        let uploads = Arc::default();
        Self(Arc::new(Inner { repositories, git_version, settings, last_commits, tips, languages, uploads }))
    }

    /// Finds the row of a repository. One question to the database.
    async fn row(&self, key: Option<&RepositoryKey>) -> Result<RepositoryRow, Status> {
        let key = key.ok_or_else(|| Status::invalid("the request names no repository"))?;
        let row = match key.id {
            0 => self.0.repositories.find(&path(&key.path)?).await,
            id => self.0.repositories.find_by_id(RepositoryId::new(id)).await,
        };
        row.map_err(|error| status(&error))?.ok_or_else(|| Status::not_found("there is no such repository"))
    }

    /// Opens a repository at its newest version. With its refs in memory one question to the database; none with an id
    /// in a process that is the only writer.
    async fn repository(&self, key: Option<&RepositoryKey>) -> Result<Repository, Status> {
        let opened = match key {
            Some(key) if key.id != 0 => self.0.repositories.open(RepositoryId::new(key.id)).await,
            key => self.0.repositories.open_row(&self.row(key).await?).await,
        };
        opened.map_err(|error| status(&error))
    }

    /// Opens a repository with its objects.
    async fn open(&self, key: Option<&RepositoryKey>, call: &Call) -> Result<Opened, Status> {
        let repository = self.repository(key).await?;
        let readable = repository.readable().await.map_err(|error| status(&error))?;
        Ok(Opened { repository, readable, deadline: call.deadline })
    }
}

/// A repository that one call reads.
struct Opened {
    repository: Repository,
    readable: Readable,
    deadline: Option<Instant>,
}

impl Opened {
    /// What reading may take: the time that is left.
    fn allowance(&self) -> Allowance {
        let time = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Allowance { time, ..Allowance::default() }
    }

    fn objects(&self) -> &hakata_git::objects::Objects {
        self.readable.objects()
    }

    /// Runs a closure with the objects, within what the call may take.
    async fn read<T, F>(&self, work: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&hakata_git::objects::View) -> Result<T, hakata_git::objects::ReadError> + Send + 'static,
    {
        self.objects().read_within(&self.allowance(), work).await.map_err(|error| status(&error))
    }
}

fn path(path: &str) -> Result<RepositoryPath, Status> {
    RepositoryPath::parse(path).map_err(|error| Status::invalid(format!("{path:?}: {error}")))
}

fn ref_name(name: &[u8]) -> Result<RefName, Status> {
    RefName::parse(name).map_err(|error| Status::invalid(format!("the name of the ref: {error}")))
}

/// Reads a path; empty is the root.
fn tree_path(path: &[u8]) -> Result<Option<TreePath>, Status> {
    if path.is_empty() {
        return Ok(None);
    }
    TreePath::parse(path).map(Some).map_err(|error| Status::invalid(format!("the path: {error}")))
}

/// Reads a path that must not be empty.
fn file_path(path: &[u8]) -> Result<TreePath, Status> {
    tree_path(path)?.ok_or_else(|| Status::invalid("the request names no path"))
}

fn tree_paths(paths: &[Bytes]) -> Result<Vec<TreePath>, Status> {
    paths.iter().map(|path| file_path(path)).collect()
}

/// Reads an oid of a repository.
fn oid(raw: &[u8], format: ObjectFormat) -> Result<Oid, Status> {
    let oid = Oid::from_bytes(raw).map_err(|error| Status::invalid(format!("the oid: {error}")))?;
    if oid.format() == format { Ok(oid) } else { Err(Status::invalid("the oid is of another hash function")) }
}

/// Reads an oid that may be left out.
fn optional_oid(raw: &[u8], format: ObjectFormat) -> Result<Option<Oid>, Status> {
    if raw.is_empty() { Ok(None) } else { oid(raw, format).map(Some) }
}

/// Writes a cursor behind how many rows are still wanted, so that a limit holds for the whole of a list.
fn counted(left: usize, cursor: &[u8]) -> Bytes {
    // A list without limit has more left than any limit says.
    [&u32::try_from(left).unwrap_or(0).to_be_bytes(), cursor].concat().into()
}

/// Reads how many rows are wanted, and the cursor that was counted; it is empty at the beginning.
fn uncounted(asked: u32, cursor: &[u8]) -> Result<(usize, &[u8]), Status> {
    if cursor.is_empty() {
        return Ok((limit(asked), cursor));
    }
    let (left, cursor) =
        cursor.split_first_chunk().ok_or_else(|| Status::invalid("the cursor is malformed"))?;
    Ok((limit(u32::from_be_bytes(*left)), cursor))
}

/// Cuts a list of `n` rows into parts from a row on; says of each whether it is the last.
fn cut(begin: usize, n: usize, size: usize) -> impl Iterator<Item = (Range<usize>, bool)> {
    (begin.min(n)..n).step_by(size).map(move |first| {
        let last = (first + size).min(n);
        (first..last, last == n)
    })
}

/// Reads a limit, of which 0 means none.
fn limit(limit: u32) -> usize {
    if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) }
}
