//! Pull requests, as far as they are refs.

use hakata_git::diff::Versions;
use hakata_names::{Oid, RefUpdate};
use hakata_repository::{Atomicity, Repository};
use hakata_rpc::v1::{
    CompareVersionsRequest, CompareVersionsResponse, CreatePullRefsRequest, Form, ListVersionsRequest,
    ListVersionsResponse, MergeMethod, MergePullRequestRequest, MergeResponse, PullRequestService,
    PullVersion, RangeDiffPair,
};
use hakata_rpc::{Call, Pending, Status};

use super::made::{checked_key, form, refusals, used_otherwise};
use super::merges::{MergeReceiver, MergeTarget, MergeWay, committer_of, moved, signer_of};
use super::messages::{oid_bytes, optional};
use super::refs::refused;
use super::repositories::branch;
use super::{Local, Opened, optional_oid, status};
use versions::{Pull, Version};

mod versions;

impl PullRequestService for Local {
    fn create_pull_refs(&self, call: Call, request: CreatePullRefsRequest) -> Pending<PullVersion> {
        let local = self.clone();
        Box::pin(async move { local.create_pull_refs(request, call).await })
    }

    fn list_versions(&self, _call: Call, request: ListVersionsRequest) -> Pending<ListVersionsResponse> {
        let local = self.clone();
        Box::pin(async move {
            let pull = Pull::numbered(request.number)?;
            let repository = local.repository(request.repository.as_ref()).await?;
            let versions = pull.get_versions(repository.snapshot())?;
            Ok(ListVersionsResponse { versions: versions.iter().map(message).collect() })
        })
    }

    fn compare_versions(
        &self,
        call: Call,
        request: CompareVersionsRequest,
    ) -> Pending<CompareVersionsResponse> {
        let local = self.clone();
        Box::pin(async move {
            let pull = Pull::numbered(request.number)?;
            let opened = local.open(request.repository.as_ref(), &call).await?;
            let versions = pull.get_versions(opened.repository.snapshot())?;
            let newest = versions.last().map_or(0, |version| version.number);
            let find = |number: u32| {
                let found = versions.iter().find(|version| version.number == number);
                let sides = found.map(|version| (version.base, version.head));
                sides.ok_or_else(|| Status::not_found(format!("{pull} has no version {number}")))
            };
            let new = if request.new_version == 0 { newest } else { request.new_version };
            let versions = Versions { old: find(request.old_version)?, new: find(new)? };
            let pairs = opened.objects().range_diff(versions, &opened.allowance()).await;
            let pairs = pairs.map_err(|error| status(&error))?;
            let pairs = pairs.into_iter().map(|pair| RangeDiffPair {
                old_oid: optional(pair.old.as_ref().map(|(_, oid)| oid)),
                new_oid: optional(pair.new.as_ref().map(|(_, oid)| oid)),
                equal: pair.is_same,
                subject: pair.subject.into(),
            });
            Ok(CompareVersionsResponse { pairs: pairs.collect() })
        })
    }

    fn merge_pull_request(&self, call: Call, request: MergePullRequestRequest) -> Pending<MergeResponse> {
        let local = self.clone();
        Box::pin(async move { local.merge_pull_request(request, call).await })
    }
}

impl Local {
    /// Keeps a head as the next version, unless it is the newest one already; or prepares that.
    async fn create_pull_refs(
        &self,
        request: CreatePullRefsRequest,
        call: Call,
    ) -> Result<PullVersion, Status> {
        let pull = Pull::numbered(request.number)?;
        let how = (form(request.form)?, &call);
        let opened = self.open(request.repository.as_ref(), &call).await?;
        if let Some(version) = self.version_before(&opened.repository, pull, how).await? {
            return Ok(version);
        }
        match self.offer(&opened, pull, request, how).await {
            // Its own repetition may have been faster.
            Err(error) => self.version_before(&opened.repository, pull, how).await?.ok_or(error),
            made => made,
        }
    }

    async fn offer(
        &self,
        opened: &Opened,
        pull: Pull,
        request: CreatePullRefsRequest,
        (form, call): (Form, &Call),
    ) -> Result<PullVersion, Status> {
        let repository = &opened.repository;
        let head_revision = request.head.ok_or_else(|| Status::invalid("the request names no head"))?;
        let head = opened.commit(Some(&head_revision)).await?;
        if let Some(expected) = optional_oid(&request.expected_head_oid, repository.format())?
            && expected != head
        {
            return Err(moved(&head_revision.ref_name, &expected, Some(&head)));
        }
        let base = opened.commit(request.base.as_ref()).await?;
        let newest = pull.versions(repository.snapshot()).last().copied();
        let number = newest.map_or(0, |version| version.number);
        if request.expected_version.is_some_and(|expected| expected != number) {
            let said = format!("the newest version of {pull} is {number}");
            return Err(Status::new(hakata_rpc::Code::Aborted, said));
        }
        if let Some(newest) = newest.filter(|newest| newest.head == head) {
            if let Some(key) = checked_key(call)?.filter(|_| form == Form::Commit) {
                let kept = repository.keep_unmoved(key, &pull.head_of(&newest)?, &head).await;
                kept.map_err(|error| status(&error))?;
            }
            return Ok(message(&newest));
        }
        let version = Version { number: number + 1, head, base };
        let updates = pull.updates(&version, newest.map(|newest| newest.head))?;
        if form == Form::Prepare {
            let staged = self.staged(repository, updates, call).await?;
            return Ok(PullVersion { staged: Some(staged), ..message(&version) });
        }
        let committed = self.commit(repository, updates.clone(), Atomicity::Whole, call).await?;
        refused(&refusals(&committed), &updates)?;
        Ok(message(&version))
    }

