//! Imports that run as jobs. A row outlives the repository that it was to fill, to say why there is none.

use hakata_names::{ImportId, JobId, RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::ImportState;

/// An import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// From the allocator.
    pub id: ImportId,
    /// The repository that is being filled; it may be gone.
    pub repository: RepositoryId,
    /// Its path when it began: `owner/name`.
    pub path: String,
    /// Where it comes from.
    pub url: String,
    /// Who we say there that we are, sealed; forgotten at the end.
    pub login: Option<Vec<u8>>,
    /// Whether objects with fsck warnings are taken.
    pub accepts_warnings: bool,
    /// Who began it.
    pub actor: Option<UserId>,
    /// The job that does it.
    pub job: JobId,
    /// Where it is in its life.
    pub state: ImportState,
    /// What it does just now, in a word.
    pub phase: Option<String>,
    /// Bytes of the pack so far.
    pub size_bytes: i64,
    /// Why it failed, or what the last attempt said.
    pub error: Option<String>,
    /// When it was asked for, in ms.
    pub created_at: i64,
    /// When the first attempt began, in ms.
    pub started_at: Option<i64>,
    /// When it was done or failed, in ms.
    pub finished_at: Option<i64>,
}

/// The columns of [`read`].
macro_rules! import {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT id, repository_id, path, url, login, accepts_warnings, actor_id, job_id, state, phase, ",
            "size_bytes, error, created_at, started_at, finished_at FROM repository_import ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<Import, StoreError> {
    Ok(Import {
        id: row.id(0)?,
        repository: row.id(1)?,
        path: row.text(2)?,
        url: row.text(3)?,
        login: row.opt_bytes(4)?.map(<[u8]>::to_vec),
        accepts_warnings: row.flag(5)?,
        actor: row.opt_id(6)?,
        job: row.id(7)?,
        state: row.parsed(8, ImportState::parse)?,
        phase: row.opt_text(9)?,
        size_bytes: row.int(10)?,
        error: row.opt_text(11)?,
        created_at: row.int(12)?,
        started_at: row.opt_int(13)?,
        finished_at: row.opt_int(14)?,
    })
}

/// Inserts an import that waits.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(conn: &mut Conn, new: &Import) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(
        "INSERT INTO repository_import (id, repository_id, path, url, login, accepts_warnings, actor_id, job_id, \
         state, size_bytes, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', 0, ?)"
    );
    let values = values![
        new.id,
        new.repository,
        &new.path,
        &new.url,
        new.login.as_deref(),
        new.accepts_warnings,
        new.actor,
        new.job,
        new.created_at,
    ];
    conn.execute(&INSERT, values).await.map(drop)
}

/// Finds an import by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: ImportId) -> Result<Option<Import>, StoreError> {
    const FIND: Sql = import!("WHERE id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Tells whether a repository is being filled.
///
/// # Errors
/// Any [`StoreError`].
pub async fn is_under_way(conn: &mut Conn, repository: RepositoryId) -> Result<bool, StoreError> {
    const FIND: Sql = sql!(
        "SELECT 1 FROM repository_import WHERE repository_id = ? AND state IN ('waiting', 'running') LIMIT 1"
    );
    Ok(conn.find(&FIND, values![repository], |row| row.int(0)).await?.is_some())
}

/// Lists imports by id, the newest first: those before one, or the last.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    before: Option<ImportId>,
    size: PageSize,
) -> Result<Page<Import, ImportId>, StoreError> {
    const LIST: Sql = import!("WHERE id < ? ORDER BY id DESC LIMIT ?");
    let before = before.map_or(i64::MAX, ImportId::get);
    let rows = conn.list(&LIST, values![before, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |import| import.id))
}

/// Lists imports that have not ended although nobody will go on with them: their job is buried or gone.
///
/// # Errors
/// Any [`StoreError`].
pub async fn abandoned(conn: &mut Conn, size: PageSize) -> Result<Vec<Import>, StoreError> {
    const LIST: Sql = import!(
        "WHERE state IN ('waiting', 'running') AND NOT EXISTS (SELECT 1 FROM job \
         WHERE job.id = repository_import.job_id AND job.state IN ('waiting', 'claimed')) ORDER BY id LIMIT ?"
    );
    conn.list(&LIST, values![size.limit()], read).await
}

/// Notes that an attempt has begun; false when the import has ended, or is gone.
///
/// # Errors
/// Any [`StoreError`].
pub async fn begin(conn: &mut Conn, id: ImportId, now: i64) -> Result<bool, StoreError> {
    const BEGIN: Sql = sql!(
        "UPDATE repository_import SET state = 'running', started_at = COALESCE(started_at, ?), phase = NULL, \
         size_bytes = 0 WHERE id = ? AND state IN ('waiting', 'running')"
    );
    conn.execute_one(&BEGIN, values![now, id]).await
}

/// Notes how far an attempt is.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_progress(
    conn: &mut Conn,
    id: ImportId,
    phase: &str,
    size_bytes: i64,
) -> Result<(), StoreError> {
    const NOTE: Sql =
        sql!("UPDATE repository_import SET phase = ?, size_bytes = ? WHERE id = ? AND state = 'running'");
    conn.execute(&NOTE, values![phase, size_bytes, id]).await.map(drop)
}

/// Notes that an attempt did not work and another one will follow.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_retry(conn: &mut Conn, id: ImportId, error: &str) -> Result<(), StoreError> {
    const NOTE: Sql = sql!(
        "UPDATE repository_import SET state = 'waiting', phase = NULL, error = ? WHERE id = ? AND state = 'running'"
    );
    conn.execute(&NOTE, values![error, id]).await.map(drop)
}

/// Notes what is to be said of an import that is done, behind what was said of it before.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_remark(conn: &mut Conn, id: ImportId, remark: &str) -> Result<(), StoreError> {
    const FIND: Sql = sql!("SELECT error FROM repository_import WHERE id = ? AND state = 'done'");
    const NOTE: Sql = sql!("UPDATE repository_import SET error = ? WHERE id = ? AND state = 'done'");
    let before = conn.find(&FIND, values![id], |row| row.opt_text(0)).await?.flatten();
    let text = before.map_or_else(|| remark.to_owned(), |before| format!("{before}; {remark}"));
    conn.execute(&NOTE, values![&text, id]).await.map(drop)
}

/// Ends an import and forgets its login; false when it has ended before.
///
/// # Errors
/// Any [`StoreError`].
pub async fn end(
    conn: &mut Conn,
    id: ImportId,
    state: ImportState,
    error: Option<&str>,
    now: i64,
) -> Result<bool, StoreError> {
    const END: Sql = sql!(
        "UPDATE repository_import SET state = ?, error = ?, phase = NULL, login = NULL, finished_at = ? \
         WHERE id = ? AND state IN ('waiting', 'running')"
    );
    conn.execute_one(&END, values![state, error, now, id]).await
}

/// Forgets imports that ended before a time.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, before_ms: i64) -> Result<u64, StoreError> {
    const PRUNE: Sql =
        sql!("DELETE FROM repository_import WHERE state IN ('done', 'failed') AND finished_at < ?");
    conn.execute(&PRUNE, values![before_ms]).await
}
