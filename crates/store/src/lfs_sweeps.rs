//! When LFS objects that no commit points to are next looked for, repository by repository.

use hakata_names::RepositoryId;

use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::sql::{Sql, sql};
use crate::value::values;

/// A repository with LFS objects whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The repository.
    pub repository: RepositoryId,
    /// Since when, in ms; `None`: it was never looked at.
    pub next_at: Option<i64>,
}

/// Lists repositories with LFS objects that are due, by id: one look into an index for each repository there is.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_due(
    conn: &mut Conn,
    now: i64,
    after: Option<RepositoryId>,
    size: PageSize,
) -> Result<Vec<Due>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT r.id, s.next_at FROM repository r LEFT JOIN lfs_sweep s ON s.repository_id = r.id \
         WHERE r.state IN ('active', 'archived') AND r.id > ? AND (s.next_at IS NULL OR s.next_at <= ?) \
         AND EXISTS (SELECT 1 FROM repository_lfs_object l WHERE l.repository_id = r.id) ORDER BY r.id LIMIT ?"
    );
    let after = after.map_or(0, RepositoryId::get);
    let read = |row: &crate::row::Row| Ok(Due { repository: row.id(0)?, next_at: row.opt_int(1)? });
    conn.list(&LIST, values![after, now, size.limit()], read).await
}

/// Says when a repository is due again; false when somebody else did so since it was listed.
///
/// # Errors
/// Any [`StoreError`].
pub async fn reschedule(conn: &mut Conn, due: Due, next_at: i64) -> Result<bool, StoreError> {
    const INSERT: Sql = sql!(insert_absent "INSERT INTO lfs_sweep (repository_id, next_at) VALUES (?, ?)");
    const UPDATE: Sql = sql!("UPDATE lfs_sweep SET next_at = ? WHERE repository_id = ? AND next_at = ?");
    match due.next_at {
        None => conn.insert_absent(&INSERT, values![due.repository, next_at]).await,
        Some(was) => conn.execute_one(&UPDATE, values![next_at, due.repository, was]).await,
    }
}
