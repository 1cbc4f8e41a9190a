//! From commits that were made to a branch that shows them.

use hakata_git::merge::Replay;
use hakata_git::write::NewObjects;
use hakata_names::{Oid, RefName, RefUpdate};
use hakata_repository::{Atomicity, ReceiveLimits, Repository, no_rows};
use hakata_rpc::v1::{Form, MergeOutcome, MergeResponse};
use hakata_rpc::{Call, Status};

use super::super::made::{Left, checked_key, refusals, staged_message};
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
        let has_moved = made.oid != target.oid;
        let update = RefUpdate { name: target.name.clone(), old: Some(target.oid), new: Some(made.oid) };
        let updates: Vec<_> = has_moved.then_some(update).into_iter().chain(further).collect();
        let outcome = if has_moved { MergeOutcome::Moved } else { MergeOutcome::UpToDate };
        let mut answer =
            MergeResponse { outcome: outcome.into(), oid: oid_bytes(&made.oid), ..MergeResponse::default() };
        let Target { opened, name, oid: old } = target;
        let repository = opened.repository.clone();
        drop(opened);
        let key = checked_key(&call)?.filter(|_| form == Form::Commit);
        if updates.is_empty() {
            if let Some(key) = key
                && !repository.keep_unmoved(key, &name, &old).await.map_err(|error| status(&error))?
            {
                // Its own repetition was faster, and may have moved something.
                return self
                    .merged_before(&repository, &name, (form, &call))
                    .await
                    .map(|kept| kept.unwrap_or(answer));
            }
            return Ok(answer);
        }
        let objects = made.objects.unwrap_or_else(|| self.new_objects(repository.format()));
        let received = repository.make(updates.clone(), objects, &ReceiveLimits::default()).await;
        let received = received.map_err(|error| status(&error))?;
        let intent = self.intent(&repository, Atomicity::Whole, &call).await?;
        if form == Form::Prepare {
            refused(received.refusals(), &updates)?;
            let staged = repository.stage(received.prepare(intent)).await.map_err(|error| status(&error))?;
            answer.staged = Some(staged_message(&staged));
            return Ok(answer);
        }
        let mut prepared = received.prepare(intent);
        if !has_moved {
            prepared = prepared.unmoved(old);
        }
        let committed = repository.commit(prepared, no_rows).await.map_err(|error| status(&error))?;
        refused(&refusals(&committed), &updates)?;
        if key.is_some() {
            // What is kept counts: another call of the same name may have been faster.
            let kept = self.merged_before(&repository, &name, (form, &call)).await?;
            return Ok(kept.unwrap_or(answer));
        }
        answer.version = committed.version.unwrap_or(0);
        Ok(answer)
    }

    /// Finds what a call of the same name did before: repeated on what came of it, it would do something else.
    pub(in super::super) async fn merged_before(
        &self,
        repository: &Repository,
        name: &RefName,
        (form, call): (Form, &Call),
    ) -> Result<Option<MergeResponse>, Status> {
        if form == Form::Prepare {
            return Ok(None);
        }
        let left = self.left_before(repository, name, call).await?;
        Ok(left.map(|Left { oid, version, has_moved }| {
            let outcome = if has_moved { MergeOutcome::Moved } else { MergeOutcome::UpToDate };
            MergeResponse { outcome: outcome.into(), oid: oid_bytes(&oid), version, staged: None }
        }))
    }
}
