//! What workers do with jobs that they have claimed. A claim that lapsed counts for nothing: every act names its claim.

use hakata_names::JobId;

use super::{Job, columns, read};
use crate::StoreError;
use crate::clock::{clocked, clocked_many};
use crate::conn::Conn;
use crate::sql::{Sql, chunks, sql};
use crate::value::{Value, values};

/// One claim of one job: an old one never passes for a new one, not even of the same worker.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The job.
    pub id: JobId,
    /// Who claimed it.
    pub by: &'a str,
    /// [`Job::attempts`] as the claim told it.
    pub attempt: i64,
}

/// Finishes a job; false when the claim has lapsed and somebody else may have it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn finish(conn: &mut Conn, held: Held<'_>, now: i64) -> Result<bool, StoreError> {
    const FINISH: Sql = sql!(
        "UPDATE job SET state = 'done', finished_at = ?, claimed_by = NULL, claimed_until = NULL \
         WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?"
    );
    conn.execute_one(&FINISH, values![now, held.id, held.by, held.attempt]).await
}

/// How a job waits for its next attempt.
#[derive(Clone, Copy, Debug)]
pub struct Retry<'a> {
    /// Not before, in ms.
    pub run_at: i64,
    /// How long that is from now, in ms.
    pub pause_ms: i64,
    /// Until when those behind it in its lane wait for it; the first failure's word counts. In ms.
    pub hold_until: i64,
    /// Why.
    pub error: &'a str,
}

/// Puts a claimed job back for another attempt.
///
/// # Errors
/// Any [`StoreError`].
pub async fn retry(conn: &mut Conn, held: Held<'_>, retry: Retry<'_>) -> Result<bool, StoreError> {
    const RETRY: Sql = clocked!(
        "UPDATE job SET state = 'waiting', run_at = ?, held_until = COALESCE(held_until, ?), last_error = ?, relay_at = ",
        " + ?, claimed_by = NULL, claimed_until = NULL \
         WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?"
    );
    let Retry { run_at, pause_ms, hold_until, error } = retry;
    let values = values![run_at, hold_until, error, pause_ms, held.id, held.by, held.attempt];
    conn.execute_one(&RETRY, values).await
}

/// Gives a claimed job up; it stays for a person to look at.
///
/// # Errors
/// Any [`StoreError`].
pub async fn bury(conn: &mut Conn, held: Held<'_>, now: i64, error: &str) -> Result<bool, StoreError> {
    const BURY: Sql = sql!(
        "UPDATE job SET state = 'buried', finished_at = ?, last_error = ?, claimed_by = NULL, claimed_until = NULL \
         WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?"
    );
    conn.execute_one(&BURY, values![now, error, held.id, held.by, held.attempt]).await
}

/// Puts back all that a worker has claimed and not ended, as if it had never been claimed: the worker stops.
///
/// # Errors
/// Any [`StoreError`].
pub async fn give_back(conn: &mut Conn, by: &str) -> Result<u64, StoreError> {
    const GIVE_BACK: Sql = clocked!(
        "UPDATE job SET state = 'waiting', attempts = attempts - 1, relay_at = ",
        ", claimed_by = NULL, claimed_until = NULL WHERE state = 'claimed' AND claimed_by = ?"
    );
    conn.execute(&GIVE_BACK, values![by]).await
}

/// Keeps claims of a worker alive for so long from now on, by the database's clock: those that it names, so that one
/// whose COMMIT got no answer lapses.
///
/// # Errors
/// Any [`StoreError`].
pub async fn renew(conn: &mut Conn, by: &str, ids: &[JobId], lease_ms: i64) -> Result<u64, StoreError> {
    let renew = clocked_many!(
        conn.engine(),
        "UPDATE job SET claimed_until = ",
        " + ? WHERE state = 'claimed' AND claimed_by = ? AND id IN (",
        ")"
    );
    let mut n_renewed = 0;
    for ids in chunks(ids) {
        let mut values = vec![Value::from(lease_ms), Value::from(by)];
        values.extend(ids.iter().map(|id| Value::from(*id)));
        n_renewed += conn.execute_many(&renew, ids.len(), &values).await?;
    }
    Ok(n_renewed)
}

/// Lists what a worker has claimed.
///
/// # Errors
/// Any [`StoreError`].
pub async fn held_by(conn: &mut Conn, by: &str) -> Result<Vec<Job>, StoreError> {
    const LIST: Sql = sql!(concat!(columns!(), "WHERE state = 'claimed' AND claimed_by = ? ORDER BY id"));
    conn.list(&LIST, values![by], read).await
}

/// How many claims lapsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lapsed {
    /// Jobs that wait again.
    pub released: u64,
    /// Jobs that had their last attempt.
    pub buried: u64,
}

/// Puts back jobs of a kind whose claim has lapsed by the database's clock, since their worker died, and buries those
/// that had so many attempts: they may be what it died of.
///
/// # Errors
/// Any [`StoreError`].
pub async fn release_lapsed(
    conn: &mut Conn,
    kind: &str,
    attempts: i64,
    hold_until: i64,
    now: i64,
) -> Result<Lapsed, StoreError> {
    const BURY: Sql = clocked!(
        "UPDATE job SET state = 'buried', finished_at = ?, last_error = 'its worker went away', claimed_by = NULL, \
         claimed_until = NULL WHERE state = 'claimed' AND claimed_until < ",
        " AND kind = ? AND attempts >= ?"
    );
    const RELEASE: Sql = clocked!(
        "UPDATE job SET state = 'waiting', held_until = COALESCE(held_until, ?), last_error = 'its worker went away', \
         relay_at = claimed_until, claimed_by = NULL, claimed_until = NULL \
         WHERE state = 'claimed' AND claimed_until < ",
        " AND kind = ?"
    );
    let buried = conn.execute(&BURY, values![now, kind, attempts]).await?;
    let released = conn.execute(&RELEASE, values![hold_until, kind]).await?;
    if released > 0 {
        conn.signal_job(kind);
    }
    Ok(Lapsed { released, buried })
}
