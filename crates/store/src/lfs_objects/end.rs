//! The end of LFS objects: of uploads that never came to theirs, and of what no repository has any more.

use hakata_names::LfsObjectId;

use super::{LfsObject, object, read};
use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Lists objects staged before a time, oldest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn staged_older_than(
    conn: &mut Conn,
    before_ms: i64,
    size: PageSize,
) -> Result<Vec<LfsObject>, StoreError> {
    const LIST: Sql =
        object!("WHERE o.state = 'staged' AND o.created_at < ? ORDER BY o.created_at, o.id LIMIT ?");
    conn.list(&LIST, values![before_ms, size.limit()], read).await
}

/// Declares a staged object dead, so that no upload can take it into use any more; false if one was faster. Its row
/// names the bytes until they are gone and [`delete_dead`] removes it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn give_up_staged(conn: &mut Conn, id: LfsObjectId, now: i64) -> Result<bool, StoreError> {
    const GIVE_UP: Sql =
        sql!("UPDATE lfs_object SET state = 'dead', delete_after = ? WHERE id = ? AND state = 'staged'");
    conn.execute_one(&GIVE_UP, values![now, id]).await
}

/// Lists live objects that no repository has, in the order of ids.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_unlinked(
    conn: &mut Conn,
    after: Option<LfsObjectId>,
    size: PageSize,
) -> Result<Vec<LfsObject>, StoreError> {
    const LIST: Sql = object!(
        "WHERE o.state = 'live' AND o.id > ? \
         AND NOT EXISTS (SELECT 1 FROM repository_lfs_object l WHERE l.object_id = o.id) ORDER BY o.id LIMIT ?"
    );
    conn.list(&LIST, values![after.map_or(0, LfsObjectId::get), size.limit()], read).await
}

/// Declares a live object that no repository has dead; false when one has. Its bytes may go after `delete_after`, which
/// must be later than the longest download lasts.
///
/// Run it in a transaction: the lock on the object's row, which whoever links it takes too, comes before the question.
///
/// # Errors
/// Any [`StoreError`].
pub async fn kill_unlinked(conn: &mut Conn, id: LfsObjectId, delete_after: i64) -> Result<bool, StoreError> {
    const LOCK: Sql =
        sql!("UPDATE lfs_object SET delete_after = delete_after WHERE id = ? AND state = 'live'");
    const KILL: Sql = sql!(
        "UPDATE lfs_object SET state = 'dead', live_oid = NULL, delete_after = ? WHERE id = ? AND state = 'live' \
         AND NOT EXISTS (SELECT 1 FROM repository_lfs_object l WHERE l.object_id = lfs_object.id)"
    );
    Ok(conn.execute_one(&LOCK, values![id]).await?
        && conn.execute_one(&KILL, values![delete_after, id]).await?)
}

/// Lists dead objects whose time has come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn dead_before(conn: &mut Conn, now: i64, size: PageSize) -> Result<Vec<LfsObject>, StoreError> {
    const LIST: Sql = object!("WHERE o.state = 'dead' AND o.delete_after <= ? ORDER BY o.id LIMIT ?");
    conn.list(&LIST, values![now, size.limit()], read).await
}

/// Deletes the row of a dead object whose time has come and whose bytes are gone.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_dead(conn: &mut Conn, id: LfsObjectId, now: i64) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM lfs_object WHERE id = ? AND state = 'dead' AND delete_after <= ?");
    conn.execute_one(&DELETE, values![id, now]).await
}
