//! Changes of refs, all of which end in one commit of the repository.

use std::collections::BTreeSet;

use bytes::Bytes;
use hakata_git::write::NewObjects;
use hakata_names::{ObjectFormat, Oid, RefName, RefUpdate};
use hakata_repository::{
    Atomicity, Committed, Prepared, Push, ReceiveLimits, RefRefusal, Repository, Staged, no_rows,
};
use hakata_rpc::v1::{Moved, Ref, RefMove, RefMoved, RepositoryKey, UpdateRefsRequest, UpdateRefsResponse};
use hakata_rpc::{Call, Code, Status};

use super::super::made::{refusals, staged};
use super::super::messages::{oid_bytes, optional, reference};
use super::super::{Local, Opened, optional_oid, ref_name, status};

/// Refs that one call moves at most.
const MAX_MOVES: usize = 50_000;

impl Local {
    /// Makes a ref that does not exist yet, to an object that is here or among those that were made.
    pub(super) async fn create(
        &self,
        opened: Opened,
        name: RefName,
        target: Oid,
        objects: NewObjects,
        call: Call,
    ) -> Result<Ref, Status> {
        let updates = vec![RefUpdate { name: name.clone(), old: None, new: Some(target) }];
        let repository = opened.repository.clone();
        drop(opened);
        let intent = self.intent(&repository, Atomicity::Whole, &call).await?;
        let received = repository.make(updates.clone(), objects, &ReceiveLimits::default()).await;
        let received = received.map_err(|error| status(&error))?;
        let committed = self.commit_received(&repository, received, intent).await?;
        refused(&refusals(&committed), &updates)?;
        let reopened = repository.reopened().await.map_err(|error| status(&error))?;
        let found = reopened.snapshot().find(&name).map(reference);
        Ok(found.unwrap_or_else(|| Ref {
            name: Bytes::copy_from_slice(name.as_bytes()),
            target_oid: oid_bytes(&target),
            peeled_oid: Bytes::new(),
        }))
    }

    /// Removes a ref; answers the version that this made.
    pub(super) async fn delete(
        &self,
        key: Option<&RepositoryKey>,
        name: RefName,
        expected: &[u8],
        call: Call,
    ) -> Result<i64, Status> {
        let repository = self.repository(key).await?;
        let found = repository.snapshot().find(&name).map(|found| found.oid);
        let absent = Status::not_found(format!("there is no {name}"));
        // The ref may be gone because this very change removed it: its answer is kept under the caller's key, and
        // without one the commit refuses whatever is expected of an absent ref.
        let nowhere = || call.idempotency_key.as_ref().and_then(|_| nowhere(repository.format()));
        let old = optional_oid(expected, repository.format())?.filter(|_| found.is_some());
        let old = old.or(found).or_else(nowhere).ok_or_else(|| absent.clone())?;
        let update = RefUpdate { name, old: Some(old), new: None };
        let committed = self.commit(&repository, vec![update.clone()], Atomicity::Whole, &call).await?;
        let refused = refused(&refusals(&committed), &[update]);
        refused.map_err(|status| if found.is_none() { absent } else { status })?;
        Ok(committed.version.unwrap_or_else(|| repository.version()))
    }

    pub(super) async fn update_refs(
        &self,
        request: UpdateRefsRequest,
        call: Call,
    ) -> Result<UpdateRefsResponse, Status> {
        if request.moves.len() > MAX_MOVES {
            return Err(Status::invalid(format!("more than {MAX_MOVES} refs")));
        }
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
            return Ok(kept);
        }
        let intent = self.intent(repository, atomicity, call).await?;
        let committed = match repository.adopt(staged, &ReceiveLimits::default()).await {
            Ok(received) => self.commit_received(repository, received, intent).await,
            Err(error) => Err(status(&error)),
        };
        match committed {
            Err(error) => self.answer_kept(repository, call).await?.ok_or(error),
            committed => committed,
        }
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

/// An oid that no object has.
fn nowhere(format: ObjectFormat) -> Option<Oid> {
    Oid::from_bytes(&vec![0xff; format.oid_len()]).ok()
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
