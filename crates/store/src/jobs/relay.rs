//! How jobs get to a message broker: a relay takes those that are to be named, names them, and says when each is to be
//! named again unless somebody has claimed it by then. Whatever a relay or the broker loses is named again in its time.

use hakata_names::JobId;

use crate::clock::{self, clocked_many};
use crate::conn::Conn;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};
use crate::{StoreError, Tx};

/// A job whose message nobody has sent yet, or that nobody has claimed for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrelayed {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
}

/// Takes jobs to name to the broker, those first that wait the longest. No other relay takes them for so long, in ms; the
/// answer is until when that is, by which [`defer_relay`] knows them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn take_unrelayed(
    tx: &mut Tx<'_>,
    now: i64,
    lasting_ms: i64,
    most: i64,
) -> Result<(Vec<Unrelayed>, i64), StoreError> {
    macro_rules! next {
        ($lock:literal) => {
            concat!(
                "SELECT id, kind FROM job WHERE state = 'waiting' AND relay_at <= ? AND run_at <= ? \
                 ORDER BY relay_at LIMIT ?",
                $lock
            )
        };
    }
    const NEXT: Sql = sql!(
        sqlite: next!(""),
        postgres: next!(" FOR UPDATE SKIP LOCKED"),
        mysql: next!(" FOR UPDATE SKIP LOCKED")
    );
    let at = clock::read(tx).await?;
    let until = at.saturating_add(lasting_ms);
    let read = |row: &crate::row::Row| Ok(Unrelayed { id: row.id(0)?, kind: row.text(1)? });
    let taken = tx.list(&NEXT, values![at, now, most], read).await?;
    let ids: Vec<JobId> = taken.iter().map(|job| job.id).collect();
    const TAKE: ManySql = among("UPDATE job SET relay_at = ? WHERE id IN (");
    update(tx, &TAKE, &[Value::from(until)], &ids).await?;
    Ok((taken, until))
}

/// Says that jobs which a relay took until `until` are to be named again after so long, in ms; those that were claimed
/// since, or named when they could not be claimed, are left as they are.
///
/// # Errors
/// Any [`StoreError`].
pub async fn defer_relay(
    conn: &mut Conn,
    ids: &[JobId],
    until: i64,
    after_ms: i64,
) -> Result<u64, StoreError> {
    let defer = clocked_many!(
        conn.engine(),
        "UPDATE job SET relay_at = ",
        " + ? WHERE state = 'waiting' AND relay_at = ? AND id IN (",
        ")"
    );
    update(conn, &defer, values![after_ms, until], ids).await
}

/// Notes that jobs were named in vain, those that wait and whose time has come; no relay names them again.
pub(super) async fn pass(conn: &mut Conn, kind: &str, now: i64, ids: &[JobId]) -> Result<u64, StoreError> {
    const PASS: ManySql = among(
        "UPDATE job SET relay_at = 9223372036854775807 WHERE state = 'waiting' AND kind = ? AND run_at <= ? AND id IN (",
    );
    update(conn, &PASS, values![kind, now], ids).await
}

/// Lists the kinds of which jobs were named in vain, and their time has come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn passed_kinds(conn: &mut Conn, now: i64) -> Result<Vec<String>, StoreError> {
    const PASSED: Sql = sql!(
        "SELECT DISTINCT kind FROM job WHERE state = 'waiting' AND relay_at = 9223372036854775807 AND run_at <= ?"
    );
    conn.list(&PASSED, values![now], |row| row.text(0)).await
}

/// Finds how long a job has been to be named and is not, in ms.
///
/// # Errors
/// Any [`StoreError`].
pub async fn relay_lag(conn: &mut Conn, now: i64) -> Result<Option<i64>, StoreError> {
    const DUE: Sql = sql!(
        "SELECT MIN(CASE WHEN relay_at > run_at THEN relay_at ELSE run_at END) FROM job \
         WHERE state = 'waiting' AND relay_at <= ? AND run_at <= ?"
    );
    let at = clock::read(conn).await?;
    let since = conn.find(&DUE, values![at, now], |row| row.opt_int(0)).await?.flatten();
    Ok(since.map(|since| at.saturating_sub(since).max(0)))
}

const fn among(head: &'static str) -> ManySql {
    ManySql { head, row: "?", between: ", ", tail: ")", again: None }
}

async fn update(
    conn: &mut Conn,
    many: &ManySql,
    first: &[Value<'_>],
    ids: &[JobId],
) -> Result<u64, StoreError> {
    let mut n_rows = 0;
    for ids in chunks(ids) {
        let mut values = first.to_vec();
        values.extend(ids.iter().map(|id| Value::from(*id)));
        n_rows += conn.execute_many(many, ids.len(), &values).await?;
    }
    Ok(n_rows)
}