    /// Finds the version that a call of the same name made, or found to be the newest.
    async fn version_before(
        &self,
        repository: &Repository,
        pull: Pull,
        (form, call): (Form, &Call),
    ) -> Result<Option<PullVersion>, Status> {
        let kept = self.answer_kept(repository, call).await?.filter(|_| form == Form::Commit);
        let Some(kept) = kept else { return Ok(None) };
        let reopened = repository.reopened().await.map_err(|error| status(&error))?;
        let versions = pull.versions(reopened.snapshot());
        for version in versions {
            let name = pull.head_of(&version)?;
            if kept.committed.refs.iter().any(|(about, _)| *about == name) {
                return Ok(Some(message(&version)));
            }
        }
        Err(used_otherwise())
    }

    /// Merges the newest version, and removes the branch that offered it if that is wished.
    async fn merge_pull_request(
        &self,
        request: MergePullRequestRequest,
        call: Call,
    ) -> Result<MergeResponse, Status> {
        let pull = Pull::numbered(request.number)?;
        let (way, form) = (way(&request)?, form(request.form)?);
        let base = MergeReceiver::of(
            request.repository.clone(),
            request.ref_name.clone(),
            request.expected_oid.clone(),
        );
        let how = (form, call.clone());
        let merging = async |target: MergeTarget| {
            let head = offered(pull, &target, &request.expected_head_oid)?;
            let removed = removed(&target, head, &request.delete_ref_name)?;
            let made = target.merged(head, way, self.most()).await?;
            self.land(target, made, Vec::from_iter(removed), how).await
        };
        self.once(base, (form, &call), merging).await
    }
}

/// Finds the newest version, which must be what the caller thinks.
fn offered(pull: Pull, target: &MergeTarget, expected: &[u8]) -> Result<Oid, Status> {
    let repository = &target.opened.repository;
    let versions = pull.get_versions(repository.snapshot())?;
    let newest = versions.last().ok_or_else(|| Status::not_found(format!("{pull} has no version")))?;
    match optional_oid(expected, repository.format())? {
        Some(expected) if expected != newest.head => {
            Err(moved(pull.head()?.as_bytes(), &expected, Some(&newest.head)))
        }
        _ => Ok(newest.head),
    }
}

/// Removes the branch that offered a head, if one is named: it must still be there.
fn removed(target: &MergeTarget, head: Oid, name: &[u8]) -> Result<Option<RefUpdate>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let name = branch(name)?;
    if name == target.name {
        return Err(Status::invalid("the branch that receives cannot be removed"));
    }
    let found = target.opened.repository.snapshot().find(&name).map(|found| found.oid);
    if found != Some(head) {
        return Err(moved(name.as_bytes(), &head, found.as_ref()));
    }
    Ok(Some(RefUpdate { name, old: Some(head), new: None }))
}

/// Reads how it is to be merged.
fn way(request: &MergePullRequestRequest) -> Result<MergeWay, Status> {
    let author = || signer_of(request.author.clone(), "author");
    let committer = || request.committer.clone();
    let message = request.message.clone();
    Ok(match request.method() {
        MergeMethod::Unspecified | MergeMethod::Merge => {
            let author = author()?;
            MergeWay::Merge {
                fast_forward: hakata_rpc::v1::FastForward::Never,
                allow_unrelated: false,
                message,
                committer: committer_of(committer(), Some(&author))?,
                author,
            }
        }
        MergeMethod::Squash => {
            let author = author()?;
            MergeWay::Squash { message, committer: committer_of(committer(), Some(&author))?, author }
        }
        MergeMethod::Rebase => {
            MergeWay::Rebase { refuse_merges: false, committer: committer_of(committer(), None)? }
        }
        MergeMethod::FastForward => MergeWay::FastForward,
    })
}

fn message(version: &Version) -> PullVersion {
    PullVersion {
        version: version.number,
        head_oid: oid_bytes(&version.head),
        base_oid: oid_bytes(&version.base),
        staged: None,
    }
}
