//! Steps 1 to 5, as one transaction.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hakata_names::{RefName, RepositoryId};
use hakata_runtime::fault;
use hakata_store::refs::RefMove;
use hakata_store::repositories::{self, Expected, Full};
use hakata_store::{Conflict, Conn, StoreError, events, idempotency};

use super::rows::{self, Change, RowIds};
use super::{CommitError, Rows, refs, replay};
use crate::birth::{self, Birth, Written};
use crate::engine::Engine;
use crate::outcome::{Atomicity, Committed, RefRefusal};
use crate::prepared::Prepared;
use crate::stage::{self, Linked, StagedPack};

/// What a transaction is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) repository: RepositoryId,
    pub(super) prepared: &'a Prepared,
    pub(super) ids: &'a RowIds,
}

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Committed.
    Done(Done),
    /// Rolled back, as there was nothing to change.
    Nothing(Committed),
    /// Rolled back: a change of the same key was committed before, with this answer.
    Replayed(Committed),
    /// Rolled back: pruned, other rules, or not active.
    Missed,
    /// Rolled back: the staged pack is gone.
    Swept,
    /// Rolled back: there is a repository of this name.
    Taken(Conflict),
    /// Rolled back: the repository was made before.
    Repeated,
    /// Rolled back: a pack that was to be shared is gone.
    SharedGone,
    /// Rolled back: a quota has no room for the pack.
    Full(Full),
}

/// A durable change.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) committed: Committed,
    pub(super) version: i64,
    pub(super) moves: Vec<RefMove>,
}

