//! Questions about the queue as a whole, and what an administrator does with it.

use hakata_names::{JobId, RepositoryId};

use super::{Job, columns, read};
use crate::StoreError;
use crate::clock::clocked;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::JobState;

/// Lists jobs in one state by id, of one kind or all.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    state: JobState,
    kind: Option<&str>,
    after: Option<JobId>,
    size: PageSize,
) -> Result<Page<Job, JobId>, StoreError> {
    const LIST: Sql = sql!(concat!(columns!(), "WHERE state = ? AND id > ? ORDER BY id LIMIT ?"));
    const OF_KIND: Sql =
        sql!(concat!(columns!(), "WHERE state = ? AND kind = ? AND id > ? ORDER BY id LIMIT ?"));
    let after = after.map_or(0, JobId::get);
    let rows = match kind {
        None => conn.list(&LIST, values![state, after, size.limit()], read).await?,
        Some(kind) => conn.list(&OF_KIND, values![state, kind, after, size.limit()], read).await?,
    };
    Ok(Page::cut(rows, size, |job| job.id))
}

/// How many jobs of a kind are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindCount {
    /// The kind.
    pub kind: String,
    /// The state; never `Done`.
    pub state: JobState,
    /// How many.
    pub n_jobs: i64,
    /// The earliest time from which one of them might have run, in ms.
    pub oldest: i64,
}

/// Counts the jobs that are not done, by kind and state.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn) -> Result<Vec<KindCount>, StoreError> {
    const COUNT: Sql = sql!(
        "SELECT kind, state, COUNT(*), MIN(run_at) FROM job WHERE state IN ('waiting', 'claimed', 'buried') \
         GROUP BY kind, state"
    );
    conn.list(&COUNT, &[], |row| {
        let state = row.parsed(1, JobState::parse)?;
        Ok(KindCount { kind: row.text(0)?, state, n_jobs: row.int(2)?, oldest: row.int(3)? })
    })
    .await
}

/// Lists the kinds of which a job's time has come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn due_kinds(conn: &mut Conn, now: i64) -> Result<Vec<String>, StoreError> {
    const DUE: Sql = sql!("SELECT DISTINCT kind FROM job WHERE state = 'waiting' AND run_at <= ?");
    conn.list(&DUE, values![now], |row| row.text(0)).await
}

/// Finds when the next job of a kind may run whose time has not come yet.
///
/// # Errors
/// Any [`StoreError`].
pub async fn next_due(conn: &mut Conn, kind: &str, now: i64) -> Result<Option<i64>, StoreError> {
    const NEXT: Sql = sql!("SELECT MIN(run_at) FROM job WHERE kind = ? AND state = 'waiting' AND run_at > ?");
    Ok(conn.find(&NEXT, values![kind, now], |row| row.opt_int(0)).await?.flatten())
}

/// Forgets jobs finished before a time.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, before_ms: i64) -> Result<u64, StoreError> {
    const PRUNE: Sql = sql!("DELETE FROM job WHERE state = 'done' AND finished_at < ?");
    conn.execute(&PRUNE, values![before_ms]).await
}

/// Lets a buried or waiting job run as soon as it can, with all its attempts before it; false when it is neither.
///
/// # Errors
/// Any [`StoreError`].
pub async fn wait_anew(conn: &mut Conn, job: &Job, now: i64) -> Result<bool, StoreError> {
    const WAIT: Sql = clocked!(
        "UPDATE job SET state = 'waiting', attempts = 0, run_at = ?, finished_at = NULL, held_until = NULL, relay_at = ",
        " WHERE id = ? AND state IN ('buried', 'waiting')"
    );
    let is_waiting = conn.execute_one(&WAIT, values![now, job.id]).await?;
    if is_waiting {
        conn.signal_job(&job.kind);
    }
    Ok(is_waiting)
}

/// Lists the jobs of a kind about a repository that are waiting or buried and have this payload, by id: those that do the
/// same work.
///
/// # Errors
/// Any [`StoreError`].
pub async fn standing(
    conn: &mut Conn,
    kind: &str,
    repository: RepositoryId,
    payload: &str,
) -> Result<Vec<Job>, StoreError> {
    const LIST: Sql = sql!(concat!(
        columns!(),
        "WHERE kind = ? AND state IN ('waiting', 'buried') AND repository_id = ? AND payload = ? ORDER BY id"
    ));
    conn.list(&LIST, values![kind, repository, payload], read).await
}

/// Deletes a job that no worker has; false when it is gone or claimed.
///
/// # Errors
/// Any [`StoreError`].
pub async fn purge(conn: &mut Conn, id: JobId) -> Result<bool, StoreError> {
    const PURGE: Sql = sql!("DELETE FROM job WHERE id = ? AND state <> 'claimed'");
    conn.execute_one(&PURGE, values![id]).await
}

/// Lets nobody claim jobs of a kind from now on; false when it is paused already.
///
/// # Errors
/// Any [`StoreError`].
pub async fn pause(conn: &mut Conn, kind: &str, now: i64) -> Result<bool, StoreError> {
    const START: Sql = sql!(insert_absent "INSERT INTO job_kind (kind, paused_at) VALUES (?, ?)");
    const PAUSE: Sql = sql!("UPDATE job_kind SET paused_at = ? WHERE kind = ? AND paused_at IS NULL");
    Ok(conn.insert_absent(&START, values![kind, now]).await?
        || conn.execute_one(&PAUSE, values![now, kind]).await?)
}

/// Takes [`pause`] back; false when the kind is not paused.
///
/// # Errors
/// Any [`StoreError`].
pub async fn resume(conn: &mut Conn, kind: &str) -> Result<bool, StoreError> {
    const RESUME: Sql = sql!("UPDATE job_kind SET paused_at = NULL WHERE kind = ? AND paused_at IS NOT NULL");
    let is_resumed = conn.execute_one(&RESUME, values![kind]).await?;
    if is_resumed {
        conn.signal_job(kind);
    }
    Ok(is_resumed)
}

/// Lists the kinds that are paused.
///
/// # Errors
/// Any [`StoreError`].
pub async fn paused(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    const PAUSED: Sql = sql!("SELECT kind FROM job_kind WHERE paused_at IS NOT NULL ORDER BY kind");
    conn.list(&PAUSED, &[], |row| row.text(0)).await
}
