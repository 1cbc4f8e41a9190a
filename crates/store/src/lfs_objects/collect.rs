//! Objects of a repository that no commit points to: put in quarantine, taken out of it, and taken away.
//!
//! Each step names what was seen, so that whoever promises or asks for an object at the same time wins.

use hakata_names::{LfsObjectId, RepositoryId};

use super::{Linked, read_linked};
use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};

/// The columns of [`read_linked`].
macro_rules! linked {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT o.id, o.oid, o.size_bytes, l.promised_at, l.quarantined_at, o.bad_at ",
            "FROM repository_lfs_object l JOIN lfs_object o ON o.id = l.object_id WHERE l.repository_id = ? ",
            $tail
        ))
    };
}

/// Lists objects of a repository that nobody was told of since a time, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_settled(
    conn: &mut Conn,
    repository: RepositoryId,
    promised_before: i64,
    after: Option<LfsObjectId>,
    size: PageSize,
) -> Result<Vec<Linked>, StoreError> {
    const LIST: Sql = linked!("AND l.object_id > ? AND l.promised_at <= ? ORDER BY l.object_id LIMIT ?");
    let after = after.map_or(0, LfsObjectId::get);
    conn.list(&LIST, values![repository, after, promised_before, size.limit()], read_linked).await
}

/// Lists the objects of a repository that are in quarantine, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_quarantined(
    conn: &mut Conn,
    repository: RepositoryId,
    after: Option<LfsObjectId>,
    size: PageSize,
) -> Result<Vec<Linked>, StoreError> {
    const LIST: Sql =
        linked!("AND l.object_id > ? AND l.quarantined_at IS NOT NULL ORDER BY l.object_id LIMIT ?");
    let after = after.map_or(0, LfsObjectId::get);
    conn.list(&LIST, values![repository, after, size.limit()], read_linked).await
}

/// Puts objects in quarantine, but not those that somebody was told of since, and counts them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn quarantine(
    conn: &mut Conn,
    repository: RepositoryId,
    objects: &[LfsObjectId],
    promised_before: i64,
    now: i64,
) -> Result<u64, StoreError> {
    const QUARANTINE: ManySql = ManySql {
        head: "UPDATE repository_lfs_object SET quarantined_at = ? WHERE repository_id = ? AND promised_at <= ? \
               AND quarantined_at IS NULL AND object_id IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let first = [Value::from(now), Value::from(repository), Value::from(promised_before)];
    on_each(conn, &QUARANTINE, &first, objects).await
}

/// Takes objects out of quarantine, and counts those that were in it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn revive(
    conn: &mut Conn,
    repository: RepositoryId,
    objects: &[LfsObjectId],
) -> Result<u64, StoreError> {
    const REVIVE: ManySql = ManySql {
        head: "UPDATE repository_lfs_object SET quarantined_at = NULL WHERE repository_id = ? \
               AND quarantined_at IS NOT NULL AND object_id IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    on_each(conn, &REVIVE, &[Value::from(repository)], objects).await
}

async fn on_each(
    conn: &mut Conn,
    question: &ManySql,
    first: &[Value<'_>],
    objects: &[LfsObjectId],
) -> Result<u64, StoreError> {
    let mut n = 0;
    for objects in chunks(objects) {
        let mut values = first.to_vec();
        values.extend(objects.iter().map(|id| Value::from(*id)));
        n += conn.execute_many(question, objects.len(), &values).await?;
    }
    Ok(n)
}

/// Takes an object away from a repository that has been in quarantine since `quarantined_at` all the time, and of which
/// nobody was told since `promised_before`; false if it is not so any more. Its bytes stay as long as others have it.
///
/// Run it under the [lock](crate::repositories::lock) on the repository's row, by which it is known that no ref has moved
/// since nothing pointed to the object; sizes are the caller's to correct.
///
/// # Errors
/// Any [`StoreError`].
pub async fn collect(
    conn: &mut Conn,
    repository: RepositoryId,
    object: LfsObjectId,
    quarantined_at: i64,
    promised_before: i64,
) -> Result<bool, StoreError> {
    const COLLECT: Sql = sql!(
        "DELETE FROM repository_lfs_object WHERE repository_id = ? AND object_id = ? AND quarantined_at = ? \
         AND promised_at <= ?"
    );
    conn.execute_one(&COLLECT, values![repository, object, quarantined_at, promised_before]).await
}
