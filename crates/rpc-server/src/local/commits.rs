//! Commits and the history they make.

use std::sync::Arc;

use bytes::Bytes;
use hakata_git::objects::{ReadError, View};
use hakata_git::read::{LogQuery, Merges, Parents};
use hakata_names::Oid;
use hakata_rpc::v1::{
    BlameRequest, BlameResponse, Commit, CommitService, CountCommitsRequest, CountCommitsResponse,
    EntryCommit, GetCommitRequest, History, LastCommitForPathRequest, ListCommitsRequest,
    ListCommitsResponse, ListLastCommitsForTreeRequest, ListLastCommitsForTreeResponse, MergeBaseRequest,
    MergeBaseResponse,
};
use hakata_rpc::{Answers, Call, Pending, Status};

use super::messages::{commit, oid_bytes};
use super::{Local, Opened, file_path, limit, oid, tree_path, tree_paths};
use crate::parts::parts;

mod blame;
mod follow;

/// Commits of one part.
const PART_COMMITS: usize = 100;

/// Commits that one merge base is looked for.
const MAX_MERGE_BASE: usize = 100;

impl CommitService for Local {
    fn get(&self, call: Call, request: GetCommitRequest) -> Pending<Commit> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let oid = opened.commit(request.revision.as_ref()).await?;
            opened.read(move |view| view.read_commit(&oid).map(commit)).await
        })
    }

    fn list(&self, call: Call, request: ListCommitsRequest) -> Answers<ListCommitsResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let history = request.history.unwrap_or_default();
            let mut left = limit(request.limit);
            if history.follow {
                return opened.follow(&history, &request.cursor, left, parts).await;
            }
            let query = Arc::new(opened.query(&history, &request.cursor).await?);
            let mut after = after(&request.cursor, &opened)?;
            while left > 0 {
                let n = left.min(PART_COMMITS);
                let (asked, from) = (query.clone(), after);
                let page = opened.read(move |view| page(view, &asked, from.as_ref(), n)).await?;
                left -= page.commits.len();
                after = page.last;
                let more = page.has_more && left > 0;
                let cursor =
                    page.last.filter(|_| more).map(|last| cursor(&query.tips, &last)).unwrap_or_default();
                let commits = page.commits;
                parts.give(ListCommitsResponse { commits, cursor }).await?;
                if !more {
                    break;
                }
            }
            Ok(())
        })
    }

    fn count(&self, call: Call, request: CountCommitsRequest) -> Pending<CountCommitsResponse> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let query = opened.query(&request.history.unwrap_or_default(), b"").await?;
            let n_commits = opened.read(move |view| view.count_commits(&query)).await?;
            Ok(CountCommitsResponse { n_commits })
        })
    }

    fn last_commit_for_path(&self, call: Call, request: LastCommitForPathRequest) -> Pending<Commit> {
        let local = self.clone();
        Box::pin(async move {
            let path = file_path(&request.path)?;
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let tip = opened.commit(request.revision.as_ref()).await?;
            let found = opened.read(move |view| {
                view.last_commit(&tip, &path)?.map(|oid| view.read_commit(&oid)).transpose()
            });
            found.await?.map(commit).ok_or_else(|| Status::not_found("the path never was there"))
        })
    }

    fn list_last_commits_for_tree(
        &self,
        call: Call,
        request: ListLastCommitsForTreeRequest,
    ) -> Answers<ListLastCommitsForTreeResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let directory = tree_path(&request.path)?;
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let tip = opened.commit(request.revision.as_ref()).await?;
            let found =
                opened.read(move |view| view.last_commits(&tip, directory.as_ref(), &|_| None)).await?;
            let begin = match request.cursor.is_empty() {
                true => 0,
                false => {
                    found.iter().position(|last| last.name == request.cursor).map_or(found.len(), |at| at + 1)
                }
            };
            let n = found.len();
            for first in (begin..n).step_by(PART_COMMITS) {
                let last = (first + PART_COMMITS).min(n);
                let some = found[first..last].to_vec();
                let cursor = if last == n { Bytes::new() } else { Bytes::from(found[last - 1].name.clone()) };
                let entries = opened.read(move |view| {
                    let read = |last: &hakata_git::read::LastCommit| {
                        let found = commit(view.read_commit(&last.commit)?);
                        Ok(EntryCommit { name: last.name.clone().into(), commit: Some(found) })
                    };
                    some.iter().map(read).collect::<Result<Vec<_>, ReadError>>()
                });
                parts.give(ListLastCommitsForTreeResponse { entries: entries.await?, cursor }).await?;
            }
            Ok(())
        })
    }

    fn merge_base(&self, call: Call, request: MergeBaseRequest) -> Pending<MergeBaseResponse> {
        let local = self.clone();
        Box::pin(async move {
            if !(2..=MAX_MERGE_BASE).contains(&request.revisions.len()) {
                return Err(Status::invalid(format!("a merge base is of 2 to {MAX_MERGE_BASE} commits")));
            }
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let commits = opened.commits(&request.revisions).await?;
            let found = opened.read(move |view| view.merge_bases(&commits[0], &commits[1..])).await?;
            Ok(MergeBaseResponse { oids: found.iter().map(oid_bytes).collect() })
        })
    }

    fn blame(&self, call: Call, request: BlameRequest) -> Answers<BlameResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            opened.blame(request, parts).await
        })
    }
}

