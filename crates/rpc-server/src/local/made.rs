//! What becomes of objects that an operation made: committed, or prepared for the caller's own commit.

use bytes::Bytes;
use hakata_git::write::{Bounds, NewObjects, Signer};
use hakata_names::{ObjectFormat, Oid, PackId, RefName, RefUpdate, RepositoryId};
use hakata_repository::{
    Atomicity, Committed, Intent, KeptAnswer, PackClaim, Reason, ReceiveLimits, Received, Repository, Staged,
    no_rows,
};
use hakata_rpc::v1::{Form, MadeCommit, RefMove, Signature, Staged as Message, StagedMove};
use hakata_rpc::{Call, Status};

use super::messages::{oid_bytes, optional};
use super::refs::{actor, refused, updates};
use super::{Local, oid, status};

/// The longest name of a change, in bytes; rows keep a word more.
const MAX_KEY: usize = 180;

/// Where a call left a ref.
pub(super) struct Left {
    pub(super) oid: Oid,
    /// The version that the call made; 0 if it made none.
    pub(super) version: i64,
    /// Whether it moved the ref there, or found it there.
    pub(super) has_moved: bool,
}

impl Local {
    /// Begins to make objects, as many as one call may.
    pub(super) fn new_objects(&self, format: ObjectFormat) -> NewObjects {
        NewObjects::new(format, self.bounds())
    }

    /// How much one call may make.
    pub(super) fn bounds(&self) -> Bounds {
        let settings = &self.0.settings;
        Bounds { max_bytes: settings.max_made_bytes, max_objects: settings.max_made_objects }
    }

    /// Takes objects in and moves one ref to a commit among them, or keeps them for the caller to do so.
    pub(super) async fn deliver(
        &self,
        repository: &Repository,
        update: RefUpdate,
        made: Oid,
        objects: NewObjects,
        form: Form,
        call: &Call,
    ) -> Result<MadeCommit, Status> {
        let updates = vec![update];
        // What it is made of is bounded already.
        let limits = ReceiveLimits { max_pack_bytes: None, ..ReceiveLimits::default() };
        let received = repository.make(updates.clone(), objects, &limits).await;
        let received = received.map_err(|error| status(&error))?;
        let intent = self.intent(repository, Atomicity::Whole, call).await?;
        if form == Form::Prepare {
            refused(received.refusals(), &updates)?;
            let staged = repository.stage(received.prepare(intent)).await.map_err(|error| status(&error))?;
            return Ok(MadeCommit {
                oid: oid_bytes(&made),
                version: 0,
                staged: Some(staged_message(&staged)),
            });
        }
        let committed = self.commit_received(repository, received, intent).await?;
        refused(&refusals(&committed), &updates)?;
        let version = committed.version.unwrap_or_else(|| repository.version());
        let oid = match &call.idempotency_key {
            // Another call of the same name may have committed something else.
            Some(_) => self.committed_oid(repository, version, &updates[0].name).await?.unwrap_or(made),
            None => made,
        };
        Ok(MadeCommit { oid: oid_bytes(&oid), version, staged: None })
    }

    /// Finds what a call of the same name made before.
    pub(super) async fn made_before(
        &self,
        repository: &Repository,
        name: &RefName,
        call: &Call,
    ) -> Result<Option<MadeCommit>, Status> {
        let left = self.left_before(repository, name, call).await?;
        left.map(|left| match left {
            Left { has_moved: true, oid, version } => {
                Ok(MadeCommit { oid: oid_bytes(&oid), version, staged: None })
            }
            Left { .. } => Err(used_otherwise()),
        })
        .transpose()
    }

    /// Finds where a call of the same name left a ref.
    pub(super) async fn left_before(
        &self,
        repository: &Repository,
        name: &RefName,
        call: &Call,
    ) -> Result<Option<Left>, Status> {
        let Some(KeptAnswer { committed, unmoved }) = self.answer_kept(repository, call).await? else {
            return Ok(None);
        };
        let Some(version) = committed.version else {
            let is_about = committed.refs.iter().any(|(about, _)| about == name);
            let oid = unmoved.filter(|_| is_about).ok_or_else(used_otherwise)?;
            return Ok(Some(Left { oid, version: 0, has_moved: false }));
        };
        if let Some(oid) = unmoved {
            return Ok(Some(Left { oid, version, has_moved: false }));
        }
        let oid = self.committed_oid(repository, version, name).await?.ok_or_else(used_otherwise)?;
        Ok(Some(Left { oid, version, has_moved: true }))
    }

