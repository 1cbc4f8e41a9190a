//! Leases of the id server: who holds a worker id, and the fence below which its holder may issue.
//!
//! Two clocks meet here and never each other. A fence is a time of its *holder's* clock, because it bounds the ids that
//! this clock makes: it only rises while the lease is held, so a successor starts above everything issued before
//! whatever anybody's clock says. A time to live is measured by the *database's* clock, from the renewal to the question
//! whether it has passed, so holders whose clocks disagree cannot end each other's leases early. It decides only how
//! soon a dead holder's id is free again.
//!
//! A row says that its worker id was held once; there is no row for one that never was, and its fence is 0. Rows stay,
//! since a fence must outlive its holder.

use crate::clock::{clocked, now};
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::{StoreError, Tx};

/// Who asks for a worker id, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The worker id.
    pub worker_id: i64,
    /// What proves the lease from now on: 1 to 100 bytes, drawn anew for every call that is not a repetition.
    pub token: &'a str,
    /// How long the lease lasts without renewal, by the database's clock, in ms.
    pub ttl_ms: i64,
    /// Least fence wanted, by the holder's clock, in ms since 1970.
    pub fence_at: i64,
}

/// A lease as it stands after it was acquired or renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The fence that is durable now: its holder may issue below it.
    pub fence_at: i64,
    /// The fence that the holder found when it acquired the lease: it may issue from there on.
    pub found_at: i64,
    /// The database's clock.
    pub database_ms: i64,
}

/// What is known about a worker id that was held at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The worker id.
    pub worker_id: i64,
    /// Its fence.
    pub fence_at: i64,
    /// Whether somebody holds it now.
    pub is_held: bool,
}

/// Lists the worker ids from `least` to `most` that have ever been held.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(conn: &mut Conn, least: i64, most: i64) -> Result<Vec<Known>, StoreError> {
    const LIST: Sql = clocked!(
        "SELECT worker_id, fence_at, CASE WHEN expires_at > ",
        " THEN 1 ELSE 0 END FROM id_lease WHERE worker_id >= ? AND worker_id <= ? ORDER BY worker_id"
    );
    conn.list(&LIST, values![least, most], |row| {
        Ok(Known { worker_id: row.int(0)?, fence_at: row.int(1)?, is_held: row.flag(2)? })
    })
    .await
}

/// Takes a worker id that nobody holds and raises its fence; `None` when somebody holds it.
///
/// # Errors
/// Any [`StoreError`]. After [`StoreError::CommitUnknown`] the id may be taken under a token that nobody will renew; it
/// is free again after its time to live.
pub async fn acquire(tx: &mut Tx<'_>, asked: Asked<'_>) -> Result<Option<Held>, StoreError> {
    const KNOW: Sql = sql!(insert_absent
        "INSERT INTO id_lease (worker_id, token, expires_at, fence_at, found_at) VALUES (?, '', 0, 0, 0)");
    // MySQL assigns from left to right and reads what it has just assigned: `found_at` comes first.
    macro_rules! take {
        ($now:expr) => {
            concat!(
                "UPDATE id_lease SET found_at = fence_at, token = ?, \
                 fence_at = CASE WHEN fence_at < ? THEN ? ELSE fence_at END, expires_at = ",
                $now,
                " + ? WHERE worker_id = ? AND expires_at <= ",
                $now
            )
        };
    }
    const TAKE: Sql = sql!(
        sqlite: take!(now!(sqlite)),
        postgres: take!(now!(postgres)),
        mysql: take!(now!(mysql))
    );
    let Asked { worker_id, token, ttl_ms, fence_at } = asked;
    let taking = values![token, fence_at, fence_at, ttl_ms, worker_id];
    if !tx.execute_one(&TAKE, taking).await? {
        // Either somebody holds it, or nobody ever has.
        if !tx.insert_absent(&KNOW, values![worker_id]).await? || !tx.execute_one(&TAKE, taking).await? {
            return Ok(None);
        }
    }
    held(tx, worker_id, token).await
}

/// Renews a lease and raises its fence; `None` when it is somebody else's by now, and then nothing is changed.
///
/// `asked.token` takes the place of `current`. A repetition of a renewal whose answer was lost names both again and
/// finds the new one in place. A lease whose time has passed is renewed too if nobody has taken it: the token tells.
///
/// # Errors
/// Any [`StoreError`].
pub async fn renew(tx: &mut Tx<'_>, current: &str, asked: Asked<'_>) -> Result<Option<Held>, StoreError> {
    const RENEW: Sql = clocked!(
        "UPDATE id_lease SET token = ?, fence_at = CASE WHEN fence_at < ? THEN ? ELSE fence_at END, expires_at = ",
        " + ? WHERE worker_id = ? AND token IN (?, ?)"
    );
    let Asked { worker_id, token, ttl_ms, fence_at } = asked;
    let renewing = values![token, fence_at, fence_at, ttl_ms, worker_id, current, token];
    if !tx.execute_one(&RENEW, renewing).await? {
        return Ok(None);
    }
    held(tx, worker_id, token).await
}

/// Gives a worker id back and lowers its fence to `next_at`, from where on nothing was issued; false when it is
/// somebody else's by now. `tokens` are the current one and that of a renewal whose answer was lost.
///
/// # Errors
/// Any [`StoreError`].
pub async fn release(
    conn: &mut Conn,
    worker_id: i64,
    tokens: [&str; 2],
    next_at: i64,
) -> Result<bool, StoreError> {
    const RELEASE: Sql = sql!(
        "UPDATE id_lease SET token = '', expires_at = 0, fence_at = ? WHERE worker_id = ? AND token IN (?, ?)"
    );
    conn.execute_one(&RELEASE, values![next_at, worker_id, tokens[0], tokens[1]]).await
}

async fn held(conn: &mut Conn, worker_id: i64, token: &str) -> Result<Option<Held>, StoreError> {
    const HELD: Sql =
        clocked!("SELECT fence_at, found_at, ", " FROM id_lease WHERE worker_id = ? AND token = ?");
    conn.find(&HELD, values![worker_id, token], |row| {
        Ok(Held { fence_at: row.int(0)?, found_at: row.int(1)?, database_ms: row.int(2)? })
    })
    .await
}
