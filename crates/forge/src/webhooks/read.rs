//! Commits of a push, read through the repository operations, wherever the repository is.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use hakata_names::{Oid, RefName, RepositoryId};
use hakata_rpc::v1::{
    ChangeStatus, ChangedPathsRequest, CommitService, Comparison, CountCommitsRequest, DiffService,
    GetCommitRequest, History, ListCommitsRequest, RepositoryKey, Revision,
};
use hakata_rpc::{Call, Code, Operations, Status};
use tokio::time::Instant;

use super::WebhookSettings;
use super::news::{Commit, Moved, text};

/// How long all questions for one body may take together.
const PATIENCE: Duration = Duration::from_secs(30);

/// A move of a ref of one repository.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) repository: RepositoryId,
    pub(crate) name: RefName,
    pub(crate) old: Option<Oid>,
    pub(crate) new: Option<Oid>,
}

/// What is asked of one repository.
struct Reader<'a> {
    operations: &'a dyn Operations,
    repository: RepositoryId,
    call: Call,
    settings: &'a WebhookSettings,
}

/// Reads what a ref moved over. Commits that are there no more are left out: the news is older than a collection.
///
/// # Errors
/// When the repository cannot be read now.
pub(crate) async fn moved(
    operations: &dyn Operations,
    settings: &WebhookSettings,
    span: Span,
    default_ref: &RefName,
) -> Result<Moved, Status> {
    let Span { repository, name, old, new } = span;
    let mut moved = Moved::bare(name, old, new);
    let Some(tip) = new else { return Ok(moved) };
    let call = Call { deadline: Some(Instant::now() + PATIENCE), ..Call::default() };
    let reader = Reader { operations, repository, call, settings };
    match reader.fill(&mut moved, tip, default_ref).await {
        Err(status) if status.code == Code::NotFound => {
            tracing::info!(repository.id = repository.get(), "what others are told of is there no more");
            Ok(moved)
        }
        Err(status) => Err(status),
        Ok(()) => Ok(moved),
    }
}

impl Reader<'_> {
    async fn fill(&self, moved: &mut Moved, tip: Oid, default_ref: &RefName) -> Result<(), Status> {
        let mut room = self.settings.paths_per_push;
        let request = GetCommitRequest { repository: self.key(), revision: Some(oid(tip)) };
        let head = CommitService::get(self.operations, self.call.clone(), request);
        let mut head = match head.await {
            Ok(head) => Commit::of(&head),
            // A tag of something else than a commit.
            Err(status) if status.code == Code::InvalidArgument => return Ok(()),
            Err(status) => return Err(status),
        };
        if moved.name.branch().is_some() {
            let excluded = match moved.old {
                Some(old) => vec![oid(old)],
                // What the default branch has is nobody's news on a new branch.
                None if moved.name != *default_ref => vec![named(default_ref)],
                None => Vec::new(),
            };
            let history = History { revisions: vec![oid(tip)], excluded, ..History::default() };
            self.list(moved, history, &mut room).await?;
            if let Some(old) = moved.old {
                moved.is_forced = !self.first(old, tip).await?.is_empty();
            }
        }
        match moved.commits.first().filter(|first| first.oid == head.oid) {
            Some(first) => head = first.clone(),
            None => self.paths(&mut head, &mut room).await?,
        }
        moved.head = Some(head);
        Ok(())
    }

    /// Lists commits with their paths, and counts them where they are too many.
    async fn list(&self, moved: &mut Moved, history: History, room: &mut usize) -> Result<(), Status> {
        let most = self.settings.commits_per_push;
        let listed = match self.commits(history.clone(), most + 1).await {
            // There is no default branch yet.
            Err(status) if status.code == Code::NotFound && moved.old.is_none() => {
                self.commits(History { excluded: Vec::new(), ..history.clone() }, most + 1).await?
            }
            listed => listed?,
        };
        moved.n_commits = u64::try_from(listed.len()).unwrap_or(u64::MAX);
        if listed.len() > most {
            let request = CountCommitsRequest { repository: self.key(), history: Some(history) };
            if let Ok(counted) = CommitService::count(self.operations, self.call.clone(), request).await {
                moved.n_commits = counted.n_commits;
            }
        }
        for mut commit in listed.into_iter().take(most) {
            self.paths(&mut commit, room).await?;
            moved.commits.push(commit);
        }
        Ok(())
    }

    /// Lists one commit of `old` that `new` has not, if there is one: then the ref did not move forward.
    async fn first(&self, old: Oid, new: Oid) -> Result<Vec<Commit>, Status> {
        let history = History { revisions: vec![oid(old)], excluded: vec![oid(new)], ..History::default() };
        self.commits(history, 1).await
    }

    async fn commits(&self, history: History, most: usize) -> Result<Vec<Commit>, Status> {
        let request = ListCommitsRequest {
            repository: self.key(),
            history: Some(history),
            limit: u32::try_from(most).unwrap_or(u32::MAX),
            ..ListCommitsRequest::default()
        };
        let mut answers = CommitService::list(self.operations, self.call.clone(), request);
        let mut commits = Vec::new();
        while let Some(part) = answers.next().await {
            commits.extend(part?.commits.iter().map(Commit::of));
        }
        commits.truncate(most);
        Ok(commits)
    }

    /// Fills in the paths that a commit changed, as long as there is room for them.
    async fn paths(&self, commit: &mut Commit, room: &mut usize) -> Result<(), Status> {
        if *room == 0 {
            return Ok(());
        }
        let Ok(head) = Oid::parse_hex(commit.oid.as_bytes()) else { return Ok(()) };
        let comparison = Comparison { head: Some(oid(head)), no_renames: true, ..Comparison::default() };
        let request = ChangedPathsRequest {
            repository: self.key(),
            comparison: Some(comparison),
            ..ChangedPathsRequest::default()
        };
        let mut answers = DiffService::changed_paths(self.operations, self.call.clone(), request);
        while let Some(part) = answers.next().await {
            for change in part?.changes {
                match change.status() {
                    ChangeStatus::Added => commit.added.push(text(&change.new_path)),
                    ChangeStatus::Deleted => commit.removed.push(text(&change.old_path)),
                    _ => commit.modified.push(text(&change.new_path)),
                }
                *room -= 1;
                if *room == 0 {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn key(&self) -> Option<RepositoryKey> {
        Some(RepositoryKey { id: self.repository.get(), path: String::new() })
    }
}

fn oid(oid: Oid) -> Revision {
    Revision { oid: Bytes::copy_from_slice(oid.as_bytes()), ..Revision::default() }
}

fn named(name: &RefName) -> Revision {
    Revision { ref_name: Bytes::copy_from_slice(name.as_bytes()), ..Revision::default() }
}
