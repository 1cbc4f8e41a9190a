//! Refs: where they point now. All writes belong behind
//! [`repositories::raise_version`](crate::repositories::raise_version) in one transaction.

mod conflicts;
mod moves;

use hakata_names::{Oid, RefName, RepositoryId};

pub use conflicts::{Clash, conflicts};
pub use moves::{RefMove, apply, delete_from, insert_absent, load, update_from};

use crate::StoreError;
use crate::conn::Conn;
use crate::row::Row;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};

/// A ref as its row tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRef {
    /// Its full name.
    pub name: RefName,
    /// Where it points.
    pub oid: Oid,
    /// The object behind an annotated tag.
    pub peeled: Option<Oid>,
}

fn read(row: &Row) -> Result<StoredRef, StoreError> {
    Ok(StoredRef { name: row.ref_name(0)?, oid: row.oid(1)?, peeled: row.opt_oid(2)? })
}

/// Lists all refs of a repository in byte order of their names; a snapshot is made of it. One range scan of the
/// primary key, about 1 µs a ref.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<StoredRef>, StoreError> {
    const LIST: Sql = sql!("SELECT name, oid, peeled FROM ref WHERE repository_id = ? ORDER BY name");
    conn.list(&LIST, values![repository], read).await
}

/// Finds one ref.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(
    conn: &mut Conn,
    repository: RepositoryId,
    name: &RefName,
) -> Result<Option<StoredRef>, StoreError> {
    const FIND: Sql = sql!("SELECT name, oid, peeled FROM ref WHERE repository_id = ? AND name = ?");
    conn.find(&FIND, values![repository, name], read).await
}

/// Finds many refs, in no order; those absent are left out. One question per 128 names.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_many(
    conn: &mut Conn,
    repository: RepositoryId,
    names: &[&[u8]],
) -> Result<Vec<StoredRef>, StoreError> {
    const FIND: ManySql = ManySql {
        head: "SELECT name, oid, peeled FROM ref WHERE repository_id = ? AND name IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let mut found = Vec::new();
    for names in chunks(names) {
        let mut values = Vec::with_capacity(names.len() + 1);
        values.push(Value::from(repository));
        values.extend(names.iter().map(|name| Value::from(*name)));
        found.extend(conn.list_many(&FIND, names.len(), &values, read).await?);
    }
    Ok(found)
}

/// Counts the refs of a repository.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn, repository: RepositoryId) -> Result<i64, StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*) FROM ref WHERE repository_id = ?");
    Ok(conn.find(&COUNT, values![repository], |row| row.int(0)).await?.unwrap_or(0))
}