/// Some commits of a listing.
struct Page {
    commits: Vec<Commit>,
    last: Option<Oid>,
    has_more: bool,
}

fn page(view: &View, query: &LogQuery, after: Option<&Oid>, limit: usize) -> Result<Page, ReadError> {
    let page = view.log_page(query, after, limit)?;
    let commits = page.commits.iter().map(|oid| view.read_commit(oid).map(commit));
    let commits: Result<Vec<_>, _> = commits.collect();
    Ok(Page { commits: commits?, last: page.commits.last().copied(), has_more: page.has_more })
}

/// Writes where a listing goes on: the commits that it began with, so that it stays the same when refs move, and the last
/// commit that was listed, in front.
fn cursor(tips: &[Oid], last: &Oid) -> Bytes {
    let all: Vec<u8> = std::iter::once(last).chain(tips).flat_map(|oid| oid.as_bytes().to_vec()).collect();
    all.into()
}

/// Reads the last commit that was listed.
fn after(cursor: &[u8], opened: &Opened) -> Result<Option<Oid>, Status> {
    Ok(listed(cursor, opened)?.first().copied())
}

/// Reads the oids of a cursor.
fn listed(cursor: &[u8], opened: &Opened) -> Result<Vec<Oid>, Status> {
    let format = opened.repository.format();
    let length = match format {
        hakata_names::ObjectFormat::Sha1 => 20,
        hakata_names::ObjectFormat::Sha256 => 32,
    };
    cursor.chunks(length).map(|raw| oid(raw, format)).collect()
}

impl Opened {
    /// Makes a question of a history; a cursor says where it began.
    async fn query(&self, history: &History, cursor: &[u8]) -> Result<LogQuery, Status> {
        let tips = match listed(cursor, self)?.split_first() {
            Some((_, tips)) => tips.to_vec(),
            None if history.revisions.is_empty() => vec![self.commit(None).await?],
            None => self.commits(&history.revisions).await?,
        };
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let time = |time: i64| Some(time).filter(|time| *time != 0);
        Ok(LogQuery {
            tips,
            hide: self.commits(&history.excluded).await?,
            paths: tree_paths(&history.paths)?,
            author: text(&history.author),
            message: text(&history.message),
            since: time(history.since_s),
            until: time(history.until_s),
            parents: if history.first_parent { Parents::First } else { Parents::All },
            merges: if history.no_merges { Merges::Omitted } else { Merges::Listed },
        })
    }
}
