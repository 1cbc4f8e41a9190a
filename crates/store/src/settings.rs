//! Settings that live with the rows: what an installation is called, and secrets all nodes must share.

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Finds a setting.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, name: &str) -> Result<Option<String>, StoreError> {
    const FIND: Sql = sql!("SELECT value FROM setting WHERE name = ?");
    conn.find(&FIND, values![name], |row| row.text(0)).await
}

/// Sets a setting, whatever it was.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set(conn: &mut Conn, name: &str, value: &str) -> Result<(), StoreError> {
    const UPDATE: Sql = sql!("UPDATE setting SET value = ? WHERE name = ?");
    if !conn.execute_one(&UPDATE, values![value, name]).await? && !insert_absent(conn, name, value).await? {
        conn.execute_one(&UPDATE, values![value, name]).await?;
    }
    Ok(())
}

/// Sets a setting that nobody has set, and returns the one that stands: how nodes agree on a secret at first start.
///
/// # Errors
/// Any [`StoreError`].
pub async fn get_or_set(conn: &mut Conn, name: &str, value: &str) -> Result<String, StoreError> {
    insert_absent(conn, name, value).await?;
    find(conn, name).await?.ok_or(StoreError::Unlocked { table: "setting" })
}

/// Removes a setting.
///
/// # Errors
/// Any [`StoreError`].
pub async fn remove(conn: &mut Conn, name: &str) -> Result<bool, StoreError> {
    const REMOVE: Sql = sql!("DELETE FROM setting WHERE name = ?");
    conn.execute_one(&REMOVE, values![name]).await
}

async fn insert_absent(conn: &mut Conn, name: &str, value: &str) -> Result<bool, StoreError> {
    const INSERT: Sql = sql!(insert_absent "INSERT INTO setting (name, value) VALUES (?, ?)");
    conn.insert_absent(&INSERT, values![name, value]).await
}
