//! What workers do with jobs. A claim that lapsed counts for nothing: every act names its claim.

use hakata_names::JobId;

use super::{Job, read};
use crate::conn::Conn;
use crate::sql::{ManySql, Sql, sql};
use crate::value::{Value, values};
use crate::{StoreError, Tx};

/// Who claims, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Node and worker; unique among the living.
    pub by: &'a str,
    /// When the claim lapses unless renewed, in ms.
    pub until: i64,
}

/// Claims up to `limit` jobs whose time has come, by priority and time. Workers pass over rows that others are just
/// claiming instead of waiting for them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn claim(tx: &mut Tx<'_>, claim: Claim<'_>, now: i64, limit: u8) -> Result<Vec<Job>, StoreError> {
    macro_rules! next {
        ($tail:literal) => {
            concat!(
                "SELECT id FROM job WHERE state = 'waiting' AND run_at <= ? \
                 ORDER BY priority, run_at, id LIMIT ?",
                $tail
            )
        };
    }
    const NEXT: Sql = sql!(
        sqlite: next!(""),
        postgres: next!(" FOR UPDATE SKIP LOCKED"),
        mysql: next!(" FOR UPDATE SKIP LOCKED")
    );
    // The dedupe goes: from now on the same work must be enqueued anew.
    const TAKE: ManySql = ManySql {
        head: "UPDATE job SET state = 'claimed', dedupe = NULL, attempts = attempts + 1, claimed_by = ?, \
               claimed_until = ? WHERE state = 'waiting' AND id IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    const READ: ManySql = ManySql {
        head: "SELECT id, kind, state, repository_id, event_id, payload, run_at, attempts, claimed_by, claimed_until, \
               created_at, finished_at, last_error FROM job WHERE id IN (",
        row: "?",
        between: ", ",
        tail: ") ORDER BY priority, run_at, id",
        again: None,
    };
    let ids: Vec<i64> = tx.list(&NEXT, values![now, i64::from(limit)], |row| row.int(0)).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Value<'_>> = ids.into_iter().map(Value::from).collect();
    let mut taking = vec![Value::from(claim.by), Value::from(claim.until)];
    taking.extend(&ids);
    if tx.execute_many(&TAKE, ids.len(), &taking).await? != u64::try_from(ids.len()).unwrap_or(u64::MAX) {
        return Err(StoreError::Unlocked { table: "job" });
    }
    tx.list_many(&READ, ids.len(), &ids, read).await
}

/// Finishes a job; false when the claim has lapsed and somebody else has it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn finish(conn: &mut Conn, id: JobId, by: &str, now: i64) -> Result<bool, StoreError> {
    const FINISH: Sql = sql!(
        "UPDATE job SET state = 'done', finished_at = ?, claimed_by = NULL, claimed_until = NULL \
         WHERE id = ? AND state = 'claimed' AND claimed_by = ?"
    );
    conn.execute_one(&FINISH, values![now, id, by]).await
}

/// Puts a claimed job back, not to run before `run_at`.
///
/// # Errors
/// Any [`StoreError`].
pub async fn retry(
    conn: &mut Conn,
    id: JobId,
    by: &str,
    run_at: i64,
    error: &str,
) -> Result<bool, StoreError> {
    const RETRY: Sql = sql!(
        "UPDATE job SET state = 'waiting', run_at = ?, last_error = ?, claimed_by = NULL, claimed_until = NULL \
         WHERE id = ? AND state = 'claimed' AND claimed_by = ?"
    );
    conn.execute_one(&RETRY, values![run_at, error, id, by]).await
}

/// Gives a claimed job up; it stays for a person to look at.
///
/// # Errors
/// Any [`StoreError`].
pub async fn bury(conn: &mut Conn, id: JobId, by: &str, now: i64, error: &str) -> Result<bool, StoreError> {
    const BURY: Sql = sql!(
        "UPDATE job SET state = 'buried', finished_at = ?, last_error = ?, claimed_by = NULL, claimed_until = NULL \
         WHERE id = ? AND state = 'claimed' AND claimed_by = ?"
    );
    conn.execute_one(&BURY, values![now, error, id, by]).await
}

/// Keeps a claim alive; false when it has lapsed and was taken away.
///
/// # Errors
/// Any [`StoreError`].
pub async fn renew(conn: &mut Conn, id: JobId, claim: Claim<'_>) -> Result<bool, StoreError> {
    const RENEW: Sql =
        sql!("UPDATE job SET claimed_until = ? WHERE id = ? AND state = 'claimed' AND claimed_by = ?");
    conn.execute_one(&RENEW, values![claim.until, id, claim.by]).await
}

/// Puts back jobs whose claim has lapsed: their worker died.
///
/// # Errors
/// Any [`StoreError`].
pub async fn release_lapsed(conn: &mut Conn, now: i64) -> Result<u64, StoreError> {
    const RELEASE: Sql = sql!(
        "UPDATE job SET state = 'waiting', claimed_by = NULL, claimed_until = NULL \
         WHERE state = 'claimed' AND claimed_until < ?"
    );
    conn.execute(&RELEASE, values![now]).await
}
