//! Locks of LFS on paths of a repository. Two who want the same path at once are told apart by a unique index.

use hakata_names::{LfsLockId, RepositoryId, TreePath, UserId};
use sha2::{Digest as _, Sha256};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::repositories::{lock, raise_policy_version};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;

/// A lock on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LfsLock {
    /// Its id, good only together with its repository.
    pub id: LfsLockId,
    /// The path, from the root of the repository.
    pub path: TreePath,
    /// Who has it.
    pub user_id: UserId,
    /// What its holder is called now; `None`: there is no such user any more.
    pub user_name: Option<String>,
    /// Since when, in ms.
    pub locked_at: i64,
}

/// Where a list of locks goes on: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockKey {
    /// Its time, in ms.
    pub locked_at: i64,
    /// Its id.
    pub id: LfsLockId,
}

/// Which locks of a repository are meant; both conditions hold together.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockFilter<'a> {
    /// Only the one on this path.
    pub path: Option<&'a TreePath>,
    /// Only the one with this id.
    pub id: Option<LfsLockId>,
}

/// The columns of [`read`].
macro_rules! lock {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT l.id, l.path, l.user_id, o.name, l.locked_at FROM lfs_lock l ",
            "LEFT JOIN owner o ON o.id = l.user_id WHERE l.repository_id = ?",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<LfsLock, StoreError> {
    Ok(LfsLock {
        id: row.id(0)?,
        path: row.tree_path(1)?,
        user_id: row.id(2)?,
        user_name: row.opt_text(3)?,
        locked_at: row.int(4)?,
    })
}

/// Locks a path, unless somebody has; false then. Raises the policy version, so that pushes under way are judged again.
/// Run it in a transaction.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(
    conn: &mut Conn,
    repository: RepositoryId,
    id: LfsLockId,
    path: &TreePath,
    user: UserId,
    now: i64,
) -> Result<bool, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO lfs_lock (id, repository_id, path_digest, path, user_id, locked_at) VALUES (?, ?, ?, ?, ?, ?)");
    if !lock(conn, repository).await? {
        return Err(StoreError::Unlocked { table: "repository" });
    }
    let digest = Sha256::digest(path.as_bytes());
    let is_new = conn.insert_absent(&INSERT, values![id, repository, &digest[..], path, user, now]).await?;
    if is_new {
        raise_policy_version(conn, repository).await?;
    }
    Ok(is_new)
}

/// Finds the lock on a path.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_on(
    conn: &mut Conn,
    repository: RepositoryId,
    path: &TreePath,
) -> Result<Option<LfsLock>, StoreError> {
    const FIND: Sql = lock!(" AND l.path_digest = ?");
    let digest = Sha256::digest(path.as_bytes());
    conn.find(&FIND, values![repository, &digest[..]], read).await
}

/// Finds a lock of a repository by its id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(
    conn: &mut Conn,
    repository: RepositoryId,
    id: LfsLockId,
) -> Result<Option<LfsLock>, StoreError> {
    const FIND: Sql = lock!(" AND l.id = ?");
    conn.find(&FIND, values![repository, id], read).await
}

/// Lists locks of a repository, the newest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    repository: RepositoryId,
    filter: LockFilter<'_>,
    after: Option<LockKey>,
    size: PageSize,
) -> Result<Page<LfsLock, LockKey>, StoreError> {
    const LIST: Sql = lock!(
        " AND (? = 0 OR l.id = ?) AND (? = 0 OR l.path_digest = ?) \
         AND (l.locked_at < ? OR (l.locked_at = ? AND l.id < ?)) ORDER BY l.locked_at DESC, l.id DESC LIMIT ?"
    );
    let digest = filter.path.map(|path| Sha256::digest(path.as_bytes())).unwrap_or_default();
    let (at, id) = after.map_or((i64::MAX, 0), |key| (key.locked_at, key.id.get()));
    let values = values![
        repository,
        filter.id.is_some(),
        filter.id.map_or(0, LfsLockId::get),
        filter.path.is_some(),
        &digest[..],
        at,
        at,
        id,
        size.limit(),
    ];
    let rows = conn.list(&LIST, values, read).await?;
    Ok(Page::cut(rows, size, |lock| LockKey { locked_at: lock.locked_at, id: lock.id }))
}

/// Lists locks that somebody else than `user` has, by id: what a push must not touch.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of_others(
    conn: &mut Conn,
    repository: RepositoryId,
    user: Option<UserId>,
) -> Result<Vec<LfsLock>, StoreError> {
    const LIST: Sql = lock!(" AND l.user_id <> ? ORDER BY l.id");
    conn.list(&LIST, values![repository, user.map_or(0, UserId::get)], read).await
}

/// Counts the locks of a repository.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn, repository: RepositoryId) -> Result<i64, StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*) FROM lfs_lock WHERE repository_id = ?");
    Ok(conn.find(&COUNT, values![repository], |row| row.int(0)).await?.unwrap_or(0))
}

/// Takes a lock away from whoever was seen to have it; false when it is gone, or another's by now.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(
    conn: &mut Conn,
    repository: RepositoryId,
    id: LfsLockId,
    holder: UserId,
) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM lfs_lock WHERE repository_id = ? AND id = ? AND user_id = ?");
    conn.execute_one(&DELETE, values![repository, id, holder]).await
}
