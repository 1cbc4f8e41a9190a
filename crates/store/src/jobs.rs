//! Jobs: work that a transaction causes, written in it; claimed, finished, retried or buried by workers.

mod claim;
mod held;
mod queue;
mod relay;
pub(crate) mod signal;

use hakata_names::{EventId, JobId, RepositoryId};

pub use claim::{Claim, Limits, Told, Wanted, claim, claim_told};
pub use held::{Held, Lapsed, Retry, bury, finish, give_back, held_by, release_lapsed, renew, retry};
pub use queue::{
    KindCount, count, due_kinds, list, next_due, pause, paused, prune, purge, resume, standing, wait_anew,
};
pub use relay::{Unrelayed, defer_relay, passed_kinds, relay_lag, take_unrelayed};
pub use signal::{JobListener, Signal};

use crate::StoreError;
use crate::clock::clocked;
use crate::conn::Conn;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::JobState;

/// A job to be enqueued; start from [`NewJob::new`].
#[derive(Clone, Debug)]
pub struct NewJob<'a> {
    /// From the allocator.
    pub id: JobId,
    /// Which worker can do it.
    pub kind: &'a str,
    /// The repository it is about.
    pub repository: Option<RepositoryId>,
    /// The event it carries.
    pub event: Option<EventId>,
    /// Not enqueued while a waiting job has the same; up to 200 bytes.
    pub dedupe: Option<&'a str>,
    /// Where its turn comes after those before it.
    pub lane: Option<Lane<'a>>,
    /// What few jobs at once may ask, such as a host; up to 255 bytes.
    pub target: Option<&'a str>,
    /// The rest, as JSON.
    pub payload: &'a str,
    /// Lower goes first; −100 to 100.
    pub priority: i8,
    /// Not before, in ms.
    pub run_at: i64,
    /// Now, in ms.
    pub created_at: i64,
}

/// A place in a lane: jobs of one kind and lane run one after the other, until one fails for too long.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'a> {
    /// Up to 200 bytes.
    pub name: &'a str,
    /// Lower goes first; of equal ones the lower id.
    pub sequence: i64,
}

impl<'a> NewJob<'a> {
    /// Makes a job that is about nothing and may run at once.
    pub const fn new(id: JobId, kind: &'a str, now: i64) -> Self {
        Self {
            id,
            kind,
            repository: None,
            event: None,
            dedupe: None,
            lane: None,
            target: None,
            payload: "{}",
            priority: 0,
            run_at: now,
            created_at: now,
        }
    }
}

/// A job as its row tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Which worker can do it.
    pub kind: String,
    /// Where it is in its life.
    pub state: JobState,
    /// The repository it is about.
    pub repository: Option<RepositoryId>,
    /// The event it carries.
    pub event: Option<EventId>,
    /// The rest, as JSON.
    pub payload: String,
    /// Not before, in ms.
    pub run_at: i64,
    /// How often it was claimed.
    pub attempts: i64,
    /// Who has it.
    pub claimed_by: Option<String>,
    /// Until when, in ms by the database's clock.
    pub claimed_until: Option<i64>,
    /// When it was enqueued, in ms.
    pub created_at: i64,
    /// When it was finished or buried, in ms.
    pub finished_at: Option<i64>,
    /// What the last attempt said.
    pub last_error: Option<String>,
    /// The lane it runs in.
    pub lane: Option<String>,
    /// Its place there.
    pub sequence: Option<i64>,
    /// What few jobs at once may ask.
    pub target: Option<String>,
}

/// The columns of [`read`].
macro_rules! columns {
    () => {
        "SELECT id, kind, state, repository_id, event_id, payload, run_at, attempts, claimed_by, claimed_until, \
         created_at, finished_at, last_error, lane, sequence, target FROM job "
    };
}
use columns;

fn read(row: &Row) -> Result<Job, StoreError> {
    Ok(Job {
        id: row.id(0)?,
        kind: row.text(1)?,
        state: row.parsed(2, JobState::parse)?,
        repository: row.opt_id(3)?,
        event: row.opt_id(4)?,
        payload: row.text(5)?,
        run_at: row.int(6)?,
        attempts: row.int(7)?,
        claimed_by: row.opt_text(8)?,
        claimed_until: row.opt_int(9)?,
        created_at: row.int(10)?,
        finished_at: row.opt_int(11)?,
        last_error: row.opt_text(12)?,
        lane: row.opt_text(13)?,
        sequence: row.opt_int(14)?,
        target: row.opt_text(15)?,
    })
}

/// Enqueues a job; false when a waiting one with the same `dedupe` will do its work. Workers of this process hear of it
/// when it is committed.
///
/// # Errors
/// Any [`StoreError`].
pub async fn enqueue(conn: &mut Conn, new: &NewJob<'_>) -> Result<bool, StoreError> {
    const ENQUEUE: Sql = clocked!(insert_absent
        "INSERT INTO job (id, kind, state, repository_id, event_id, dedupe, payload, priority, run_at, attempts, \
         created_at, lane, sequence, target, relay_at) VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ",
        " + ?)");
    let values = values![
        new.id,
        new.kind,
        new.repository,
        new.event,
        new.dedupe,
        new.payload,
        i64::from(new.priority),
        new.run_at,
        new.created_at,
        new.lane.map(|lane| lane.name),
        new.lane.map(|lane| lane.sequence),
        new.target,
        new.run_at.saturating_sub(new.created_at).max(0),
    ];
    let is_enqueued = conn.insert_absent(&ENQUEUE, values).await?;
    if is_enqueued {
        conn.signal_job(new.kind);
    }
    Ok(is_enqueued)
}

/// Finds a job by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: JobId) -> Result<Option<Job>, StoreError> {
    const FIND: Sql = sql!(concat!(columns!(), "WHERE id = ?"));
    conn.find(&FIND, values![id], read).await
}
