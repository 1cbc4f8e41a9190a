//! Notices: what one user is told by mail, once. Written in the transaction of what they tell of.

use hakata_names::{JobId, NoticeId, RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::NoticeState;

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// From the allocator.
    pub id: NoticeId,
    /// Who is told.
    pub user: UserId,
    /// What is told of: `push`, …
    pub kind: String,
    /// Why this user.
    pub reason: String,
    /// What happened: up to 100 bytes, of which a user is told once.
    pub source: String,
    /// Where it happened.
    pub repository: Option<RepositoryId>,
    /// Who did it.
    pub actor: Option<UserId>,
    /// The rest, as JSON.
    pub payload: String,
    /// Where it is in its life.
    pub state: NoticeState,
    /// What the mail server said last, or why it was dropped.
    pub error: Option<String>,
    /// When it was recorded, in ms.
    pub created_at: i64,
    /// When it was sent, failed or was dropped, in ms.
    pub finished_at: Option<i64>,
}

/// The columns of [`read`].
macro_rules! notice {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT id, user_id, kind, reason, source, repository_id, actor_id, payload, state, error, created_at, ",
            "finished_at FROM notice ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<Notice, StoreError> {
    Ok(Notice {
        id: row.id(0)?,
        user: row.id(1)?,
        kind: row.text(2)?,
        reason: row.text(3)?,
        source: row.text(4)?,
        repository: row.opt_id(5)?,
        actor: row.opt_id(6)?,
        payload: row.text(7)?,
        state: row.parsed(8, NoticeState::parse)?,
        error: row.opt_text(9)?,
        created_at: row.int(10)?,
        finished_at: row.opt_int(11)?,
    })
}

/// Inserts a notice; false, and nothing done, when the user was told of the same source before.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(conn: &mut Conn, new: &Notice) -> Result<bool, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO notice (id, user_id, kind, reason, source, repository_id, actor_id, payload, state, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    let values = values![
        new.id,
        new.user,
        &new.kind,
        &new.reason,
        &new.source,
        new.repository,
        new.actor,
        &new.payload,
        new.state,
        new.created_at,
    ];
    conn.insert_absent(&INSERT, values).await
}

/// Finds a notice by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: NoticeId) -> Result<Option<Notice>, StoreError> {
    const FIND: Sql = notice!("WHERE id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Lists notices, newest first, in one state or all.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    state: Option<NoticeState>,
    before: Option<NoticeId>,
    size: PageSize,
) -> Result<Page<Notice, NoticeId>, StoreError> {
    const LIST: Sql = notice!("WHERE id < ? ORDER BY id DESC LIMIT ?");
    const IN_STATE: Sql = notice!("WHERE id < ? AND state = ? ORDER BY id DESC LIMIT ?");
    let before = before.map_or(i64::MAX, NoticeId::get);
    let rows = match state {
        None => conn.list(&LIST, values![before, size.limit()], read).await?,
        Some(state) => conn.list(&IN_STATE, values![before, state, size.limit()], read).await?,
    };
    Ok(Page::cut(rows, size, |notice| notice.id))
}

/// Puts held notices of a user into the batch of a job, the oldest first, up to `most`, unless it has some already.
///
/// # Errors
/// Any [`StoreError`].
pub async fn fill_batch(
    conn: &mut Conn,
    user: UserId,
    batch: JobId,
    most: i64,
) -> Result<Vec<Notice>, StoreError> {
    // The inner SELECT has a name of its own because MySQL refuses to read the table that it writes.
    const FILL: Sql = sql!(
        "UPDATE notice SET batch = ? WHERE user_id = ? AND state = 'held' AND batch IS NULL AND id IN (SELECT id FROM \
         (SELECT id FROM notice WHERE user_id = ? AND state = 'held' AND batch IS NULL ORDER BY id LIMIT ?) part)"
    );
    const LIST: Sql = notice!("WHERE batch = ? AND state = 'held' ORDER BY id");
    const HAS: Sql = sql!("SELECT COUNT(*) FROM notice WHERE batch = ?");
    let n = conn.find(&HAS, values![batch], |row| row.int(0)).await?.unwrap_or(0);
    if n == 0 {
        conn.execute(&FILL, values![batch, user, user, most]).await?;
    }
    conn.list(&LIST, values![batch], read).await
}

/// Tells whether a user has held notices that are in no batch.
///
/// # Errors
/// Any [`StoreError`].
pub async fn has_held(conn: &mut Conn, user: UserId) -> Result<bool, StoreError> {
    const HAS: Sql =
        sql!("SELECT id FROM notice WHERE user_id = ? AND state = 'held' AND batch IS NULL LIMIT 1");
    Ok(conn.find(&HAS, values![user], |row| row.int(0)).await?.is_some())
}

/// Ends a notice that was not sent, or tells again how it failed; false when it was sent or dropped before.
///
/// # Errors
/// Any [`StoreError`].
pub async fn finish(
    conn: &mut Conn,
    id: NoticeId,
    to: NoticeState,
    error: Option<&str>,
    now: i64,
) -> Result<bool, StoreError> {
    const FINISH: Sql = sql!(
        "UPDATE notice SET state = ?, error = ?, finished_at = ? WHERE id = ? AND state IN ('waiting', 'held', 'failed')"
    );
    conn.execute_one(&FINISH, values![to, error, now, id]).await
}

/// Notes what the mail server said about a notice that is tried again.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_error(conn: &mut Conn, id: NoticeId, error: &str) -> Result<(), StoreError> {
    const NOTE: Sql = sql!("UPDATE notice SET error = ? WHERE id = ?");
    conn.execute(&NOTE, values![error, id]).await.map(drop)
}

/// Forgets notices recorded before a time, whatever became of them; the answer says how many.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, before_ms: i64) -> Result<u64, StoreError> {
    const PRUNE: Sql = sql!(
        "DELETE FROM notice WHERE id IN (SELECT id FROM (SELECT id FROM notice WHERE created_at < ? \
         ORDER BY created_at LIMIT 1000) part)"
    );
    conn.execute(&PRUNE, values![before_ms]).await
}
