//! What repositories and their owners use, bounded by their quotas.

use hakata_names::RepositoryId;

use super::add_size;
use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Whose room a quota bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaOf {
    /// One repository's.
    Repository,
    /// That of all repositories of one owner.
    Owner,
}

/// A quota that has no room for what was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Whose quota it is.
    pub of: QuotaOf,
    /// What may be used, in bytes.
    pub limit_bytes: i64,
    /// What is used, in bytes.
    pub used_bytes: i64,
}

/// Adds bytes to what a repository and its owner use, if both may have so much: an owner without a quota is unbounded,
/// a repository without one has `default_bytes`. The rows are locked from here to the end of the transaction, so that
/// those who add at the same time are judged one after the other.
///
/// The inner error names the quota that is in the way. The transaction must be taken back then: the repository's row
/// may be written already.
///
/// # Errors
/// Any [`StoreError`].
pub async fn add_size_within(
    conn: &mut Conn,
    id: RepositoryId,
    bytes: i64,
    default_bytes: i64,
) -> Result<Result<(), Full>, StoreError> {
    const REPOSITORY: Sql = sql!(
        "UPDATE repository SET size_bytes = size_bytes + ? \
         WHERE id = ? AND size_bytes + ? <= COALESCE(quota_bytes, ?)"
    );
    const OWNER: Sql = sql!(
        "UPDATE owner SET size_bytes = size_bytes + ? \
         WHERE id = (SELECT owner_id FROM repository WHERE id = ?) \
         AND (quota_bytes IS NULL OR size_bytes + ? <= quota_bytes)"
    );
    const OF_REPOSITORY: Sql = sql!("SELECT quota_bytes, size_bytes FROM repository WHERE id = ?");
    const OF_OWNER: Sql = sql!(
        "SELECT quota_bytes, size_bytes FROM owner WHERE id = (SELECT owner_id FROM repository WHERE id = ?)"
    );
    if bytes <= 0 {
        return add_size(conn, id, bytes).await.map(|_| Ok(()));
    }
    if !conn.execute_one(&REPOSITORY, values![bytes, id, bytes, default_bytes]).await? {
        return in_the_way(conn, &OF_REPOSITORY, QuotaOf::Repository, id, default_bytes).await.map(Err);
    }
    if !conn.execute_one(&OWNER, values![bytes, id, bytes]).await? {
        return in_the_way(conn, &OF_OWNER, QuotaOf::Owner, id, i64::MAX).await.map(Err);
    }
    Ok(Ok(()))
}

async fn in_the_way(
    conn: &mut Conn,
    question: &Sql,
    of: QuotaOf,
    id: RepositoryId,
    default_bytes: i64,
) -> Result<Full, StoreError> {
    let found = conn.find(question, values![id], |row| Ok((row.opt_int(0)?, row.int(1)?))).await?;
    let (limit, used_bytes) = found.ok_or(StoreError::Unlocked { table: "repository" })?;
    Ok(Full { of, limit_bytes: limit.unwrap_or(default_bytes), used_bytes })
}
