//! What commits need of the repository's row beside its counters.

use hakata_names::{RefName, RepositoryId};

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Takes the lock on a repository's row until the transaction ends; waits for a commit that is under way. False if
/// there is no such row.
///
/// # Errors
/// Any [`StoreError`].
pub async fn lock(conn: &mut Conn, id: RepositoryId) -> Result<bool, StoreError> {
    const LOCK: Sql = sql!("UPDATE repository SET version = version WHERE id = ?");
    conn.execute_one(&LOCK, values![id]).await
}

/// Points HEAD elsewhere inside a commit, which has raised the version already;
/// [`set_default_ref`](super::set_default_ref) is for everybody else.
///
/// # Errors
/// Any [`StoreError`].
pub async fn point_head(conn: &mut Conn, id: RepositoryId, name: &RefName) -> Result<bool, StoreError> {
    const POINT: Sql = sql!("UPDATE repository SET default_ref = ? WHERE id = ?");
    conn.execute_one(&POINT, values![name, id]).await
}
