//! Mirrors: repositories that follow another host's, and those of other hosts that follow ours.

use hakata_names::{MirrorId, RepositoryId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::Direction;

/// A mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// From the allocator.
    pub id: MirrorId,
    /// Our repository.
    pub repository: RepositoryId,
    /// Who follows whom.
    pub direction: Direction,
    /// The other host's repository.
    pub url: String,
    /// Who we say there that we are, sealed.
    pub login: Option<Vec<u8>>,
    /// Patterns over branches with a space between; empty: all.
    pub branches: String,
    /// Whether tags and notes are mirrored too.
    pub has_tags: bool,
    /// Whether what we push there may lose commits.
    pub is_forced: bool,
    /// Whether fetched objects with fsck warnings are taken.
    pub accepts_warnings: bool,
    /// Time between two tries, in ms; 0: only when there is reason to.
    pub interval_ms: i64,
    /// When it is tried next by itself, in ms.
    pub next_at: Option<i64>,
    /// Since when it is not tried by itself or after pushes, in ms.
    pub paused_at: Option<i64>,
    /// The last try, in ms.
    pub tried_at: Option<i64>,
    /// The last try that worked, in ms.
    pub synced_at: Option<i64>,
    /// The first failure behind the last try that worked, in ms.
    pub failing_since: Option<i64>,
    /// What the last try said, if there is something to say.
    pub last_error: Option<String>,
    /// When it was made, in ms.
    pub created_at: i64,
    /// Whether what was there before us may go: somebody said so, or nothing was.
    pub may_overwrite: bool,
}

/// The columns of [`read`].
macro_rules! mirror {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT id, repository_id, direction, url, login, branches, has_tags, is_forced, accepts_warnings, ",
            "interval_ms, next_at, paused_at, tried_at, synced_at, failing_since, last_error, created_at, ",
            "may_overwrite FROM mirror ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<Mirror, StoreError> {
    Ok(Mirror {
        id: row.id(0)?,
        repository: row.id(1)?,
        direction: row.parsed(2, Direction::parse)?,
        url: row.text(3)?,
        login: row.opt_bytes(4)?.map(<[u8]>::to_vec),
        branches: row.text(5)?,
        has_tags: row.flag(6)?,
        is_forced: row.flag(7)?,
        accepts_warnings: row.flag(8)?,
        interval_ms: row.int(9)?,
        next_at: row.opt_int(10)?,
        paused_at: row.opt_int(11)?,
        tried_at: row.opt_int(12)?,
        synced_at: row.opt_int(13)?,
        failing_since: row.opt_int(14)?,
        last_error: row.opt_text(15)?,
        created_at: row.int(16)?,
        may_overwrite: row.flag(17)?,
    })
}

/// Inserts a mirror that nobody has tried yet.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(conn: &mut Conn, new: &Mirror) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(
        "INSERT INTO mirror (id, repository_id, direction, url, login, branches, has_tags, is_forced, \
         accepts_warnings, interval_ms, next_at, created_at, may_overwrite) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let values = values![
        new.id,
        new.repository,
        new.direction,
        &new.url,
        new.login.as_deref(),
        &new.branches,
        new.has_tags,
        new.is_forced,
        new.accepts_warnings,
        new.interval_ms,
        new.next_at,
        new.created_at,
        new.may_overwrite,
    ];
    conn.execute(&INSERT, values).await.map(drop)
}

/// Finds a mirror by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: MirrorId) -> Result<Option<Mirror>, StoreError> {
    const FIND: Sql = mirror!("WHERE id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Lists all mirrors by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    after: Option<MirrorId>,
    size: PageSize,
) -> Result<Page<Mirror, MirrorId>, StoreError> {
    const LIST: Sql = mirror!("WHERE id > ? ORDER BY id LIMIT ?");
    let after = after.map_or(0, MirrorId::get);
    let rows = conn.list(&LIST, values![after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |mirror| mirror.id))
}

/// Lists the mirrors of one repository, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<Mirror>, StoreError> {
    const LIST: Sql = mirror!("WHERE repository_id = ? ORDER BY id");
    conn.list(&LIST, values![repository], read).await
}

