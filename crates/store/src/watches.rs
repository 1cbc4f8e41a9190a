//! How much users want to hear of repositories.

use hakata_names::{RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::WatchLevel;

/// Finds what a user chose for a repository.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(
    conn: &mut Conn,
    user: UserId,
    repository: RepositoryId,
) -> Result<Option<WatchLevel>, StoreError> {
    const FIND: Sql = sql!("SELECT level FROM watch WHERE user_id = ? AND repository_id = ?");
    conn.find(&FIND, values![user, repository], |row| row.parsed(0, WatchLevel::parse)).await
}

/// Sets what a user wants to hear of a repository, whatever it was.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set(
    conn: &mut Conn,
    user: UserId,
    repository: RepositoryId,
    level: WatchLevel,
) -> Result<(), StoreError> {
    const SET: Sql = sql!("UPDATE watch SET level = ? WHERE user_id = ? AND repository_id = ?");
    const INSERT: Sql =
        sql!(insert_absent "INSERT INTO watch (user_id, repository_id, level) VALUES (?, ?, ?)");
    if !conn.execute_one(&SET, values![level, user, repository]).await?
        && !conn.insert_absent(&INSERT, values![user, repository, level]).await?
    {
        conn.execute_one(&SET, values![level, user, repository]).await?;
    }
    Ok(())
}

/// Lists the users who watch a repository, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn watchers(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<UserId>, StoreError> {
    const LIST: Sql =
        sql!("SELECT user_id FROM watch WHERE repository_id = ? AND level = 'watching' ORDER BY user_id");
    conn.list(&LIST, values![repository], |row| row.id(0)).await
}

/// Lists the repositories that a user chose something for.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of_user(
    conn: &mut Conn,
    user: UserId,
) -> Result<Vec<(RepositoryId, WatchLevel)>, StoreError> {
    const LIST: Sql = sql!("SELECT repository_id, level FROM watch WHERE user_id = ? ORDER BY repository_id");
    conn.list(&LIST, values![user], |row| Ok((row.id(0)?, row.parsed(1, WatchLevel::parse)?))).await
}
