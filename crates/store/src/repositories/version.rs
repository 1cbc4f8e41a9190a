//! The counters of a repository that the commit protocol compares, and the settings that raise them.

use hakata_names::{RefName, RepositoryId};

use crate::StoreError;
use crate::conn::Conn;
use crate::dialect::Engine;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::{RepositoryState, Visibility};

/// What a commit was judged and checked under; it goes through only if this still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `Active`, or `Creating` for the change that completes a repository: it becomes active by it.
    pub state: RepositoryState,
    /// `prune_epoch` when connectivity was proved.
    pub prune_epoch: i64,
    /// `policy_version` when the push was judged.
    pub policy_version: i64,
}

/// Raises the version and returns the new one; step 1 of every commit. From here to the end of the transaction the
/// row is locked, so commits to one repository follow each other.
///
/// `None`: the repository is neither active nor in the expected state, or not as `expected`; nothing is locked then. Read
/// it again.
///
/// # Errors
/// Any [`StoreError`].
pub async fn raise_version(
    conn: &mut Conn,
    id: RepositoryId,
    expected: Expected,
    now: i64,
) -> Result<Option<i64>, StoreError> {
    macro_rules! raise {
        ($tail:literal) => {
            concat!(
                "UPDATE repository SET version = version + 1, state = 'active', pushed_at = ? \
                 WHERE id = ? AND state IN ('active', ?) AND prune_epoch = ? AND policy_version = ?",
                $tail
            )
        };
    }
    const RAISE_AND_READ: Sql = sql!(raise!(" RETURNING version"));
    const RAISE: Sql = sql!(raise!(""));
    let values = values![now, id, expected.state, expected.prune_epoch, expected.policy_version];
    if conn.engine() != Engine::MySql {
        return conn.find(&RAISE_AND_READ, values, |row| row.int(0)).await;
    }
    if conn.execute_one(&RAISE, values).await? { version_of(conn, id).await } else { Ok(None) }
}

/// Raises the version for packs that take the place of others, and returns the new one; the row is locked from here on.
/// Nothing that refs lead to changes, so neither the rules nor the time of the last push play a part.
///
/// `None`: the repository is neither active nor archived, or garbage was collected since; nothing is locked then.
///
/// # Errors
/// Any [`StoreError`].
pub async fn raise_for_packs(
    conn: &mut Conn,
    id: RepositoryId,
    prune_epoch: i64,
) -> Result<Option<i64>, StoreError> {
    const RAISE: Sql = sql!(
        "UPDATE repository SET version = version + 1 \
         WHERE id = ? AND state IN ('active', 'archived') AND prune_epoch = ?"
    );
    if conn.execute_one(&RAISE, values![id, prune_epoch]).await? {
        version_of(conn, id).await
    } else {
        Ok(None)
    }
}

/// Reads the version of a repository that is not deleted: what a cache compares before each use where other
/// processes may write. One look-up by primary key.
///
/// # Errors
/// Any [`StoreError`].
pub async fn version_of(conn: &mut Conn, id: RepositoryId) -> Result<Option<i64>, StoreError> {
    const READ: Sql = sql!("SELECT version FROM repository WHERE id = ? AND state <> 'deleted'");
    conn.find(&READ, values![id], |row| row.int(0)).await
}

/// Raises the policy version, so that pushes under way are judged again. Goes into the same transaction as the change
/// of a protection or role; changes of state and visibility do it themselves.
///
/// # Errors
/// Any [`StoreError`].
pub async fn raise_policy_version(conn: &mut Conn, id: RepositoryId) -> Result<bool, StoreError> {
    const RAISE: Sql = sql!("UPDATE repository SET policy_version = policy_version + 1 WHERE id = ?");
    conn.execute_one(&RAISE, values![id]).await
}

/// Raises the prune epoch if no ref has moved since `version`, so that pushes under way prove connectivity again.
/// Locks the row; the drop of packs follows in the same transaction.
///
/// # Errors
/// Any [`StoreError`].
pub async fn raise_prune_epoch(conn: &mut Conn, id: RepositoryId, version: i64) -> Result<bool, StoreError> {
    const RAISE: Sql =
        sql!("UPDATE repository SET prune_epoch = prune_epoch + 1 WHERE id = ? AND version = ?");
    conn.execute_one(&RAISE, values![id, version]).await
}

/// Adds bytes (or takes them away) to what a repository and its owner use.
///
/// # Errors
/// Any [`StoreError`].
pub async fn add_size(conn: &mut Conn, id: RepositoryId, bytes: i64) -> Result<bool, StoreError> {
    const REPOSITORY: Sql = sql!("UPDATE repository SET size_bytes = size_bytes + ? WHERE id = ?");
    const OWNER: Sql = sql!(
        "UPDATE owner SET size_bytes = size_bytes + ? WHERE id = (SELECT owner_id FROM repository WHERE id = ?)"
    );
    if bytes == 0 {
        return Ok(true);
    }
    Ok(conn.execute_one(&REPOSITORY, values![bytes, id]).await?
        && conn.execute_one(&OWNER, values![bytes, id]).await?)
}

/// Points HEAD elsewhere; a version of its own makes caches follow.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_default_ref(conn: &mut Conn, id: RepositoryId, name: &RefName) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE repository SET default_ref = ?, version = version + 1 WHERE id = ?");
    conn.execute_one(&SET, values![name, id]).await
}

/// Changes who may see the repository, and raises the policy version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_visibility(
    conn: &mut Conn,
    id: RepositoryId,
    visibility: Visibility,
) -> Result<bool, StoreError> {
    const SET: Sql =
        sql!("UPDATE repository SET visibility = ?, policy_version = policy_version + 1 WHERE id = ?");
    conn.execute_one(&SET, values![visibility, id]).await
}

/// Says that a repository follows another, or does not any more, and raises the policy version; false when it was so.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_mirror(conn: &mut Conn, id: RepositoryId, is_mirror: bool) -> Result<bool, StoreError> {
    const SET: Sql = sql!(
        "UPDATE repository SET is_mirror = ?, policy_version = policy_version + 1 WHERE id = ? AND is_mirror <> ?"
    );
    conn.execute_one(&SET, values![is_mirror, id, is_mirror]).await
}

/// Changes the line about the repository.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_description(
    conn: &mut Conn,
    id: RepositoryId,
    description: &str,
) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE repository SET description = ? WHERE id = ?");
    conn.execute_one(&SET, values![description, id]).await
}

/// Changes the repository's own limit; `None`: only its owner's.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_quota(conn: &mut Conn, id: RepositoryId, bytes: Option<i64>) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE repository SET quota_bytes = ? WHERE id = ?");
    conn.execute_one(&SET, values![bytes, id]).await
}