/// Names mirrors whose time has come behind one of these, the longest due first: when it came, and the id. The rest of a
/// row is read alone, so that one that cannot be read is in nobody's way.
///
/// # Errors
/// Any [`StoreError`].
pub async fn due(
    conn: &mut Conn,
    now: i64,
    after: Option<(i64, MirrorId)>,
    size: PageSize,
) -> Result<Vec<(i64, MirrorId)>, StoreError> {
    const DUE: Sql = sql!(
        "SELECT next_at, id FROM mirror WHERE next_at <= ? AND paused_at IS NULL \
         AND (next_at > ? OR (next_at = ? AND id > ?)) ORDER BY next_at, id LIMIT ?"
    );
    let (at, id) = after.map_or((i64::MIN, 0), |(at, id)| (at, id.get()));
    conn.list(&DUE, values![now, at, at, id, size.limit()], |row| Ok((row.int(0)?, row.id(1)?))).await
}

/// Sets the next time; false when somebody else has, and then the caller must enqueue nothing.
///
/// # Errors
/// Any [`StoreError`].
pub async fn reschedule(
    conn: &mut Conn,
    id: MirrorId,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE mirror SET next_at = ? WHERE id = ? AND next_at = ? AND paused_at IS NULL");
    conn.execute_one(&SET, values![to, id, from]).await
}

/// Notes that nothing was there before us.
///
/// # Errors
/// Any [`StoreError`].
pub async fn allow_overwrite(conn: &mut Conn, id: MirrorId) -> Result<(), StoreError> {
    const ALLOW: Sql = sql!("UPDATE mirror SET may_overwrite = 1 WHERE id = ?");
    conn.execute(&ALLOW, values![id]).await.map(drop)
}

/// Pauses a mirror; false when it is paused already, or gone.
///
/// # Errors
/// Any [`StoreError`].
pub async fn pause(conn: &mut Conn, id: MirrorId, now: i64) -> Result<bool, StoreError> {
    const PAUSE: Sql = sql!("UPDATE mirror SET paused_at = ? WHERE id = ? AND paused_at IS NULL");
    conn.execute_one(&PAUSE, values![now, id]).await
}

/// Ends a pause, and forgets that it failed; false when it is not paused.
///
/// # Errors
/// Any [`StoreError`].
pub async fn resume(conn: &mut Conn, id: MirrorId) -> Result<bool, StoreError> {
    const RESUME: Sql = sql!(
        "UPDATE mirror SET paused_at = NULL, failing_since = NULL WHERE id = ? AND paused_at IS NOT NULL"
    );
    conn.execute_one(&RESUME, values![id]).await
}

/// Deletes a mirror.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, id: MirrorId) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM mirror WHERE id = ?");
    conn.execute_one(&DELETE, values![id]).await
}

/// Notes a try that worked; `remark` is what is to be said of it all the same.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_success(
    conn: &mut Conn,
    id: MirrorId,
    now: i64,
    remark: Option<&str>,
) -> Result<(), StoreError> {
    const NOTE: Sql = sql!(
        "UPDATE mirror SET tried_at = ?, synced_at = ?, failing_since = NULL, last_error = ? WHERE id = ?"
    );
    conn.execute(&NOTE, values![now, now, remark, id]).await.map(drop)
}

/// Notes a try that did not work.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_failure(conn: &mut Conn, id: MirrorId, now: i64, error: &str) -> Result<(), StoreError> {
    const NOTE: Sql = sql!(
        "UPDATE mirror SET tried_at = ?, failing_since = COALESCE(failing_since, ?), last_error = ? WHERE id = ?"
    );
    conn.execute(&NOTE, values![now, now, error, id]).await.map(drop)
}

/// Counts mirrors, those that are paused, and those that fail; for the gauges.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn) -> Result<(i64, i64, i64), StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*), COUNT(paused_at), COUNT(failing_since) FROM mirror");
    let found = conn.find(&COUNT, &[], |row| Ok((row.int(0)?, row.int(1)?, row.int(2)?))).await?;
    Ok(found.unwrap_or_default())
}
