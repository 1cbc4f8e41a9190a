//! The one way in which refs change.
//!
//! ```text
//! 0  stage     a row announces the pack, then its bytes are written and synced (small packs live in their row)
//! 1  version   the repository's row is raised by one if nobody pruned and the rules are those that were judged; one that
//!              was being created becomes active
//! 2  pack      the staged row becomes live and is linked
//! 3  conflicts a ref may not be a directory of another
//! 4  refs      each by compare-and-swap, judged by row counts
//! 5  rows      log, event, jobs, sizes within quotas, the caller's own; COMMIT
//! ```
//! Steps 1 to 5 are one transaction and hold the lock on the repository's row. A crash before COMMIT leaves at most a
//! staged pack for the sweeper; after it the change is durable, and cache directories follow.

mod refs;
mod replay;
mod rows;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hakata_blob::BlobError;
use hakata_git::refs::RefChange;
use hakata_names::RepositoryId;
use hakata_runtime::fault;
use hakata_runtime::metrics::{Counter, Metric};
use hakata_runtime::tasks::Stopped;
use hakata_store::repositories::QuotaOf;
use hakata_store::{Conflict, Conn, RepositoryState, StoreError, repositories};

use crate::cache::{Advance, CacheError};
use crate::engine::{Engine, OpenError};
use crate::outcome::{Atomicity, Committed, RefRefusal};
use crate::prepared::Prepared;
use crate::receive::ConnectError;
use crate::refresh::{Needed, change};
use crate::repository::Repository;
use crate::snapshots::Step;
use crate::stage::{self, SmallPacks};
pub use replay::KeptAnswer;
use rows::RowIds;
use transaction::{Attempt, Done, Given};

static COMMITTED: Counter = Counter::new("hakata_commits_total", "Changes of refs that were committed");
static REPEATED: Counter =
    Counter::new("hakata_commit_retries_total", "Commits that had to prove connectivity or be judged again");

/// How often a commit starts again because somebody pruned or changed the rules.
const MAX_ATTEMPTS: u32 = 5;

