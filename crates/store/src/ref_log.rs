//! The log of ref moves: caches catch up from it, and fetches that race a forced push are served by it.

use hakata_names::{Oid, RefName, RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};

/// One move of one ref, as logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedMove {
    /// The version of the repository that the move made.
    pub version: i64,
    /// The ref.
    pub name: RefName,
    /// Where it pointed; `None`: it did not exist.
    pub old: Option<Oid>,
    /// Where it points; `None`: it was deleted.
    pub new: Option<Oid>,
    /// The object behind `new`, if that is an annotated tag.
    pub peeled: Option<Oid>,
    /// Who moved it; `None`: the system or a deploy key.
    pub actor: Option<UserId>,
    /// Why: `push`, `import`, …
    pub reason: String,
    /// When, in ms.
    pub at: i64,
}

/// What all moves of one commit have in common.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The repository.
    pub repository: RepositoryId,
    /// The version that the commit made.
    pub version: i64,
    /// Who moved the refs.
    pub actor: Option<UserId>,
    /// Why.
    pub reason: &'a str,
    /// When, in ms.
    pub at: i64,
}

/// The columns of [`read`].
macro_rules! logged {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT version, name, old_oid, new_oid, new_peeled, actor_id, reason, at FROM ref_log ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<LoggedMove, StoreError> {
    Ok(LoggedMove {
        version: row.int(0)?,
        name: row.ref_name(1)?,
        old: row.opt_oid(2)?,
        new: row.opt_oid(3)?,
        peeled: row.opt_oid(4)?,
        actor: row.opt_id(5)?,
        reason: row.text(6)?,
        at: row.int(7)?,
    })
}

/// Logs the moves of one commit, 128 in a statement.
///
/// # Errors
/// Any [`StoreError`].
pub async fn append<'a>(
    conn: &mut Conn,
    occasion: Occasion<'_>,
    moves: impl IntoIterator<Item = &'a crate::refs::RefMove>,
) -> Result<(), StoreError> {
    const APPEND: ManySql = ManySql {
        head: "INSERT INTO ref_log (repository_id, version, name, old_oid, new_oid, new_peeled, actor_id, reason, at) \
               VALUES ",
        row: "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        between: ", ",
        tail: "",
        again: None,
    };
    let moves: Vec<&crate::refs::RefMove> = moves.into_iter().collect();
    for moves in chunks(&moves) {
        let values: Vec<Value<'_>> = moves
            .iter()
            .flat_map(|logged| {
                [
                    occasion.repository.into(),
                    occasion.version.into(),
                    (&logged.name).into(),
                    logged.old.as_ref().into(),
                    logged.new.as_ref().into(),
                    logged.peeled.as_ref().into(),
                    occasion.actor.into(),
                    occasion.reason.into(),
                    occasion.at.into(),
                ]
            })
            .collect();
        conn.execute_many(&APPEND, moves.len(), &values).await?;
    }
    Ok(())
}

/// Lists the moves above a version up to `limit`, oldest first; how a cache catches up. Where more than `limit` are
/// to be expected, reading all refs is cheaper.
///
/// # Errors
/// Any [`StoreError`].
pub async fn since(
    conn: &mut Conn,
    repository: RepositoryId,
    version: i64,
    limit: i64,
) -> Result<Vec<LoggedMove>, StoreError> {
    const SINCE: Sql = logged!("WHERE repository_id = ? AND version > ? ORDER BY version, name LIMIT ?");
    conn.list(&SINCE, values![repository, version, limit], read).await
}

/// Lists the moves of the commit that made a version, up to `limit`, by name.
///
/// # Errors
/// Any [`StoreError`].
pub async fn of_version(
    conn: &mut Conn,
    repository: RepositoryId,
    version: i64,
    limit: i64,
) -> Result<Vec<LoggedMove>, StoreError> {
    const LIST: Sql = logged!("WHERE repository_id = ? AND version = ? ORDER BY name LIMIT ?");
    conn.list(&LIST, values![repository, version, limit], read).await
}

