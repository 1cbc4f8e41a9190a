//! Pull requests, as far as they are refs.

use hakata_git::diff::Versions;
use hakata_names::RefUpdate;
use hakata_repository::Atomicity;
use hakata_rpc::v1::{
    CompareVersionsRequest, CompareVersionsResponse, CreatePullRefsRequest, ListVersionsRequest,
    ListVersionsResponse, MergeMethod, MergePullRequestRequest, MergeResponse, PullRequestService,
    PullVersion, RangeDiffPair,
};
use hakata_rpc::{Call, Pending, Status};

use super::made::{form, refusals};
use super::merges::{MergeTarget, MergeWay, committer_of, moved, signer_of};
use super::messages::{oid_bytes, optional};
use super::refs::refused;
use super::repositories::branch;
use super::{Local, optional_oid, status};
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
    /// Keeps a head as the next version, unless it is the newest one already.
    async fn create_pull_refs(
        &self,
        request: CreatePullRefsRequest,
        call: Call,
    ) -> Result<PullVersion, Status> {
        let pull = Pull::numbered(request.number)?;
        let head_revision = request.head.ok_or_else(|| Status::invalid("the request names no head"))?;
        let opened = self.open(request.repository.as_ref(), &call).await?;
        let head = opened.commit(Some(&head_revision)).await?;
        if let Some(expected) = optional_oid(&request.expected_head_oid, opened.repository.format())?
            && expected != head
        {
            return Err(moved(&head_revision.ref_name, &expected, Some(&head)));
        }
        let base = opened.commit(request.base.as_ref()).await?;
        let versions = pull.versions(opened.repository.snapshot());
        let newest = versions.last().copied();
        let number = newest.map_or(0, |version| version.number);
        if request.expected_version.is_some_and(|expected| expected != number) {
            let said = format!("the newest version of {pull} is {number}");
            return Err(Status::new(hakata_rpc::Code::Aborted, said));
        }
        if let Some(newest) = newest.filter(|newest| newest.head == head) {
            return Ok(message(&newest));
        }
        let version = Version { number: number + 1, head, base };
        let updates = pull.updates(&version, newest.map(|newest| newest.head))?;
        let repository = opened.repository.clone();
        drop(opened);
        let committed = self.commit(&repository, updates.clone(), Atomicity::Whole, &call).await?;
        refused(&refusals(&committed), &updates)?;
        Ok(message(&version))
    }

    /// Merges the newest version, and removes the branch that offered it if that is wished.
    async fn merge_pull_request(
        &self,
        request: MergePullRequestRequest,
        call: Call,
    ) -> Result<MergeResponse, Status> {
        let pull = Pull::numbered(request.number)?;
        let (way, form) = (way(&request)?, form(request.form)?);
        let target = MergeTarget::find(self, request.repository.as_ref(), &request.ref_name, &call).await?;
        if let Some(answer) = self.merged_before(&target, &call).await? {
            return Ok(answer);
        }
        let target = target.at(&request.expected_oid)?;
        let (format, snapshot) = (target.opened.repository.format(), target.opened.repository.snapshot());
        let versions = pull.get_versions(snapshot)?;
        let newest = versions.last().ok_or_else(|| Status::not_found(format!("{pull} has no version")))?;
        let head = newest.head;
        if let Some(expected) = optional_oid(&request.expected_head_oid, format)?
            && expected != head
        {
            return Err(moved(pull.head()?.as_bytes(), &expected, Some(&head)));
        }
        let mut further = Vec::new();
        if !request.delete_ref_name.is_empty() {
            let name = branch(&request.delete_ref_name)?;
            if name == target.name {
                return Err(Status::invalid("the branch that receives cannot be removed"));
            }
            let found = snapshot.find(&name).map(|found| found.oid);
            if found != Some(head) {
                return Err(moved(name.as_bytes(), &head, found.as_ref()));
            }
            further.push(RefUpdate { name, old: Some(head), new: None });
        }
        let made = target.merged(head, way).await?;
        self.land(target, made, further, (form, call)).await
    }
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
    }
}
