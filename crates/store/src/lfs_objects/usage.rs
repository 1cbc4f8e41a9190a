//! How much LFS repositories and their owners use.

use hakata_names::RepositoryId;

use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;

/// The LFS objects of one repository, or of all repositories of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LfsUsage {
    /// The owner's name; empty where it was asked for.
    pub owner: String,
    /// The repository's name; empty for all of an owner.
    pub repository: String,
    /// How many objects there are; one that several repositories have counts for each.
    pub n_objects: i64,
    /// Their sizes together.
    pub bytes: i64,
}

fn read(row: &Row) -> Result<LfsUsage, StoreError> {
    Ok(LfsUsage { owner: row.text(0)?, repository: row.text(1)?, n_objects: row.int(2)?, bytes: row.int(3)? })
}

/// Questions whose sum is an integer on every engine.
macro_rules! sums {
    ($names:literal, $tail:literal) => {
        sql!(
            sqlite: concat!("SELECT ", $names, ", COUNT(o.id), COALESCE(SUM(o.size_bytes), 0) FROM ", $tail),
            postgres: concat!(
                "SELECT ", $names, ", COUNT(o.id), CAST(COALESCE(SUM(o.size_bytes), 0) AS BIGINT) FROM ", $tail
            ),
            mysql: concat!(
                "SELECT ", $names, ", COUNT(o.id), CAST(COALESCE(SUM(o.size_bytes), 0) AS SIGNED) FROM ", $tail
            )
        )
    };
}

/// Adds up the objects of one repository.
///
/// # Errors
/// Any [`StoreError`].
pub async fn usage_of(conn: &mut Conn, repository: RepositoryId) -> Result<LfsUsage, StoreError> {
    const SUM: Sql = sums!(
        "'', ''",
        "repository_lfs_object l JOIN lfs_object o ON o.id = l.object_id WHERE l.repository_id = ?"
    );
    Ok(conn.find(&SUM, values![repository], read).await?.unwrap_or_default())
}

/// Lists the repositories that use most, the largest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn usage_by_repository(conn: &mut Conn, size: PageSize) -> Result<Vec<LfsUsage>, StoreError> {
    const LIST: Sql = sums!(
        "w.name, r.name",
        "repository_lfs_object l JOIN lfs_object o ON o.id = l.object_id JOIN repository r ON r.id = l.repository_id \
         JOIN owner w ON w.id = r.owner_id WHERE r.state <> 'deleted' GROUP BY r.id, w.name, r.name \
         ORDER BY 4 DESC, r.id LIMIT ?"
    );
    conn.list(&LIST, values![size.limit() - 1], read).await
}

/// Lists the owners whose repositories use most, the largest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn usage_by_owner(conn: &mut Conn, size: PageSize) -> Result<Vec<LfsUsage>, StoreError> {
    const LIST: Sql = sums!(
        "w.name, ''",
        "repository_lfs_object l JOIN lfs_object o ON o.id = l.object_id JOIN repository r ON r.id = l.repository_id \
         JOIN owner w ON w.id = r.owner_id WHERE r.state <> 'deleted' GROUP BY w.id, w.name \
         ORDER BY 4 DESC, w.id LIMIT ?"
    );
    conn.list(&LIST, values![size.limit() - 1], read).await
}
