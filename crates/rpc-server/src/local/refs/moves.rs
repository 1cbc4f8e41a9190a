//! Changes of refs, all of which end in one commit of the repository.

use std::collections::BTreeSet;

use bytes::Bytes;
use hakata_git::write::NewObjects;
use hakata_names::{Oid, RefName, RefUpdate};
use hakata_repository::{
    Atomicity, Committed, Prepared, Push, ReceiveLimits, RefRefusal, Repository, Staged, no_rows,
};
use hakata_rpc::v1::{
    Form, MadeRef, Moved, Ref, RefMove, RefMoved, RepositoryKey, Staged as StagedMessage, UpdateRefsRequest,
    UpdateRefsResponse,
};
use hakata_rpc::{Call, Code, Status};

use super::super::made::{refusals, staged, staged_message, used_otherwise};
use super::super::messages::{oid_bytes, optional};
use super::super::{Local, Opened, optional_oid, ref_name, status};
use crate::metrics::Limit;
use crate::settings::at_most;

impl Local {
    /// Makes a ref that does not exist yet, to an object that is here or among those that `target` makes; or prepares that.
    pub(super) async fn create<F>(
        &self,
        key: Option<&RepositoryKey>,
        name: RefName,
        target: F,
        (form, call): (Form, &Call),
    ) -> Result<MadeRef, Status>
    where
        F: AsyncFnOnce(&Opened) -> Result<(Oid, NewObjects), Status>,
    {
        let opened = self.open(key, call).await?;
        if let Some(made) = self.ref_before(&opened, &name, (form, call)).await? {
            return Ok(made);
        }
        let made = match target(&opened).await {
            Ok((target, objects)) => self.create_at(&opened, &name, target, objects, (form, call)).await,
            Err(error) => Err(error),
        };
        match made {
            // Its own repetition may have been faster.
            Err(error) => self.ref_before(&opened, &name, (form, call)).await?.ok_or(error),
            made => made,
        }
    }

