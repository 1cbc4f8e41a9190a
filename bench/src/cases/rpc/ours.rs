//! The service, by whichever way it is asked.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use hakata_names::Oid;
use hakata_rpc::grpc::Grpc;
use hakata_rpc::msgpack::Msgpack;
use hakata_rpc::v1::{
    AheadBehindRequest, BlameRequest, CheckMergeRequest, Comparison, CountCommitsRequest, DiffRequest,
    DiffStatsRequest, GetBlobRequest, GetManyBlobsRequest, History, ListBranchesRequest, ListCommitsRequest,
    ListLastCommitsForTreeRequest, ListTagsRequest, ListTreeRequest, MergeBaseRequest, MergeState,
    PatchRequest, RefEntry, ResolveRevisionRequest, Revision, RevisionPair, blob_service, commit_service,
    diff_service, merge_service, ref_service, tree_service,
};
use hakata_rpc::{Answers, Call, Operations, Status, StreamRpc, Transport, UnaryRpc};
use tokio::runtime::Runtime;

use super::peers::{self, Peer, Sum, Told, told};
use super::question::Question;
use super::subject::Subject;

/// Makes the service anew, with nothing kept.
pub(super) type Fresh<'a> = Box<dyn Fn() -> Way + 'a>;

/// Where questions go. No `dyn Operations` for the clients: that would build every operation for each of them.
#[derive(Clone)]
pub(super) enum Way {
    Local(Arc<dyn Operations>),
    Grpc(Grpc),
    Msgpack(Msgpack),
}

impl Way {
    /// Asks an operation with one answer.
    pub(super) async fn one<R: UnaryRpc>(&self, request: R::Request) -> Result<R::Response> {
        let call = Call::default();
        let answer = match self {
            Self::Local(to) => R::invoke(&**to, call, request),
            Self::Grpc(to) => to.unary::<R>(call, request),
            Self::Msgpack(to) => to.unary::<R>(call, request),
        };
        answer.await.map_err(refused)
    }

    /// Asks an operation that answers in parts.
    pub(super) fn stream<R: StreamRpc>(&self, request: R::Request) -> Answers<R::Response> {
        let call = Call::default();
        match self {
            Self::Local(to) => R::invoke(&**to, call, request),
            Self::Grpc(to) => to.stream::<R>(call, request),
            Self::Msgpack(to) => to.stream::<R>(call, request),
        }
    }
}

/// One way to ask.
pub(super) struct Ours<'a> {
    pub(super) name: &'static str,
    pub(super) runtime: &'a Runtime,
    pub(super) to: Way,
    /// How to ask as if nothing had been asked before; a server in another process cannot be.
    pub(super) fresh: Option<Fresh<'a>>,
}

impl Peer for Ours<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn ask(&self, question: Question, subject: &Subject) -> Option<Result<Told>> {
        let fresh;
        let mut to = &self.to;
        if question == Question::LastCommits {
            fresh = self.fresh.as_ref()?();
            to = &fresh;
        }
        let asker = Asker { to, subject };
        Some(self.runtime.block_on(asker.ask(question)))
    }
}

struct Asker<'a> {
    to: &'a Way,
    subject: &'a Subject,
}