/// Why a transaction rolls back.
enum Abort {
    Store(StoreError),
    Ended(Box<Attempt>),
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Attempt> for Abort {
    fn from(attempt: Attempt) -> Self {
        Self::Ended(Box::new(attempt))
    }
}

/// Runs the transaction; the store repeats it whole after a deadlock.
pub(super) async fn attempt(
    engine: &Engine,
    given: Given<'_>,
    also: &impl Rows,
) -> Result<Attempt, CommitError> {
    let at = engine.clock.now_ms();
    // Kept outside, for the case that COMMIT gets no answer.
    let last = Mutex::new(None);
    let ended = engine.db.transaction(|tx| {
        let last = &last;
        Box::pin(async move {
            let done = steps(tx, given, also, at).await?;
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            Ok(())
        })
    });
    let ended = ended.await;
    let done = last.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (ended, done) {
        (Ok(()), Some(done)) => Ok(Attempt::Done(done)),
        (Err(Abort::Store(error @ StoreError::CommitUnknown(_))), Some(done)) => {
            find_out(engine, given, done, error).await
        }
        (Err(Abort::Ended(attempt)), _) => Ok(*attempt),
        (Err(Abort::Store(error)), _) => Err(CommitError::Store(error)),
        (Ok(()), None) => Ok(Attempt::Missed),
    }
}

async fn steps(conn: &mut Conn, given: Given<'_>, also: &impl Rows, at: i64) -> Result<Done, Abort> {
    let Given { repository, prepared, ids } = given;
    let intent = &prepared.intent;
    born(conn, given, at).await?;
    let expected = Expected {
        state: prepared.state,
        prune_epoch: prepared.prune_epoch,
        policy_version: intent.policy_version,
    };
    let raised = repositories::raise_version(conn, repository, expected, at).await?;
    let version = raised.ok_or(Attempt::Missed)?;
    fault::point("commit.version");
    if let Some(kept) = kept_answer(conn, given).await? {
        return Err(Attempt::Replayed(kept).into());
    }
    if let Some(staged) = &prepared.staged
        && stage::link(conn, staged, repository, version).await? == Linked::Gone
    {
        return Err(Attempt::Swept.into());
    }
    if let Some(birth) = &prepared.birth
        && !birth.share(conn, repository, version).await?
    {
        return Err(Attempt::SharedGone.into());
    }
    let lfs_bytes = match &prepared.birth {
        Some(birth) => birth.share_lfs(conn, repository, at).await?,
        None => 0,
    };
    fault::point("commit.pack_linked");
    let moved = refs::apply(conn, repository, &prepared.updates, &prepared.peeled).await?;
    let falls = intent.atomicity == Atomicity::Whole && moved.answers.values().any(Result::is_err);
    let is_nothing = moved.moves.is_empty() && intent.default_ref.is_none() && !prepared.makes_repository();
    if falls || is_nothing {
        let answers = if falls { fallen(moved.answers) } else { moved.answers };
        return Err(Attempt::Nothing(prepared.answers(answers, None)).into());
    }
    fault::point("commit.refs");
    let committed = prepared.answers(moved.answers, Some((version, ids.event)));
    let change = Change { repository, version, intent, at, ids };
    write_rows(conn, change, &moved.moves).await?;
    if let Some(key) = &intent.idempotency_key {
        let kept = replay::encode(&committed, prepared.unmoved.as_ref());
        idempotency::put(conn, repository, key, &kept, at).await?;
    }
    count_size(conn, repository, prepared, lfs_bytes).await?;
    also(conn, &committed).await?;
    fault::point("commit.rows");
    fault::point("commit.before_commit");
    Ok(Done { committed, version, moves: moved.moves })
}

/// Writes the row of a repository that this change makes.
async fn born(conn: &mut Conn, given: Given<'_>, at: i64) -> Result<(), Abort> {
    let Some(birth) = &given.prepared.birth else { return Ok(()) };
    let key = birth.key();
    let kept = key.as_deref().map(|key| (key, birth.answer(given.repository)));
    match birth::write(conn, given.repository, &birth.new, kept, at).await? {
        Written::Yes => Ok(()),
        Written::Taken(conflict) => Err(Attempt::Taken(conflict).into()),
        Written::Repeated => Err(Attempt::Repeated.into()),
    }
}

/// Finds the answer that a change of the same key was given. The row's lock makes two of them follow each other.
async fn kept_answer(conn: &mut Conn, given: Given<'_>) -> Result<Option<Committed>, StoreError> {
    let Some(key) = &given.prepared.intent.idempotency_key else { return Ok(None) };
    let kept = idempotency::find(conn, given.repository, key).await?;
    Ok(kept.as_deref().and_then(replay::parse).map(|kept| kept.committed))
}

/// What step 5 tells others of a change.
async fn write_rows(conn: &mut Conn, change: Change<'_>, moves: &[RefMove]) -> Result<(), StoreError> {
    let Change { repository, intent, .. } = change;
    if let Some(name) = &intent.default_ref {
        repositories::point_head(conn, repository, name).await?;
    }
    rows::write(conn, change, moves).await
}

/// Adds the pack, and what a fork shares, to what the repository and its owner use. The owner's row comes last, since changes of all its
/// repositories meet there.
async fn count_size(
    conn: &mut Conn,
    repository: RepositoryId,
    prepared: &Prepared,
    lfs_bytes: i64,
) -> Result<(), Abort> {
    let shared = prepared.birth.as_ref().map_or(0, Birth::shared_bytes).saturating_add(lfs_bytes);
    let bytes = prepared.staged.as_ref().map_or(0, StagedPack::size_bytes).saturating_add(shared);
    let Some(default) = prepared.default_quota else {
        return Ok(repositories::add_size(conn, repository, bytes).await.map(drop)?);
    };
    let default = stage::saturated(default);
    match repositories::add_size_within(conn, repository, bytes, default).await? {
        Ok(()) => Ok(()),
        Err(full) => Err(Attempt::Full(full).into()),
    }
}

/// In an atomic change that fails, the updates that were fine fall too.
fn fallen(
    mut answers: BTreeMap<RefName, Result<(), RefRefusal>>,
) -> BTreeMap<RefName, Result<(), RefRefusal>> {
    answers.values_mut().filter(|answer| answer.is_ok()).for_each(|answer| *answer = Err(RefRefusal::Atomic));
    answers
}

/// Asks whether a transaction whose COMMIT got no answer is durable: its event row tells. The lock on the repository's
/// row waits for a COMMIT that the database may still be working on.
async fn find_out(
    engine: &Engine,
    given: Given<'_>,
    done: Done,
    unknown: StoreError,
) -> Result<Attempt, CommitError> {
    let Given { repository, ids, .. } = given;
    let found = engine.db.transaction(|tx| {
        Box::pin(async move {
            repositories::lock(tx, repository).await?;
            events::find(tx, ids.event).await
        })
    });
    match found.await {
        Ok(Some(_)) => Ok(Attempt::Done(done)),
        Ok(None) => Err(CommitError::RolledBack(unknown)),
        Err(error) => {
            tracing::error!(repository.id = repository.get(), error = %error, "a commit has an unknown outcome");
            engine.snapshots.forget(repository);
            Err(CommitError::Unknown(unknown))
        }
    }
}
