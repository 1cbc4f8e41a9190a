//! The life of a repository: names, owners, states, and its end.

use hakata_names::{OwnerId, RepositoryId, RepositoryName};

use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::RepositoryState;
use crate::{Conflict, StoreError};

const TAKEN: Conflict = Conflict { what: "repository" };

/// The name that a deleted repository is kept under; `~` is in no name, so it frees the old one.
fn grave(name: &str, id: RepositoryId) -> String {
    format!("{name}~{id}")
}

/// Gives a repository another name below its owner. Caches are by id and do not notice.
///
/// # Errors
/// Any [`StoreError`]; the inner one is the taken name.
pub async fn rename(
    conn: &mut Conn,
    id: RepositoryId,
    name: &RepositoryName,
) -> Result<Result<(), Conflict>, StoreError> {
    const SET: Sql = sql!(
        "UPDATE repository SET name = ?, name_folded = ? WHERE id = ? AND NOT EXISTS (SELECT 1 FROM \
         (SELECT a.id FROM repository a JOIN repository b ON a.owner_id = b.owner_id \
         WHERE b.id = ? AND a.name_folded = ? AND a.id <> b.id LIMIT 1) taken)"
    );
    let folded = name.folded();
    let is_set = conn.execute_one(&SET, values![name.as_str(), &folded, id, id, &folded]).await?;
    Ok(if is_set { Ok(()) } else { Err(TAKEN) })
}

/// Gives a repository, with its bytes, to another owner, and raises the policy version.
///
/// # Errors
/// Any [`StoreError`]; the inner one is a repository of that name there.
pub async fn transfer(
    conn: &mut Conn,
    id: RepositoryId,
    to: OwnerId,
) -> Result<Result<(), Conflict>, StoreError> {
    const SET: Sql = sql!(
        "UPDATE repository SET owner_id = ?, policy_version = policy_version + 1 WHERE id = ? AND NOT EXISTS \
         (SELECT 1 FROM (SELECT a.id FROM repository a JOIN repository b ON a.name_folded = b.name_folded \
         WHERE b.id = ? AND a.owner_id = ? AND a.id <> b.id LIMIT 1) taken)"
    );
    const LOCK: Sql = sql!("UPDATE repository SET version = version WHERE id = ?");
    const READ: Sql = sql!("SELECT owner_id, size_bytes FROM repository WHERE id = ?");
    const MOVE: Sql = sql!("UPDATE owner SET size_bytes = size_bytes + ? WHERE id = ?");
    conn.execute(&LOCK, values![id]).await?;
    let before = conn.find(&READ, values![id], |row| Ok((row.int(0)?, row.int(1)?))).await?;
    let Some((from, bytes)) = before else { return Ok(Err(TAKEN)) };
    if !conn.execute_one(&SET, values![to, id, id, to]).await? {
        return Ok(Err(TAKEN));
    }
    // In the order of ids: two transfers in opposite directions meet without a deadlock.
    let mut moves = [(from, -bytes), (to.get(), bytes)];
    moves.sort_unstable();
    for (owner, bytes) in moves {
        conn.execute(&MOVE, values![bytes, owner]).await?;
    }
    Ok(Ok(()))
}

/// Changes the state from `from` to `to` and raises the policy version; false when it was not in `from`.
///
/// To `Deleted` it also frees the name.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_state(
    conn: &mut Conn,
    id: RepositoryId,
    from: RepositoryState,
    to: RepositoryState,
    now: i64,
) -> Result<bool, StoreError> {
    const SET: Sql = sql!(
        "UPDATE repository SET state = ?, policy_version = policy_version + 1 WHERE id = ? AND state = ?"
    );
    const BURY: Sql = sql!(
        "UPDATE repository SET state = 'deleted', deleted_at = ?, name_folded = ?, \
         policy_version = policy_version + 1 WHERE id = ? AND state = ?"
    );
    const NAME: Sql = sql!("SELECT name_folded FROM repository WHERE id = ?");
    if to != RepositoryState::Deleted {
        return conn.execute_one(&SET, values![to, id, from]).await;
    }
    let Some(name) = conn.find(&NAME, values![id], |row| row.text(0)).await? else { return Ok(false) };
    conn.execute_one(&BURY, values![now, &grave(&name, id), id, from]).await
}

/// Makes an active repository read-only.
///
/// # Errors
/// Any [`StoreError`].
pub async fn archive(conn: &mut Conn, id: RepositoryId) -> Result<bool, StoreError> {
    set_state(conn, id, RepositoryState::Active, RepositoryState::Archived, 0).await
}