/// Why a change was not committed. Unless it says otherwise, nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The rules have changed since the updates were judged: judge them again and commit what comes out.
    #[error("rules of the repository changed meanwhile")]
    PolicyChanged {
        /// The change, as it was.
        prepared: Box<Prepared>,
        /// The version of the rules that it must be judged by.
        policy_version: i64,
    },
    /// The repository does not exist any more.
    #[error("repository {0} does not exist")]
    Absent(RepositoryId),
    /// The repository is archived or not finished.
    #[error("repository is {state} and accepts no change")]
    Inactive {
        /// What it is.
        state: RepositoryState,
    },
    /// Every attempt met another change of rules, or another collection of garbage.
    #[error("repository changed {MAX_ATTEMPTS} times meanwhile")]
    Contended,
    /// The sweeper took the pack, as the push lasted longer than staged packs are kept; or another commit of the same
    /// staged change was faster.
    #[error("pack was swept or committed before it could be committed")]
    PackSwept,
    /// The quota of the repository or of its owner has no room for the pack.
    #[error("quota of {limit_bytes} bytes has no room: {used_bytes} are used")]
    Full {
        /// Whose quota it is.
        of: QuotaOf,
        /// What may be used.
        limit_bytes: u64,
        /// What is used without this change.
        used_bytes: u64,
    },
    /// There is a repository of the name that the change was to make one of.
    #[error("making a repository")]
    Taken(#[source] Conflict),
    /// The change that was to make a repository was committed before, under its key.
    #[error("the repository was made before")]
    Repeated,
    /// A pack that was to be shared is not there any more.
    #[error("a pack that was to be shared is gone")]
    SharedGone,
    /// The bytes of the pack could not be kept.
    #[error("keeping the pack")]
    Blob(#[source] BlobError),
    /// The bytes of the pack could not be read.
    #[error("reading the received pack")]
    Read(#[source] std::io::Error),
    /// Connectivity could not be proved again.
    #[error("proving connectivity again")]
    Connect(#[source] ConnectError),
    /// The connection to the database broke at COMMIT; asking showed that the change is not durable and never will be.
    #[error("connection to the database broke before the change was durable")]
    RolledBack(#[source] StoreError),
    /// The connection to the database broke at COMMIT, and asking whether the change is durable failed as well. It may
    /// be; a caller that repeats the change finds out.
    #[error("outcome of the change is unknown")]
    Unknown(#[source] StoreError),
    /// The database failed.
    #[error("writing the change")]
    Store(#[from] StoreError),
    /// The process is stopping.
    #[error("committing")]
    Stopped(#[source] Stopped),
}

/// Rows of the caller that belong into the transaction of a change.
///
/// It may run several times; only its last run counts. It must do nothing but write rows, since the repository's row
/// is locked meanwhile. The answer that it gets names the version and what was accepted.
pub trait Rows:
    for<'c> Fn(&'c mut Conn, &'c Committed) -> BoxFuture<'c, Result<(), StoreError>> + Send + Sync + 'static
{
}

impl<F> Rows for F where
    F: for<'c> Fn(&'c mut Conn, &'c Committed) -> BoxFuture<'c, Result<(), StoreError>>
        + Send
        + Sync
        + 'static
{
}

/// Writes no rows: for callers that have none.
pub fn no_rows<'c>(_: &'c mut Conn, _: &'c Committed) -> BoxFuture<'c, Result<(), StoreError>> {
    Box::pin(async { Ok(()) })
}

impl Repository {
    /// Commits a change, with rows of the caller, in one transaction. When this returns `Ok` with a version, the
    /// change is durable and every reader of this process sees it.
    ///
    /// Runs in a task of its own: a caller that leaves does not stop it half-way.
    ///
    /// # Errors
    /// [`CommitError`]; [`CommitError::PolicyChanged`] gives the change back for another judgement. Refs that are not
    /// where they were expected are no error, but answers in [`Committed::refs`].
    pub async fn commit(&self, prepared: Prepared, also: impl Rows) -> Result<Committed, CommitError> {
        let (engine, id) = (self.engine.clone(), self.id);
        let task = self.engine.tasks.spawn("repository.commit", run(engine, id, prepared, also));
        task.await.map_err(CommitError::Stopped)?
    }
}

async fn run(
    engine: Arc<Engine>,
    id: RepositoryId,
    mut prepared: Prepared,
    also: impl Rows,
) -> Result<Committed, CommitError> {
    let (prepared, ended) = match refused_already(&mut prepared) {
        Some(refused) => (prepared, Ok(Attempt::Nothing(refused))),
        None => attempts(&engine, id, prepared, &also).await?,
    };
    let committed = match ended {
        Ok(Attempt::Done(done)) => {
            fault::point("commit.after_commit");
            COMMITTED.inc();
            Ok(follow(&engine, id, prepared, done))
        }
        other => {
            stage::take_back(&engine, prepared.staged).await;
            match other? {
                Attempt::Nothing(committed) | Attempt::Replayed(committed) => Ok(committed),
                Attempt::Swept => Err(CommitError::PackSwept),
                Attempt::Taken(conflict) => Err(CommitError::Taken(conflict)),
                Attempt::Repeated => Err(CommitError::Repeated),
                Attempt::SharedGone => Err(CommitError::SharedGone),
                Attempt::Full(full) => Err(CommitError::Full {
                    of: full.of,
                    limit_bytes: u64::try_from(full.limit_bytes).unwrap_or(0),
                    used_bytes: u64::try_from(full.used_bytes).unwrap_or(0),
                }),
                Attempt::Done(_) | Attempt::Missed => Err(CommitError::Contended),
            }
        }
    };
    fault::point("push.before_report");
    committed
}

/// Tries until there is an end. The outer error is one after which the bytes of the pack must stay where they are: the
/// change goes on, or nobody knows whether it is durable.
async fn attempts(
    engine: &Arc<Engine>,
    id: RepositoryId,
    mut prepared: Prepared,
    also: &impl Rows,
) -> Result<(Prepared, Result<Attempt, CommitError>), CommitError> {
    // Before there is anything to take back.
    let ids = row_ids(engine).await?;
    if let Err(error) = stage::put(engine, &mut prepared, SmallPacks::AtCommit).await {
        return Ok((prepared, Err(error)));
    }
    loop {
        let given = Given { repository: id, prepared: &prepared, ids: &ids };
        match transaction::attempt(engine, given, also).await {
            Ok(Attempt::Missed) => {}
            Err(error @ CommitError::Unknown(_)) => return Err(error),
            ended => return Ok((prepared, ended)),
        }
        REPEATED.inc();
        match renew(engine, id, &mut prepared).await {
            Ok(Renewed::Again) => {}
            Ok(Renewed::JudgeAgain { policy_version }) => {
                return Err(CommitError::PolicyChanged { prepared: Box::new(prepared), policy_version });
            }
            Err(error) => return Ok((prepared, Err(error))),
        }
    }
}

/// Answers without a transaction if there is nothing left to try.
fn refused_already(prepared: &mut Prepared) -> Option<Committed> {
    if prepared.intent.atomicity == Atomicity::Whole && !prepared.refusals.is_empty() {
        let rest = prepared.updates.drain(..).map(|update| (update.name, RefRefusal::Atomic));
        prepared.refusals.extend(rest);
    }
    let wants_head = prepared.intent.default_ref.is_some() && prepared.refusals.is_empty();
    let is_empty = prepared.updates.is_empty() && !wants_head && !prepared.makes_repository();
    is_empty.then(|| prepared.answers(BTreeMap::new(), None))
}

async fn row_ids(engine: &Engine) -> Result<RowIds, StoreError> {
    Ok(RowIds { event: engine.ids.next().await?, jobs: engine.ids.next_many(rows::N_JOBS).await? })
}

/// What follows when step 1 matched no row.
enum Renewed {
    /// What changed was proved again.
    Again,
    /// The rules changed, which is not ours to judge.
    JudgeAgain { policy_version: i64 },
}

/// Finds out why step 1 matched no row, and proves again what can be proved here.
async fn renew(
    engine: &Arc<Engine>,
    id: RepositoryId,
    prepared: &mut Prepared,
) -> Result<Renewed, CommitError> {
    prepared.n_attempts += 1;
    let row = repositories::find(&mut engine.db.read().await?, id).await?;
    let row = row.filter(|row| row.state != RepositoryState::Deleted).ok_or(CommitError::Absent(id))?;
    if ![RepositoryState::Active, prepared.state].contains(&row.state) {
        return Err(CommitError::Inactive { state: row.state });
    }
    if prepared.n_attempts >= MAX_ATTEMPTS {
        return Err(CommitError::Contended);
    }
    if row.prune_epoch != prepared.prune_epoch {
        // The directory must lose what was dropped before connectivity leans on it.
        engine.snapshots.forget(id);
        let state = engine.load(id, row.version).await.map_err(reading)?;
        prepared.connect_again(engine, id, &state).await.map_err(CommitError::Connect)?;
    }
    if row.policy_version != prepared.intent.policy_version {
        return Ok(Renewed::JudgeAgain { policy_version: row.policy_version });
    }
    Ok(Renewed::Again)
}

fn reading(error: OpenError) -> CommitError {
    CommitError::Connect(ConnectError::Cache(CacheError::Open(error)))
}

/// Makes this process see the change, and sends the cache directory after it.
fn follow(engine: &Arc<Engine>, id: RepositoryId, prepared: Prepared, done: Done) -> Committed {
    let Done { committed, version, moves } = done;
    let changes: Vec<RefChange> =
        moves.into_iter().map(|moved| change(moved.name, moved.new, moved.peeled)).collect();
    let Prepared { intent, staged, offered, prune_epoch, .. } = prepared;
    let default_ref = intent.default_ref;
    engine.snapshots.step(id, Step { version, changes: changes.clone(), default_ref: default_ref.clone() });
    let pack = staged.zip(offered).map(|(staged, offered)| (staged.id, offered));
    let needed = Needed { version, prune_epoch };
    engine.caches.advance(id, Advance { needed, changes, default_ref, pack });
    let following = engine.clone();
    // Owned by the engine's tasks; a failure leaves the directory behind, and its next user tries again.
    drop(engine.tasks.spawn("cache.follow", async move {
        if let Err(error) = Engine::cache(&following, id, needed).await {
            tracing::warn!(repository.id = id.get(), error = %error, "a cache directory did not follow a commit");
        }
    }));
    committed
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&COMMITTED, &REPEATED]
}
