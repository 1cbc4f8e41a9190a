//! Jobs: work that a transaction causes, written in it; claimed, finished, retried or buried by workers.

mod claim;

use hakata_names::{EventId, JobId, RepositoryId};

pub use claim::{Claim, bury, claim, finish, release_lapsed, renew, retry};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::JobState;

/// A job to be enqueued.
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
    /// The rest, as JSON.
    pub payload: &'a str,
    /// Lower goes first; −100 to 100.
    pub priority: i8,
    /// Not before, in ms.
    pub run_at: i64,
    /// Now, in ms.
    pub created_at: i64,
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
    /// Until when, in ms.
    pub claimed_until: Option<i64>,
    /// When it was enqueued, in ms.
    pub created_at: i64,
    /// When it was finished or buried, in ms.
    pub finished_at: Option<i64>,
    /// What the last attempt said.
    pub last_error: Option<String>,
}

/// The columns of [`read`].
macro_rules! job {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT id, kind, state, repository_id, event_id, payload, run_at, attempts, claimed_by, claimed_until, ",
            "created_at, finished_at, last_error FROM job ", $tail
        ))
    };
}

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
    })
}

/// Enqueues a job; false when a waiting one with the same `dedupe` will do its work.
///
/// # Errors
/// Any [`StoreError`].
pub async fn enqueue(conn: &mut Conn, new: &NewJob<'_>) -> Result<bool, StoreError> {
    const ENQUEUE: Sql = sql!(insert_absent
        "INSERT INTO job (id, kind, state, repository_id, event_id, dedupe, payload, priority, run_at, attempts, \
         created_at) VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, ?, 0, ?)");
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
    ];
    conn.insert_absent(&ENQUEUE, values).await
}

/// Finds a job by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: JobId) -> Result<Option<Job>, StoreError> {
    const FIND: Sql = job!("WHERE id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Lists jobs in one state by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    state: JobState,
    after: Option<JobId>,
    size: PageSize,
) -> Result<Page<Job, JobId>, StoreError> {
    const LIST: Sql = job!("WHERE state = ? AND id > ? ORDER BY id LIMIT ?");
    let after = after.map_or(0, JobId::get);
    let rows = conn.list(&LIST, values![state, after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |job| job.id))
}

/// Counts jobs by kind and state; for the gauges.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn) -> Result<Vec<(String, JobState, i64)>, StoreError> {
    const COUNT: Sql = sql!("SELECT kind, state, COUNT(*) FROM job GROUP BY kind, state");
    conn.list(&COUNT, &[], |row| Ok((row.text(0)?, row.parsed(1, JobState::parse)?, row.int(2)?))).await
}

/// Forgets jobs finished before a time.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, before_ms: i64) -> Result<u64, StoreError> {
    const PRUNE: Sql = sql!("DELETE FROM job WHERE state = 'done' AND finished_at < ?");
    conn.execute(&PRUNE, values![before_ms]).await
}