    async fn create_at(
        &self,
        opened: &Opened,
        name: &RefName,
        target: Oid,
        objects: NewObjects,
        (form, call): (Form, &Call),
    ) -> Result<MadeRef, Status> {
        let updates = vec![RefUpdate { name: name.clone(), old: None, new: Some(target) }];
        let repository = &opened.repository;
        let intent = self.intent(repository, Atomicity::Whole, call).await?;
        let received = repository.make(updates.clone(), objects, &ReceiveLimits::default()).await;
        let received = received.map_err(|error| status(&error))?;
        let peeled = received.peeled(&target);
        let made = Ref {
            name: Bytes::copy_from_slice(name.as_bytes()),
            target_oid: oid_bytes(&target),
            peeled_oid: optional(peeled.as_ref()),
        };
        if form == Form::Prepare {
            refused(received.refusals(), &updates)?;
            let staged = repository.stage(received.prepare(intent)).await.map_err(|error| status(&error))?;
            return Ok(MadeRef { r#ref: Some(made), version: 0, staged: Some(staged_message(&staged)) });
        }
        let committed = self.commit_received(repository, received, intent).await?;
        refused(&refusals(&committed), &updates)?;
        if call.idempotency_key.is_some() {
            // What is kept counts: another call of the same name may have been faster.
            let kept = self.ref_before(opened, name, (form, call)).await?;
            return kept.ok_or_else(|| Status::new(Code::Aborted, "the ref was made otherwise meanwhile"));
        }
        Ok(MadeRef { r#ref: Some(made), version: committed.version.unwrap_or(0), staged: None })
    }

    /// Finds what a call of the same name made.
    async fn ref_before(
        &self,
        opened: &Opened,
        name: &RefName,
        (form, call): (Form, &Call),
    ) -> Result<Option<MadeRef>, Status> {
        if form == Form::Prepare {
            return Ok(None);
        }
        let Some(left) = self.left_before(&opened.repository, name, call).await? else { return Ok(None) };
        // It is in the newest objects, unless it was removed since.
        let reopened = opened.repository.reopened().await.map_err(|error| status(&error))?;
        let readable = reopened.readable().await.map_err(|error| status(&error))?;
        let oid = left.oid;
        let peeled =
            readable.objects().read(move |view| Ok(view.peel(&oid)?.filter(|peeled| *peeled != oid)));
        let peeled = peeled.await.map_err(|error| status(&error))?;
        let made = Ref {
            name: Bytes::copy_from_slice(name.as_bytes()),
            target_oid: oid_bytes(&oid),
            peeled_oid: optional(peeled.as_ref()),
        };
        Ok(Some(MadeRef { r#ref: Some(made), version: left.version, staged: None }))
    }

    /// Removes a ref, or prepares that; answers the version that this made.
    pub(super) async fn delete(
        &self,
        key: Option<&RepositoryKey>,
        name: RefName,
        expected: &[u8],
        (form, call): (Form, &Call),
    ) -> Result<(i64, Option<StagedMessage>), Status> {
        let repository = self.repository(key).await?;
        let before = async || match (form, self.answer_kept(&repository, call).await?) {
            (Form::Prepare, _) | (_, None) => Ok(None),
            (_, Some(kept)) if kept.committed.refs.iter().all(|(about, _)| *about == name) => {
                Ok(Some((kept.committed.version.unwrap_or(0), None)))
            }
            _ => Err(used_otherwise()),
        };
        if let Some(done) = before().await? {
            return Ok(done);
        }
        let found = repository.snapshot().find(&name).map(|found| found.oid);
        let old = optional_oid(expected, repository.format())?.or(found);
        let update = match (found, old) {
            (Some(_), Some(old)) => RefUpdate { name: name.clone(), old: Some(old), new: None },
            _ => return before().await?.ok_or_else(|| Status::not_found(format!("there is no {name}"))),
        };
        if form == Form::Prepare {
            return Ok((0, Some(self.staged(&repository, vec![update], call).await?)));
        }
        let committed = self.commit(&repository, vec![update.clone()], Atomicity::Whole, call).await?;
        match refused(&refusals(&committed), &[update]) {
            Err(error) => before().await?.ok_or(error),
            Ok(()) => Ok((committed.version.unwrap_or_else(|| repository.version()), None)),
        }
    }

    pub(super) async fn update_refs(
        &self,
        request: UpdateRefsRequest,
        call: Call,
    ) -> Result<UpdateRefsResponse, Status> {
        at_most(Limit::Refs, request.moves.len(), self.0.settings.limits.refs)?;
        let repository = self.repository(request.repository.as_ref()).await?;
        let atomicity = if request.atomic { Atomicity::Whole } else { Atomicity::Each };
        let (committed, updates) = match &request.staged {
            Some(_) if !request.moves.is_empty() => {
                return Err(Status::invalid("a change that was prepared has its own moves"));
            }
            Some(message) => {
                let staged = staged(message, &repository)?;
                let updates = staged.updates.clone();
                (self.commit_staged(&repository, staged, atomicity, &call).await?, updates)
            }
            None => {
                let updates = updates(&request.moves, &repository)?;
                (self.commit(&repository, updates.clone(), atomicity, &call).await?, updates)
            }
        };
        if request.atomic {
            refused(&refusals(&committed), &updates)?;
        }
        let moves = committed.refs.iter().map(|(name, answer)| RefMoved {
            ref_name: Bytes::copy_from_slice(name.as_bytes()),
            refusal: answer.as_ref().err().map(ToString::to_string).unwrap_or_default(),
        });
        Ok(UpdateRefsResponse { version: committed.version.unwrap_or(0), moves: moves.collect() })
    }

    /// Takes a prepared change up and commits it. It is there only once, so a repetition is told what came of the first.
    async fn commit_staged(
        &self,
        repository: &Repository,
        staged: Staged,
        atomicity: Atomicity,
        call: &Call,
    ) -> Result<Committed, Status> {
        if let Some(kept) = self.answer_kept(repository, call).await? {
            return Ok(kept.committed);
        }
        let intent = self.intent(repository, atomicity, call).await?;
        let committed = match repository.adopt(staged, &ReceiveLimits::default()).await {
            Ok(received) => self.commit_received(repository, received, intent).await,
            Err(error) => Err(status(&error)),
        };
        match committed {
            Err(error) => match self.answer_kept(repository, call).await? {
                Some(kept) => Ok(kept.committed),
                None => Err(error),
            },
            committed => committed,
        }
    }

    /// Proves that new targets are complete, and keeps the moves for their caller to commit.
    pub(in super::super) async fn staged(
        &self,
        repository: &Repository,
        updates: Vec<RefUpdate>,
        call: &Call,
    ) -> Result<StagedMessage, Status> {
        let intent = self.intent(repository, Atomicity::Whole, call).await?;
        let push = Push { updates: updates.clone(), shallow: Vec::new() };
        let received =
            repository.receive(push, None::<&mut tokio::io::Empty>, &ReceiveLimits::default()).await;
        let received = received.map_err(|error| status(&error))?;
        refused(received.refusals(), &updates)?;
        let staged = repository.stage(received.prepare(intent)).await.map_err(|error| status(&error))?;
        Ok(staged_message(&staged))
    }

    /// Proves that new targets are complete, and commits.
    pub(in super::super) async fn commit(
        &self,
        repository: &Repository,
        updates: Vec<RefUpdate>,
        atomicity: Atomicity,
        call: &Call,
    ) -> Result<Committed, Status> {
        let intent = self.intent(repository, atomicity, call).await?;
        if updates.iter().any(|update| update.new.is_some()) {
            let push = Push { updates, shallow: Vec::new() };
            let received =
                repository.receive(push, None::<&mut tokio::io::Empty>, &ReceiveLimits::default()).await;
            let received = received.map_err(|error| status(&error))?;
            return self.commit_received(repository, received, intent).await;
        }
        let prepared = Prepared::without_objects(updates, intent, repository.prune_epoch());
        repository.commit(prepared, no_rows).await.map_err(|error| status(&error))
    }

    /// Reads under which rules a change is judged: none here, so those of now.
    pub(in super::super) async fn policy_version(&self, repository: &Repository) -> Result<i64, Status> {
        let row = self.0.repositories.find_by_id(repository.id()).await.map_err(|error| status(&error))?;
        row.map(|row| row.policy_version).ok_or_else(|| Status::not_found("there is no such repository"))
    }
}

/// Reads moves, each of another ref.
pub(in super::super) fn updates(
    moves: &[RefMove],
    repository: &Repository,
) -> Result<Vec<RefUpdate>, Status> {
    let mut seen = BTreeSet::new();
    let mut updates = Vec::with_capacity(moves.len());
    for wanted in moves {
        let name = ref_name(&wanted.ref_name)?;
        let old = optional_oid(&wanted.old_oid, repository.format())?;
        let new = optional_oid(&wanted.new_oid, repository.format())?;
        if old.is_none() && new.is_none() {
            return Err(Status::invalid(format!("{name} is neither made nor moved nor removed")));
        }
        if !seen.insert(name.clone()) {
            return Err(Status::invalid(format!("{name} is moved twice")));
        }
        updates.push(RefUpdate { name, old, new });
    }
    Ok(updates)
}

/// Turns the first refusal into an error: of the ref itself rather than of one that fell with it.
pub(in super::super) fn refused(
    refusals: &[(RefName, RefRefusal)],
    updates: &[RefUpdate],
) -> Result<(), Status> {
    let cause = refusals.iter().find(|(_, refusal)| !matches!(refusal, RefRefusal::Atomic));
    let Some((name, refusal)) = cause.or(refusals.first()) else { return Ok(()) };
    let message = format!("{name}: {refusal}");
    Err(match refusal {
        RefRefusal::Stale { actual } => {
            let update = updates.iter().find(|update| update.name == *name);
            Status::moved(
                message,
                Moved {
                    ref_name: Bytes::copy_from_slice(name.as_bytes()),
                    expected_oid: optional(update.and_then(|update| update.old.as_ref())),
                    actual_oid: optional(actual.as_ref()),
                },
            )
        }
        RefRefusal::Incomplete => Status::not_found(message),
        _ => Status::new(Code::FailedPrecondition, message),
    })
}
