//! How far the events of a repository were turned into deliveries. Whoever moves the cursor writes the deliveries, in
//! one transaction, so each event is turned once and in order.

use hakata_names::RepositoryId;

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Reads the version up to which it was done.
///
/// # Errors
/// Any [`StoreError`].
pub async fn read(conn: &mut Conn, repository: RepositoryId) -> Result<i64, StoreError> {
    const READ: Sql = sql!("SELECT version FROM webhook_cursor WHERE repository_id = ?");
    Ok(conn.find(&READ, values![repository], |row| row.int(0)).await?.unwrap_or(0))
}

/// Moves the cursor; false when somebody else has moved it, and then the caller must write nothing.
///
/// # Errors
/// Any [`StoreError`].
pub async fn advance(
    conn: &mut Conn,
    repository: RepositoryId,
    from: i64,
    to: i64,
) -> Result<bool, StoreError> {
    const START: Sql =
        sql!(insert_absent "INSERT INTO webhook_cursor (repository_id, version) VALUES (?, ?)");
    const ADVANCE: Sql =
        sql!("UPDATE webhook_cursor SET version = ? WHERE repository_id = ? AND version = ?");
    if conn.execute_one(&ADVANCE, values![to, repository, from]).await? {
        return Ok(true);
    }
    Ok(from == 0 && conn.insert_absent(&START, values![repository, to]).await?)
}
