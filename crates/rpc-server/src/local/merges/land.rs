//! From commits that were made to a branch that shows them.

use hakata_git::merge::Replay;
use hakata_git::write::{Bounds, NewObjects};
use hakata_names::{Oid, RefUpdate};
use hakata_repository::{Atomicity, ReceiveLimits};
use hakata_rpc::v1::{Form, MadeCommit, MergeOutcome, MergeResponse};
use hakata_rpc::{Call, Status};

use super::super::made::{refusals, staged_message};
use super::super::messages::oid_bytes;
use super::super::refs::refused;
use super::super::{Local, status};
use super::target::Target;

/// Where a branch shall point, and what it needs for that.
pub(in super::super) struct Made {
    oid: Oid,
    objects: Option<NewObjects>,
}

impl Made {
    /// The branch stays, or goes to a commit that is there.
    pub(super) fn existing(oid: Oid) -> Self {
        Self { oid, objects: None }
    }

    /// The branch goes to what was made on top of it.
    pub(super) fn commits(replay: Replay) -> Self {
        let (oid, objects) = replay.into_objects();
        Self { oid, objects: Some(objects) }
    }
}

impl Local {
    /// Moves the branch, and other refs with it, all or none; or prepares that.
    pub(in super::super) async fn land(
        &self,
        target: Target,
        made: Made,
        further: Vec<RefUpdate>,
        (form, call): (Form, Call),
    ) -> Result<MergeResponse, Status> {
        let Target { opened, name, oid: old } = target;
        let has_moved = made.oid != old;
        let outcome = if has_moved { MergeOutcome::Moved } else { MergeOutcome::UpToDate };
        let mut answer =
            MergeResponse { outcome: outcome.into(), oid: oid_bytes(&made.oid), ..MergeResponse::default() };
        let update = RefUpdate { name, old: Some(old), new: Some(made.oid) };
        let updates: Vec<_> = has_moved.then_some(update).into_iter().chain(further).collect();
        if updates.is_empty() {
            return Ok(answer);
        }
        let repository = opened.repository.clone();
        drop(opened);
        let objects = made.objects.unwrap_or_else(|| NewObjects::new(repository.format(), Bounds::default()));
        let received = repository.make(updates.clone(), objects, &ReceiveLimits::default()).await;
        let received = received.map_err(|error| status(&error))?;
        let intent = self.intent(&repository, Atomicity::Whole, &call).await?;
        if form == Form::Prepare {
            refused(received.refusals(), &updates)?;
            let staged = repository.stage(received.prepare(intent)).await.map_err(|error| status(&error))?;
            answer.staged = Some(staged_message(&staged));
            return Ok(answer);
        }
        let committed = self.commit_received(&repository, received, intent).await?;
        refused(&refusals(&committed), &updates)?;
        answer.version = committed.version.unwrap_or(0);
        Ok(answer)
    }

    /// Finds what a call of the same name did before: repeated on what came of it, it would do something else.
    pub(in super::super) async fn merged_before(
        &self,
        target: &Target,
        call: &Call,
    ) -> Result<Option<MergeResponse>, Status> {
        let before = self.made_before(&target.opened.repository, &target.name, call).await?;
        Ok(before.map(|MadeCommit { oid, version, .. }| MergeResponse {
            outcome: MergeOutcome::Moved.into(),
            oid,
            version,
            staged: None,
        }))
    }
}