/// Brings a deleted repository back under its old name, as active; `Err` inside when the name was taken meanwhile,
/// or the repository is not deleted, or its erasing has begun.
///
/// # Errors
/// Any [`StoreError`].
pub async fn restore(conn: &mut Conn, id: RepositoryId) -> Result<Result<(), Conflict>, StoreError> {
    const NAME: Sql =
        sql!("SELECT name FROM repository WHERE id = ? AND state = 'deleted' AND deleted_at > 0");
    const SET: Sql = sql!(
        "UPDATE repository SET state = 'active', deleted_at = NULL, policy_version = policy_version + 1 \
         WHERE id = ? AND state = 'deleted' AND deleted_at > 0"
    );
    let name =
        conn.find(&NAME, values![id], |row| row.parsed(0, |name| RepositoryName::parse(name).ok())).await?;
    let Some(name) = name else { return Ok(Err(TAKEN)) };
    if let Err(taken) = rename(conn, id, &name).await? {
        return Ok(Err(taken));
    }
    Ok(if conn.execute_one(&SET, values![id]).await? { Ok(()) } else { Err(TAKEN) })
}

/// Deletes the row of a repository into which nothing was ever pushed; how a push to create that was refused is
/// taken back. False when something was committed meanwhile.
///
/// # Errors
/// Any [`StoreError`].
pub async fn remove_unused(conn: &mut Conn, id: RepositoryId) -> Result<bool, StoreError> {
    // The lock first: a commit that raises the version afterwards finds no row.
    const LOCK: Sql = sql!("UPDATE repository SET version = version WHERE id = ? AND version = 0");
    if !conn.execute_one(&LOCK, values![id]).await? {
        return Ok(false);
    }
    Ok(erase_rows(conn, id, i64::MAX).await? == Erased::All)
}

/// How far [`erase`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// Nothing is left.
    All,
    /// There is more; call again, in a new transaction.
    Part,
}

/// Erases rows of a repository that was deleted at `before` or earlier, at most about `limit` of each table, so that no
/// transaction is long. From the first call on it cannot be restored: its time of deletion is 0. Its packs lose their
/// link; [`packs::kill_unlinked`](crate::packs::kill_unlinked) finds those that nobody else uses.
///
/// # Errors
/// Any [`StoreError`].
pub async fn erase(conn: &mut Conn, id: RepositoryId, before: i64, limit: i64) -> Result<Erased, StoreError> {
    const MARK: Sql =
        sql!("UPDATE repository SET deleted_at = 0 WHERE id = ? AND state = 'deleted' AND deleted_at <= ?");
    if !conn.execute_one(&MARK, values![id, before]).await? {
        return Ok(Erased::All);
    }
    erase_rows(conn, id, limit).await
}

/// Deletes some rows of a repository from a table that may have very many.
macro_rules! some_of {
    ($table:literal, $key:literal) => {
        // The inner SELECT has a name of its own because MySQL refuses LIMIT directly inside IN.
        sql!(concat!(
            "DELETE FROM ",
            $table,
            " WHERE repository_id = ? AND (",
            $key,
            ") IN (SELECT * FROM (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE repository_id = ? ORDER BY ",
            $key,
            " LIMIT ?) part)"
        ))
    };
}

/// Tables that may have very many rows of one repository.
const LONG: [Sql; 11] = [
    some_of!("ref", "name"),
    some_of!("ref_log", "version, name"),
    some_of!("event", "id"),
    some_of!("repository_pack", "pack_id"),
    some_of!("idempotency", "client_key"),
    some_of!("commit_mention", "oid"),
    some_of!("repository_commit", "oid"),
    some_of!("repository_lfs_object", "object_id"),
    some_of!("lfs_lock", "id"),
    some_of!("lfs_reservation", "oid"),
    some_of!("lfs_removal", "oid"),
];

async fn erase_rows(conn: &mut Conn, id: RepositoryId, limit: i64) -> Result<Erased, StoreError> {
    const SHORT: [Sql; 11] = [
        // Their bytes are named by nothing else: the sweeper takes them next.
        sql!("UPDATE lfs_upload SET created_at = 0 WHERE repository_id = ?"),
        sql!("DELETE FROM job WHERE repository_id = ? AND state <> 'claimed'"),
        sql!("DELETE FROM protection WHERE repository_id = ?"),
        sql!("DELETE FROM repository_collaborator WHERE repository_id = ?"),
        sql!("DELETE FROM ssh_key WHERE repository_id = ?"),
        sql!("DELETE FROM watch WHERE repository_id = ?"),
        sql!("DELETE FROM webhook WHERE repository_id = ?"),
        sql!("DELETE FROM mirror WHERE repository_id = ?"),
        sql!("DELETE FROM webhook_cursor WHERE repository_id = ?"),
        sql!("DELETE FROM lfs_sweep WHERE repository_id = ?"),
        sql!("DELETE FROM repository WHERE id = ?"),
    ];
    const OWNER: Sql = sql!(
        "UPDATE owner SET size_bytes = size_bytes - (SELECT size_bytes FROM repository WHERE id = ?) \
         WHERE id = (SELECT owner_id FROM repository WHERE id = ?)"
    );
    let mut is_part = false;
    for table in &LONG {
        let n = conn.execute(table, values![id, id, limit]).await?;
        is_part |= i64::try_from(n).unwrap_or(i64::MAX) >= limit;
    }
    if is_part {
        return Ok(Erased::Part);
    }
    conn.execute(&OWNER, values![id, id]).await?;
    for table in &SHORT {
        conn.execute(table, values![id]).await?;
    }
    Ok(Erased::All)
}