    /// Finds the answer that a call of the same name was given.
    pub(super) async fn answer_kept(
        &self,
        repository: &Repository,
        call: &Call,
    ) -> Result<Option<KeptAnswer>, Status> {
        let Some(key) = checked_key(call)? else { return Ok(None) };
        repository.answer_kept(key).await.map_err(|error| status(&error))
    }

    async fn committed_oid(
        &self,
        repository: &Repository,
        version: i64,
        name: &RefName,
    ) -> Result<Option<Oid>, Status> {
        repository.moved_to(version, name).await.map_err(|error| status(&error))
    }

    /// Says for whom a change is made, under the rules of now: none are judged here.
    pub(super) async fn intent(
        &self,
        repository: &Repository,
        atomicity: Atomicity,
        call: &Call,
    ) -> Result<Intent, Status> {
        Ok(Intent {
            actor: actor(call),
            reason: Reason::Rpc,
            atomicity,
            policy_version: self.policy_version(repository).await?,
            default_ref: None,
            idempotency_key: checked_key(call)?.map(str::to_owned),
        })
    }

    /// Commits what was taken in.
    pub(super) async fn commit_received(
        &self,
        repository: &Repository,
        received: Received,
        intent: Intent,
    ) -> Result<Committed, Status> {
        repository.commit(received.prepare(intent), no_rows).await.map_err(|error| status(&error))
    }
}

/// Reads the name of a change.
pub(super) fn checked_key(call: &Call) -> Result<Option<&str>, Status> {
    match call.idempotency_key.as_deref() {
        Some(key) if key.len() > MAX_KEY => {
            Err(Status::invalid(format!("the idempotency key is longer than {MAX_KEY} bytes")))
        }
        key => Ok(key),
    }
}

pub(super) fn used_otherwise() -> Status {
    Status::invalid("the idempotency key was used for another change")
}

/// Lists the refs that a commit refused to move.
pub(super) fn refusals(committed: &Committed) -> Vec<(RefName, hakata_repository::RefRefusal)> {
    let refused = committed
        .refs
        .iter()
        .filter_map(|(name, answer)| Some((name.clone(), answer.as_ref().err()?.clone())));
    refused.collect()
}

/// Reads which form of writing is asked for.
pub(super) fn form(raw: i32) -> Result<Form, Status> {
    match Form::try_from(raw) {
        Ok(Form::Prepare) => Ok(Form::Prepare),
        Ok(Form::Commit | Form::Unspecified) => Ok(Form::Commit),
        Err(_) => Err(Status::invalid("there is no such form")),
    }
}

/// Reads who signs.
pub(super) fn signer(signature: Signature) -> Signer {
    Signer {
        name: signature.name.to_vec(),
        email: signature.email.to_vec(),
        time: signature.time_s,
        offset_minutes: signature.offset_minutes,
    }
}

pub(super) fn staged_message(staged: &Staged) -> Message {
    let moves = staged.updates.iter().map(|update| StagedMove {
        ref_name: Bytes::copy_from_slice(update.name.as_bytes()),
        old_oid: optional(update.old.as_ref()),
        new_oid: optional(update.new.as_ref()),
    });
    Message {
        repository_id: staged.repository.get(),
        pack_id: staged.pack.map_or(0, |pack| pack.id.get()),
        pack_oid: optional(staged.pack.as_ref().map(|pack| &pack.checksum)),
        moves: moves.collect(),
    }
}

/// Reads a change that was prepared.
pub(super) fn staged(message: &Message, repository: &Repository) -> Result<Staged, Status> {
    let pack = match message.pack_id {
        0 => None,
        id => {
            let checksum = oid(&message.pack_oid, repository.format())?;
            Some(PackClaim { id: PackId::new(id), checksum })
        }
    };
    let moves = message.moves.iter().cloned();
    let moves: Vec<RefMove> = moves
        .map(|StagedMove { ref_name, old_oid, new_oid }| RefMove { ref_name, old_oid, new_oid })
        .collect();
    Ok(Staged {
        repository: RepositoryId::new(message.repository_id),
        pack,
        updates: updates(&moves, repository)?,
    })
}
