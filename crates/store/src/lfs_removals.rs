//! LFS objects that an owner removed from a repository for good: it neither gives them out nor takes them again.

use hakata_names::{LfsOid, RepositoryId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};

/// An object that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its name.
    pub oid: LfsOid,
    /// When, in ms.
    pub removed_at: i64,
}

/// Notes that a repository is not to have an object any more; false if it was so.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(
    conn: &mut Conn,
    repository: RepositoryId,
    oid: &LfsOid,
    now: i64,
) -> Result<bool, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO lfs_removal (repository_id, oid, removed_at) VALUES (?, ?, ?)");
    conn.insert_absent(&INSERT, values![repository, oid, now]).await
}

/// Lets a repository have an object again.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, repository: RepositoryId, oid: &LfsOid) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM lfs_removal WHERE repository_id = ? AND oid = ?");
    conn.execute_one(&DELETE, values![repository, oid]).await
}

/// Finds which of these objects were removed from a repository.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(
    conn: &mut Conn,
    repository: RepositoryId,
    oids: &[LfsOid],
) -> Result<Vec<LfsOid>, StoreError> {
    const FIND: ManySql = ManySql {
        head: "SELECT oid FROM lfs_removal WHERE repository_id = ? AND oid IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let mut found = Vec::new();
    for oids in chunks(oids) {
        let mut values = vec![Value::from(repository)];
        values.extend(oids.iter().map(Value::from));
        found.extend(conn.list_many(&FIND, oids.len(), &values, |row| row.lfs_oid(0)).await?);
    }
    Ok(found)
}

/// Lists what was removed from a repository, by oid.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    repository: RepositoryId,
    after: Option<&LfsOid>,
    size: PageSize,
) -> Result<Vec<Removal>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT oid, removed_at FROM lfs_removal WHERE repository_id = ? AND oid > ? ORDER BY oid LIMIT ?"
    );
    let after: &[u8] = after.map_or(b"", |oid| oid.as_bytes());
    let read = |row: &crate::row::Row| Ok(Removal { oid: row.lfs_oid(0)?, removed_at: row.int(1)? });
    conn.list(&LIST, values![repository, after, size.limit()], read).await
}