impl Asker<'_> {
    async fn ask(&self, question: Question) -> Result<Told> {
        match question {
            Question::Refs => self.refs().await,
            Question::Revision => self.revision().await,
            Question::Tree => self.tree().await,
            Question::Blob => self.blob().await,
            Question::Blobs => self.blobs().await,
            Question::Log(n) => self.log(n, &[]).await,
            Question::Count => self.count().await,
            Question::MergeBases => self.merge_bases().await,
            Question::AheadBehind => self.ahead_behind().await,
            Question::PathLog => self.log(100, std::slice::from_ref(&self.subject.file)).await,
            Question::LastCommits | Question::LastCommitsAgain => self.last_commits().await,
            Question::SmallDiff => self.diffs(self.subject.small.as_slice()).await,
            Question::Diffs => self.diffs(&self.subject.diffs).await,
            Question::HugeStats => self.huge_stats().await,
            Question::HugePatch => self.huge_patch().await,
            Question::Merges => self.merges().await,
            Question::Blame => self.blame().await,
        }
    }

    async fn one<R: UnaryRpc>(&self, request: R::Request) -> Result<R::Response> {
        self.to.one::<R>(request).await
    }

    async fn parts<R: StreamRpc>(&self, request: R::Request) -> Result<Vec<R::Response>> {
        self.to.stream::<R>(request).try_collect().await.map_err(refused)
    }

    fn key(&self) -> Option<hakata_rpc::v1::RepositoryKey> {
        Some(self.subject.key.clone())
    }

    async fn refs(&self) -> Result<Told> {
        let branches = ListBranchesRequest { repository: self.key(), with_tips: true, ..Default::default() };
        let tags = ListTagsRequest { repository: self.key(), with_tips: true, ..Default::default() };
        let branches = self.parts::<ref_service::ListBranches>(branches).await?;
        let tags = self.parts::<ref_service::ListTags>(tags).await?;
        told(move || {
            let row = |entry: RefEntry| {
                let found = entry.r#ref.context("an entry has a ref")?;
                let date = entry.tip.and_then(|tip| tip.tagger.or(tip.committer)).map(|by| by.time_s);
                Ok((found.name.to_vec(), hex(&found.target_oid)?, date))
            };
            let branches = branches.into_iter().flat_map(|part| part.branches);
            let rows = branches.chain(tags.into_iter().flat_map(|part| part.tags)).map(row);
            Ok(peers::refs(rows.collect::<Result<_>>()?))
        })
    }

    async fn revision(&self) -> Result<Told> {
        let revision = Revision { expression: "HEAD~10^{tree}".to_owned(), ..Revision::default() };
        let request = ResolveRevisionRequest { repository: self.key(), revision: Some(revision) };
        let answer = self.one::<ref_service::ResolveRevision>(request).await?;
        told(move || Ok(hex(&answer.oid)?.into_bytes()))
    }

    async fn tree(&self) -> Result<Told> {
        let request = ListTreeRequest { repository: self.key(), with_sizes: true, ..Default::default() };
        let parts = self.parts::<tree_service::List>(request).await?;
        told(move || {
            let rows = parts.into_iter().flat_map(|part| part.entries).map(|entry| {
                let is_file = !matches!(entry.mode & 0o170_000, 0o040_000 | 0o160_000);
                Ok((entry.mode, hex(&entry.oid)?, is_file.then_some(entry.size_bytes), entry.path.to_vec()))
            });
            Ok(peers::tree(rows.collect::<Result<_>>()?))
        })
    }

    async fn blob(&self) -> Result<Told> {
        let path = self.subject.file.clone().into();
        let request = GetBlobRequest { repository: self.key(), path, ..Default::default() };
        let parts = self.parts::<blob_service::Get>(request).await?;
        told(move || Ok(parts.iter().map(|part| &part.content[..]).collect::<Vec<_>>().concat()))
    }

    async fn blobs(&self) -> Result<Told> {
        let oids = self.subject.blobs.iter().map(bytes).collect();
        let request = GetManyBlobsRequest { repository: self.key(), oids, ..Default::default() };
        let mut answer = self.to.stream::<blob_service::GetMany>(request);
        let mut sum = Sum::default();
        while let Some(part) = answer.try_next().await.map_err(refused)? {
            anyhow::ensure!(!part.missing, "all blobs are there");
            sum.add(&part.content);
        }
        told(move || Ok(sum.words()))
    }

    async fn log(&self, limit: u32, paths: &[String]) -> Result<Told> {
        let paths = paths.iter().map(|path| path.clone().into()).collect();
        let history = History { paths, ..History::default() };
        let request = ListCommitsRequest {
            repository: self.key(),
            history: Some(history),
            limit,
            ..Default::default()
        };
        let parts = self.parts::<commit_service::List>(request).await?;
        told(move || {
            let rows = parts.into_iter().flat_map(|part| part.commits).map(|commit| {
                let author = commit.author.context("a commit has an author")?;
                let committer = commit.committer.context("a commit has a committer")?;
                Ok((hex(&commit.oid)?, author.time_s, committer.time_s))
            });
            Ok(peers::log(rows.collect::<Result<_>>()?))
        })
    }

    async fn count(&self) -> Result<Told> {
        let request = CountCommitsRequest { repository: self.key(), history: None };
        let answer = self.one::<commit_service::Count>(request).await?;
        told(move || Ok(answer.n_commits.to_string().into_bytes()))
    }

    async fn merge_bases(&self) -> Result<Told> {
        let mut rows = Vec::new();
        for (one, other) in &self.subject.bases {
            let revisions = vec![at(one), at(other)];
            let request = MergeBaseRequest { repository: self.key(), revisions };
            rows.push(self.one::<commit_service::MergeBase>(request).await?.oids);
        }
        told(move || {
            let rows = rows.iter().map(|row| row.iter().map(|oid| hex(oid)).collect::<Result<Vec<_>>>());
            Ok(peers::oids(rows.collect::<Result<_>>()?))
        })
    }

    async fn ahead_behind(&self) -> Result<Told> {
        let pair = |(_, commit): &(String, Oid)| RevisionPair {
            base: Some(at(&self.subject.tip)),
            head: Some(at(commit)),
        };
        let pairs = self.subject.compared.iter().map(pair).collect();
        let answer = self
            .one::<ref_service::AheadBehind>(AheadBehindRequest { repository: self.key(), pairs })
            .await?;
        told(move || {
            let line =
                |count: &hakata_rpc::v1::AheadBehindCount| format!("{} {}\n", count.ahead, count.behind);
            Ok(answer.counts.iter().map(line).collect::<String>().into_bytes())
        })
    }

    async fn last_commits(&self) -> Result<Told> {
        let request = ListLastCommitsForTreeRequest { repository: self.key(), ..Default::default() };
        let parts = self.parts::<commit_service::ListLastCommitsForTree>(request).await?;
        told(move || {
            let rows = parts.into_iter().flat_map(|part| part.entries).map(|entry| {
                let commit = entry.commit.context("an entry has a commit")?;
                Ok(vec![hex(&commit.oid)?])
            });
            Ok(peers::oids(rows.collect::<Result<_>>()?))
        })
    }

    async fn diffs(&self, of: &[(Oid, Oid)]) -> Result<Told> {
        let mut answers = Vec::new();
        for (commit, parent) in of {
            let comparison = Some(between(parent, commit));
            let request = DiffRequest { repository: self.key(), comparison, ..Default::default() };
            answers.push(self.parts::<diff_service::Diff>(request).await?);
        }
        told(move || {
            let count = |parts: Vec<hakata_rpc::v1::DiffResponse>| {
                let files = parts.into_iter().flat_map(|part| part.files);
                files.fold((0, 0, 0), |(n, added, deleted), file| {
                    (n + 1, added + file.n_added, deleted + file.n_deleted)
                })
            };
            Ok(peers::counts(&answers.into_iter().map(count).collect::<Vec<_>>()))
        })
    }

    async fn huge_stats(&self) -> Result<Told> {
        let comparison = Some(between(&self.subject.half, &self.subject.tip));
        let request = DiffStatsRequest { repository: self.key(), comparison };
        let answer = self.one::<diff_service::Stats>(request).await?;
        told(move || Ok(peers::counts(&[(answer.files.len() as u64, answer.n_added, answer.n_deleted)])))
    }

    async fn huge_patch(&self) -> Result<Told> {
        let comparison = Some(between(&self.subject.half, &self.subject.tip));
        let request = PatchRequest { repository: self.key(), comparison, binary: false };
        let parts = self.parts::<diff_service::Patch>(request).await?;
        told(move || {
            let patch = parts.iter().map(|part| &part.content[..]).collect::<Vec<_>>().concat();
            Ok(peers::counts(&[peers::count_patch(&patch)]))
        })
    }

    async fn merges(&self) -> Result<Told> {
        let mut answers = Vec::new();
        for (base, head) in &self.subject.merges {
            let request = CheckMergeRequest {
                repository: self.key(),
                base: Some(at(base)),
                head: Some(at(head)),
                allow_unrelated: true,
            };
            answers.push(self.one::<merge_service::CheckMerge>(request).await?);
        }
        told(move || {
            let tree = |answer: hakata_rpc::v1::CheckMergeResponse| match answer.state() {
                MergeState::Conflicts => Ok("conflicts\n".to_owned()),
                _ => Ok(hex(&answer.tree_oid)? + "\n"),
            };
            Ok(answers.into_iter().map(tree).collect::<Result<String>>()?.into_bytes())
        })
    }

    async fn blame(&self) -> Result<Told> {
        let path = self.subject.file.clone().into();
        let request = BlameRequest { repository: self.key(), path, ..Default::default() };
        let parts = self.parts::<commit_service::Blame>(request).await?;
        told(move || {
            let mut lines = Vec::new();
            for range in parts.into_iter().flat_map(|part| part.ranges) {
                let oid = hex(&range.oid)?;
                lines.extend((0..range.n_lines).map(|n| (range.line + n, oid.clone())));
            }
            Ok(peers::blame(lines))
        })
    }
}

pub(super) fn refused(status: Status) -> anyhow::Error {
    anyhow::anyhow!("{}: {}", status.code.name(), status.message)
}

fn bytes(oid: &Oid) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(oid.as_bytes())
}

fn at(oid: &Oid) -> Revision {
    Revision { oid: bytes(oid), ..Revision::default() }
}

fn between(old: &Oid, new: &Oid) -> Comparison {
    Comparison { base: Some(at(old)), head: Some(at(new)), ..Comparison::default() }
}

fn hex(raw: &[u8]) -> Result<String> {
    Ok(Oid::from_bytes(raw)?.to_string())
}
