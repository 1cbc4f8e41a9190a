//! Answers kept for callers who name a key, so that a repeated commit gets the first answer.

use hakata_names::RepositoryId;

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Finds the answer kept under a key.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(
    conn: &mut Conn,
    repository: RepositoryId,
    key: &str,
) -> Result<Option<String>, StoreError> {
    const FIND: Sql = sql!("SELECT result FROM idempotency WHERE repository_id = ? AND client_key = ?");
    conn.find(&FIND, values![repository, key], |row| row.text(0)).await
}

/// Keeps an answer (JSON) under a key of up to 200 bytes; false when there is one already.
///
/// # Errors
/// Any [`StoreError`].
pub async fn put(
    conn: &mut Conn,
    repository: RepositoryId,
    key: &str,
    result: &str,
    now: i64,
) -> Result<bool, StoreError> {
    const PUT: Sql = sql!(insert_absent "INSERT INTO idempotency (repository_id, client_key, result, at) VALUES (?, ?, ?, ?)");
    conn.insert_absent(&PUT, values![repository, key, result, now]).await
}

/// Forgets answers from before a time.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, before_ms: i64) -> Result<u64, StoreError> {
    const PRUNE: Sql = sql!("DELETE FROM idempotency WHERE at < ?");
    conn.execute(&PRUNE, values![before_ms]).await
}
