//! Commits and the history they make.

use std::sync::Arc;

use bytes::Bytes;
use hakata_git::objects::{ReadError, View};
use hakata_git::read::{LogQuery, Merges, Parents};
use hakata_names::Oid;
use hakata_rpc::v1::{
    BlameRequest, BlameResponse, Commit, CommitService, CountCommitsRequest, CountCommitsResponse,
    EntryCommit, GetCommitRequest, History, LanguagesRequest, LanguagesResponse, LastCommitForPathRequest,
    ListCommitsRequest, ListCommitsResponse, ListLastCommitsForTreeRequest, ListLastCommitsForTreeResponse,
    MergeBaseRequest, MergeBaseResponse, SignatureRequest, SignatureResponse,
};
use hakata_rpc::{Answers, Call, Pending, Status};

use super::messages::{commit, oid_bytes};
use super::{Local, Opened, counted, cut, file_path, oid, tree_path, tree_paths, uncounted};
use crate::parts::{Parts, parts};
pub(super) use languages::MAX_KNOWN;
use signature::signature;

mod blame;
mod follow;
mod languages;
pub(super) mod last_commits;
mod signature;

/// Commits of one part.
const PART_COMMITS: usize = 100;

/// Commits that one walk through a history finds at most: their names are held in memory.
const MAX_WALKED: usize = 25_600;

/// Commits that the first walk through a history finds if it takes all that it meets, which needs no patience.
const UNFILTERED_WALK: usize = 6_400;

/// Commits that one merge base is looked for.
const MAX_MERGE_BASE: usize = 100;

impl CommitService for Local {
    fn get(&self, call: Call, request: GetCommitRequest) -> Pending<Commit> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let named = opened.named(request.revision.as_ref())?;
            opened.read(move |view| view.read_commit(&named.commit(view)?).map(commit)).await
        })
    }

    fn list(&self, call: Call, request: ListCommitsRequest) -> Answers<ListCommitsResponse> {
        let local = self.clone();
        parts(|parts| async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let history = request.history.unwrap_or_default();
            let (left, cursor) = uncounted(request.limit, &request.cursor)?;
            if history.follow {
                let most = local.0.settings.limits.followed;
                return opened.follow(&history, cursor, (left, most), parts).await;
            }
            let query = opened.query(&history, cursor).await?;
            opened.list(query, after(cursor, &opened)?, left, parts).await
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
            let named = opened.named(request.revision.as_ref())?;
            let found = opened.read(move |view| {
                view.last_commit(&named.commit(view)?, &path)?.map(|oid| view.read_commit(&oid)).transpose()
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
            let named = opened.named(request.revision.as_ref())?;
            let kept = local.0.last_commits.clone();
            let found =
                opened.read(move |view| kept.find(view, &named.commit(view)?, directory.as_ref())).await?;
            let begin = match request.cursor.is_empty() {
                true => 0,
                false => {
                    found.iter().position(|last| last.name == request.cursor).map_or(found.len(), |at| at + 1)
                }
            };
            for (part, is_last) in cut(begin, found.len(), PART_COMMITS) {
                let name = Some(&found[part.end - 1].name).filter(|_| !is_last);
                let cursor = name.map(|name| Bytes::from(name.clone())).unwrap_or_default();
                let some = found[part].to_vec();
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
            let named = request.revisions.iter().map(|revision| opened.named(Some(revision)));
            let named = named.collect::<Result<Vec<_>, _>>()?;
            let found = opened.read(move |view| {
                let commits = named.iter().map(|named| named.commit(view)).collect::<Result<Vec<_>, _>>()?;
                view.merge_bases(&commits[0], &commits[1..])
            });
            let found = found.await?;
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

    fn languages(&self, call: Call, request: LanguagesRequest) -> Pending<LanguagesResponse> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let root = opened.resolve(request.revision.as_ref()).await?;
            local.languages_of(&opened, root).await
        })
    }

    fn signature(&self, call: Call, request: SignatureRequest) -> Pending<SignatureResponse> {
        let local = self.clone();
        Box::pin(async move {
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let oid = opened.resolve(request.revision.as_ref()).await?;
            let found = opened.read(move |view| view.signature(&oid)).await?;
            Ok(signature(&oid, found))
        })
    }
}

/// Commits that one walk found, the first ones read.
struct Walked {
    oids: Vec<Oid>,
    has_more: bool,
    first: Vec<Commit>,
}

impl Walked {
    fn walk(view: &View, query: &LogQuery, after: Option<&Oid>, limit: usize) -> Result<Self, ReadError> {
        let page = view.log_page(query, after, limit)?;
        let first = read(view, &page.commits[..page.commits.len().min(PART_COMMITS)])?;
        Ok(Self { oids: page.commits, has_more: page.has_more, first })
    }
}

fn read(view: &View, oids: &[Oid]) -> Result<Vec<Commit>, ReadError> {
    oids.iter().map(|oid| view.read_commit(oid).map(commit)).collect()
}

/// Says whether many commits may be met for one that is wanted.
fn has_filters(query: &LogQuery) -> bool {
    !query.paths.is_empty()
        || query.author.is_some()
        || query.message.is_some()
        || query.until.is_some()
        || query.merges != Merges::Listed
}

/// Writes where a listing goes on: the commits that it began with, so that it stays the same when refs move, and the last
/// commit that was listed, in front.
fn cursor(tips: &[Oid], last: &Oid) -> Vec<u8> {
    std::iter::once(last).chain(tips).flat_map(|oid| oid.as_bytes().to_vec()).collect()
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
    /// Lists a history behind a commit. A walk passes again over all that those before it found, so each goes farther.
    async fn list(
        &self,
        query: LogQuery,
        mut after: Option<Oid>,
        mut left: usize,
        parts: Parts<ListCommitsResponse>,
    ) -> Result<(), Status> {
        let mut n_walked = if has_filters(&query) { PART_COMMITS } else { UNFILTERED_WALK };
        let query = Arc::new(query);
        while left > 0 {
            let (asked, n) = (query.clone(), left.min(n_walked));
            let walked = self.read(move |view| Walked::walk(view, &asked, after.as_ref(), n)).await?;
            n_walked = (n_walked * 4).min(MAX_WALKED);
            let before = left;
            left -= walked.oids.len();
            let more = walked.has_more && left > 0;
            if walked.oids.is_empty() {
                return parts.give(ListCommitsResponse::default()).await;
            }
            let mut first = Some(walked.first);
            for (part, is_last) in cut(0, walked.oids.len(), PART_COMMITS) {
                let wanted = before - part.end;
                let some = walked.oids[part].to_vec();
                after = some.last().copied();
                let behind = after.filter(|_| more || !is_last);
                let cursor = behind.map(|last| counted(wanted, &cursor(&query.tips, &last)));
                let commits = match first.take() {
                    Some(commits) => commits,
                    None => self.read(move |view| read(view, &some)).await?,
                };
                let cursor = cursor.unwrap_or_default();
                parts.give(ListCommitsResponse { commits, cursor }).await?;
            }
            if !more {
                break;
            }
        }
        Ok(())
    }

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
