//! Sizes added up from rows again, and how full quotas were when somebody was last told.

use hakata_names::{OwnerId, RepositoryId};

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// What is used of one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What the row said before, in bytes.
    pub was_bytes: i64,
    /// What it says now, in bytes.
    pub used_bytes: i64,
    /// The quota in the row; `None`: the default, or none.
    pub quota_bytes: Option<i64>,
    /// The percentage that was last told of.
    pub level: i64,
}

/// What adding up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recounted {
    /// The owner.
    pub owner_id: OwnerId,
    /// The version at which it was counted.
    pub version: i64,
    /// The repository's.
    pub repository: Usage,
    /// Its owner's.
    pub owner: Usage,
}

/// A sum as a plain integer, which PostgreSQL and MySQL make something else of.
macro_rules! sum {
    ($tail:literal) => {
        sql!(
            sqlite: concat!("SELECT COALESCE(SUM(size_bytes), 0) FROM ", $tail),
            postgres: concat!("SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM ", $tail),
            mysql: concat!("SELECT CAST(COALESCE(SUM(size_bytes), 0) AS SIGNED) FROM ", $tail)
        )
    };
}

/// Adds up the packs and LFS objects of a repository and the repositories of its owner, and corrects both rows. `None`: there is no
/// such repository. Run it in a transaction: the rows are locked before what they hold is counted, so that changes under
/// way are counted once, here or by themselves.
///
/// # Errors
/// Any [`StoreError`].
pub async fn recount(conn: &mut Conn, id: RepositoryId) -> Result<Option<Recounted>, StoreError> {
    const READ: Sql =
        sql!("SELECT owner_id, version, size_bytes, quota_bytes, quota_level FROM repository WHERE id = ?");
    const PACKS: Sql = sum!("pack WHERE id IN (SELECT pack_id FROM repository_pack WHERE repository_id = ?)");
    const LFS: Sql =
        sum!("lfs_object WHERE id IN (SELECT object_id FROM repository_lfs_object WHERE repository_id = ?)");
    const SET: Sql = sql!("UPDATE repository SET size_bytes = ? WHERE id = ?");
    const LOCK_OWNER: Sql = sql!("UPDATE owner SET size_bytes = size_bytes WHERE id = ?");
    const READ_OWNER: Sql = sql!("SELECT size_bytes, quota_bytes, quota_level FROM owner WHERE id = ?");
    const REPOSITORIES: Sql = sum!("repository WHERE owner_id = ?");
    const SET_OWNER: Sql = sql!("UPDATE owner SET size_bytes = ? WHERE id = ?");
    if !super::lock(conn, id).await? {
        return Ok(None);
    }
    let row = conn
        .find(&READ, values![id], |row| {
            let usage = (row.int(2)?, row.opt_int(3)?, row.int(4)?);
            Ok((row.id::<OwnerId>(0)?, row.int(1)?, usage))
        })
        .await?;
    let Some((owner_id, version, of_repository)) = row else { return Ok(None) };
    let mut used = 0;
    for sum in [&PACKS, &LFS] {
        used += conn.find(sum, values![id], |row| row.int(0)).await?.unwrap_or(0);
    }
    conn.execute(&SET, values![used, id]).await?;
    conn.execute(&LOCK_OWNER, values![owner_id]).await?;
    let owner = conn
        .find(&READ_OWNER, values![owner_id], |row| Ok((row.int(0)?, row.opt_int(1)?, row.int(2)?)))
        .await?;
    let owner = owner.ok_or(StoreError::Unlocked { table: "owner" })?;
    let owner_used = conn.find(&REPOSITORIES, values![owner_id], |row| row.int(0)).await?.unwrap_or(0);
    conn.execute(&SET_OWNER, values![owner_used, owner_id]).await?;
    let usage = |(was_bytes, quota_bytes, level): (i64, Option<i64>, i64), used_bytes| Usage {
        was_bytes,
        used_bytes,
        quota_bytes,
        level,
    };
    Ok(Some(Recounted {
        owner_id,
        version,
        repository: usage(of_repository, used),
        owner: usage(owner, owner_used),
    }))
}

/// Remembers how full quotas were when somebody was told; in the transaction of [`recount`].
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_quota_levels(
    conn: &mut Conn,
    id: RepositoryId,
    owner: OwnerId,
    levels: (i64, i64),
) -> Result<(), StoreError> {
    const REPOSITORY: Sql = sql!("UPDATE repository SET quota_level = ? WHERE id = ?");
    const OWNER: Sql = sql!("UPDATE owner SET quota_level = ? WHERE id = ?");
    conn.execute(&REPOSITORY, values![levels.0, id]).await?;
    conn.execute(&OWNER, values![levels.1, owner]).await.map(drop)
}
