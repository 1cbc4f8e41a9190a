//! Bytes of objects that are read again now and then: which are next, which were bad, and how bad ones are replaced.

use hakata_names::LfsObjectId;

use super::{LfsObject, make_live, object, read};
use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;

/// A bad object, and one of the repositories that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadObject {
    /// The object.
    pub object: LfsObject,
    /// The repository, as `owner/name`.
    pub path: String,
}

/// Lists live objects by id, that were checked before a time.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_unchecked(
    conn: &mut Conn,
    checked_before: i64,
    after: Option<LfsObjectId>,
    size: PageSize,
) -> Result<Vec<LfsObject>, StoreError> {
    const LIST: Sql =
        object!("WHERE o.state = 'live' AND o.checked_at < ? AND o.id > ? ORDER BY o.id LIMIT ?");
    let after = after.map_or(0, LfsObjectId::get);
    conn.list(&LIST, values![checked_before, after, size.limit()], read).await
}

/// Counts the live objects that were checked before a time, and adds up their sizes.
///
/// # Errors
/// Any [`StoreError`].
pub async fn unchecked(conn: &mut Conn, checked_before: i64) -> Result<(i64, i64), StoreError> {
    macro_rules! count {
        ($sum:literal) => {
            concat!("SELECT COUNT(*), ", $sum, " FROM lfs_object WHERE state = 'live' AND checked_at < ?")
        };
    }
    const COUNT: Sql = sql!(
        sqlite: count!("COALESCE(SUM(size_bytes), 0)"),
        postgres: count!("CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT)"),
        mysql: count!("CAST(COALESCE(SUM(size_bytes), 0) AS SIGNED)")
    );
    let found = conn.find(&COUNT, values![checked_before], |row| Ok((row.int(0)?, row.int(1)?))).await?;
    Ok(found.unwrap_or_default())
}

/// Notes that the bytes of a live object are what they should be, also if they were not before.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_good(conn: &mut Conn, id: LfsObjectId, now: i64) -> Result<bool, StoreError> {
    const NOTE: Sql =
        sql!("UPDATE lfs_object SET checked_at = ?, bad_at = NULL WHERE id = ? AND state = 'live'");
    conn.execute_one(&NOTE, values![now, id]).await
}

/// Notes that the bytes of a live object are others, or gone: it is not given out, and the next who has it sends it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_bad(conn: &mut Conn, id: LfsObjectId, now: i64) -> Result<bool, StoreError> {
    const NOTE: Sql = sql!(
        "UPDATE lfs_object SET checked_at = ?, bad_at = COALESCE(bad_at, ?) WHERE id = ? AND state = 'live'"
    );
    conn.execute_one(&NOTE, values![now, now, id]).await
}

/// Lists bad objects with the repositories that have them, by object.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_bad(conn: &mut Conn, size: PageSize) -> Result<Vec<BadObject>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT o.id, o.oid, o.size_bytes, o.state, o.created_at, o.bad_at, w.name, r.name FROM lfs_object o \
         JOIN repository_lfs_object l ON l.object_id = o.id JOIN repository r ON r.id = l.repository_id \
         JOIN owner w ON w.id = r.owner_id WHERE o.state = 'live' AND o.bad_at IS NOT NULL \
         AND r.state <> 'deleted' ORDER BY o.id, r.id LIMIT ?"
    );
    let read =
        |row: &Row| Ok(BadObject { object: read(row)?, path: format!("{}/{}", row.text(6)?, row.text(7)?) });
    conn.list(&LIST, values![size.limit() - 1], read).await
}

/// Puts a staged object in the place of a bad one of the same oid, in every repository that has it. The bad bytes may go
/// after `delete_after`. Run it in a transaction, with the row of the bad one [locked](super::lock_live), and take that
/// back if this is false: the sweeper was faster with the staged one.
///
/// # Errors
/// Any [`StoreError`].
pub async fn replace_bad(
    conn: &mut Conn,
    bad: LfsObjectId,
    with: LfsObjectId,
    delete_after: i64,
) -> Result<bool, StoreError> {
    // The oid is free for the new one only when the old one gives it up.
    const KILL: Sql = sql!(
        "UPDATE lfs_object SET state = 'dead', live_oid = NULL, delete_after = ? \
         WHERE id = ? AND state = 'live' AND bad_at IS NOT NULL"
    );
    const RELINK: Sql = sql!("UPDATE repository_lfs_object SET object_id = ? WHERE object_id = ?");
    if !conn.execute_one(&KILL, values![delete_after, bad]).await? || !make_live(conn, with).await? {
        return Ok(false);
    }
    conn.execute(&RELINK, values![with, bad]).await?;
    Ok(true)
}