/// Lists the oids that refs pointed to until a move at or after `since_ms`, newest first: a fetch may still want them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn recent_old(
    conn: &mut Conn,
    repository: RepositoryId,
    since_ms: i64,
    limit: i64,
) -> Result<Vec<Oid>, StoreError> {
    const RECENT: Sql = sql!(
        "SELECT old_oid FROM ref_log WHERE repository_id = ? AND at >= ? AND old_oid IS NOT NULL \
         ORDER BY at DESC LIMIT ?"
    );
    conn.list(&RECENT, values![repository, since_ms, limit], |row| row.oid(0)).await
}

/// Lists the moves at or after a time up to `limit`, oldest first: what refs were before them, they were at that time.
///
/// # Errors
/// Any [`StoreError`].
pub async fn moved_since(
    conn: &mut Conn,
    repository: RepositoryId,
    since_ms: i64,
    limit: i64,
) -> Result<Vec<LoggedMove>, StoreError> {
    const MOVED: Sql = logged!("WHERE repository_id = ? AND at >= ? ORDER BY version, name LIMIT ?");
    conn.list(&MOVED, values![repository, since_ms, limit], read).await
}

/// Lists the oids that refs pointed to until a move at or after a time, in the order of moves, in pages: pass the version
/// and name of the last one of the page before.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_old(
    conn: &mut Conn,
    repository: RepositoryId,
    since_ms: i64,
    after: Option<&(i64, RefName)>,
    size: PageSize,
) -> Result<Page<(Oid, (i64, RefName)), (i64, RefName)>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT old_oid, version, name FROM ref_log WHERE repository_id = ? AND at >= ? AND old_oid IS NOT NULL \
         AND (version > ? OR (version = ? AND name > ?)) ORDER BY version, name LIMIT ?"
    );
    let (version, name) = after.map_or((0, &b""[..]), |(version, name)| (*version, name.as_bytes()));
    let values = values![repository, since_ms, version, version, name, size.limit()];
    let rows = conn.list(&LIST, values, |row| Ok((row.oid(0)?, (row.int(1)?, row.ref_name(2)?)))).await?;
    Ok(Page::cut(rows, size, |(_, key)| key.clone()))
}

/// Lists the moves of a repository for people, newest commit first and by name within it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    repository: RepositoryId,
    after: Option<&(i64, RefName)>,
    size: PageSize,
) -> Result<Page<LoggedMove, (i64, RefName)>, StoreError> {
    const LIST: Sql = logged!(
        "WHERE repository_id = ? AND (version < ? OR (version = ? AND name > ?)) ORDER BY version DESC, name LIMIT ?"
    );
    let (version, name) = after.map_or((i64::MAX, &b""[..]), |(version, name)| (*version, name.as_bytes()));
    let rows = conn.list(&LIST, values![repository, version, version, name, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |logged| (logged.version, logged.name.clone())))
}

/// Finds the move of one ref by the commit that made a version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(
    conn: &mut Conn,
    repository: RepositoryId,
    version: i64,
    name: &RefName,
) -> Result<Option<LoggedMove>, StoreError> {
    const FIND: Sql = logged!("WHERE repository_id = ? AND version = ? AND name = ?");
    conn.find(&FIND, values![repository, version, name], read).await
}

/// Finds the oldest version in the log; a cache that is older by more than one starts again from all refs.
///
/// # Errors
/// Any [`StoreError`].
pub async fn oldest_version(conn: &mut Conn, repository: RepositoryId) -> Result<Option<i64>, StoreError> {
    const OLDEST: Sql = sql!("SELECT MIN(version) FROM ref_log WHERE repository_id = ?");
    Ok(conn.find(&OLDEST, values![repository], |row| row.opt_int(0)).await?.flatten())
}

/// Forgets moves from before a time; at the earliest after the restore period.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, repository: RepositoryId, before_ms: i64) -> Result<u64, StoreError> {
    const PRUNE: Sql = sql!("DELETE FROM ref_log WHERE repository_id = ? AND at < ?");
    conn.execute(&PRUNE, values![repository, before_ms]).await
}
