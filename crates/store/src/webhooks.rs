//! Webhooks: whom to tell what happens. What they were told is in [`deliveries`], how far in [`cursor`].

pub mod cursor;
pub mod deliveries;

use hakata_names::{OwnerId, RepositoryId, WebhookId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// From the allocator.
    pub id: WebhookId,
    /// The one repository it is about.
    pub repository: Option<RepositoryId>,
    /// The owner whose repositories it is about; with neither, all are.
    pub owner: Option<OwnerId>,
    /// Where to.
    pub url: String,
    /// What requests are signed with, sealed.
    pub secret: Option<Vec<u8>>,
    /// The format's word.
    pub format: String,
    /// `json` or `form`.
    pub content_type: String,
    /// Words of events with a space between.
    pub events: String,
    /// The pattern over branches; empty: all.
    pub branches: String,
    /// Whether anything is recorded for it.
    pub is_active: bool,
    /// Since when deliveries are held, and why.
    pub paused: Option<Paused>,
    /// The first failure behind the last success, in ms.
    pub failing_since: Option<i64>,
    /// When it was made, in ms: nobody is told what happened before.
    pub created_at: i64,
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// Since when, in ms.
    pub at: i64,
    /// A word.
    pub reason: String,
}

/// The columns of [`read`].
macro_rules! webhook {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT id, repository_id, owner_id, url, secret, format, content_type, events, branches, is_active, ",
            "paused_at, pause_reason, failing_since, created_at FROM webhook ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<Webhook, StoreError> {
    let paused = row.opt_int(10)?.map(|at| -> Result<_, StoreError> {
        Ok(Paused { at, reason: row.opt_text(11)?.unwrap_or_default() })
    });
    Ok(Webhook {
        id: row.id(0)?,
        repository: row.opt_id(1)?,
        owner: row.opt_id(2)?,
        url: row.text(3)?,
        secret: row.opt_bytes(4)?.map(<[u8]>::to_vec),
        format: row.text(5)?,
        content_type: row.text(6)?,
        events: row.text(7)?,
        branches: row.text(8)?,
        is_active: row.flag(9)?,
        paused: paused.transpose()?,
        failing_since: row.opt_int(12)?,
        created_at: row.int(13)?,
    })
}

/// Inserts a webhook; it is not paused and has not failed.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(conn: &mut Conn, new: &Webhook) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(
        "INSERT INTO webhook (id, repository_id, owner_id, url, secret, format, content_type, events, branches, \
         is_active, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let values = values![
        new.id,
        new.repository,
        new.owner,
        &new.url,
        new.secret.as_deref(),
        &new.format,
        &new.content_type,
        &new.events,
        &new.branches,
        i64::from(new.is_active),
        new.created_at,
    ];
    conn.execute(&INSERT, values).await.map(drop)
}

/// Finds a webhook by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    const FIND: Sql = webhook!("WHERE id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Lists all webhooks by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    after: Option<WebhookId>,
    size: PageSize,
) -> Result<Page<Webhook, WebhookId>, StoreError> {
    const LIST: Sql = webhook!("WHERE id > ? ORDER BY id LIMIT ?");
    let after = after.map_or(0, WebhookId::get);
    let rows = conn.list(&LIST, values![after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |webhook| webhook.id))
}

/// Lists the webhooks of one repository, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of_repository(
    conn: &mut Conn,
    repository: RepositoryId,
) -> Result<Vec<Webhook>, StoreError> {
    const LIST: Sql = webhook!("WHERE repository_id = ? ORDER BY id");
    conn.list(&LIST, values![repository], read).await
}

/// Lists the webhooks of one owner, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of_owner(conn: &mut Conn, owner: OwnerId) -> Result<Vec<Webhook>, StoreError> {
    const LIST: Sql = webhook!("WHERE owner_id = ? ORDER BY id");
    conn.list(&LIST, values![owner], read).await
}

/// Lists the active webhooks that are about a repository: its own, its owner's, and those about all.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_about(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<Webhook>, StoreError> {
    const LIST: Sql = webhook!(
        "WHERE is_active = 1 AND (repository_id = ? \
         OR owner_id = (SELECT r.owner_id FROM repository r WHERE r.id = ?) \
         OR (repository_id IS NULL AND owner_id IS NULL)) ORDER BY id"
    );
    conn.list(&LIST, values![repository, repository], read).await
}

/// Deletes a webhook; its deliveries stay until they are pruned, without anybody to go to.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, id: WebhookId) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM webhook WHERE id = ?");
    conn.execute_one(&DELETE, values![id]).await
}

/// Pauses a webhook; false when it is paused already, or gone.
///
/// # Errors
/// Any [`StoreError`].
pub async fn pause(conn: &mut Conn, id: WebhookId, now: i64, reason: &str) -> Result<bool, StoreError> {
    const PAUSE: Sql =
        sql!("UPDATE webhook SET paused_at = ?, pause_reason = ? WHERE id = ? AND paused_at IS NULL");
    conn.execute_one(&PAUSE, values![now, reason, id]).await
}

/// Ends a pause and forgets that it failed; false when it is not paused.
///
/// # Errors
/// Any [`StoreError`].
pub async fn resume(conn: &mut Conn, id: WebhookId) -> Result<bool, StoreError> {
    const RESUME: Sql = sql!(
        "UPDATE webhook SET paused_at = NULL, pause_reason = NULL, failing_since = NULL \
         WHERE id = ? AND paused_at IS NOT NULL"
    );
    conn.execute_one(&RESUME, values![id]).await
}

/// Locks the row of a paused webhook until the end of the transaction, so that it stays paused; false when it is not.
///
/// # Errors
/// Any [`StoreError`].
pub async fn lock_paused(conn: &mut Conn, id: WebhookId) -> Result<bool, StoreError> {
    const LOCK: Sql = sql!("UPDATE webhook SET paused_at = paused_at WHERE id = ? AND paused_at IS NOT NULL");
    conn.execute_one(&LOCK, values![id]).await
}

/// Notes a failure at `now`, unless one was noted since the last success.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_failure(conn: &mut Conn, id: WebhookId, now: i64) -> Result<(), StoreError> {
    const NOTE: Sql = sql!("UPDATE webhook SET failing_since = ? WHERE id = ? AND failing_since IS NULL");
    conn.execute(&NOTE, values![now, id]).await.map(drop)
}

/// Notes a success.
///
/// # Errors
/// Any [`StoreError`].
pub async fn note_success(conn: &mut Conn, id: WebhookId) -> Result<(), StoreError> {
    const NOTE: Sql =
        sql!("UPDATE webhook SET failing_since = NULL WHERE id = ? AND failing_since IS NOT NULL");
    conn.execute(&NOTE, values![id]).await.map(drop)
}

/// Counts webhooks, and those that are paused; for the gauges.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn) -> Result<(i64, i64), StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*), COUNT(paused_at) FROM webhook");
    let found = conn.find(&COUNT, &[], |row| Ok((row.int(0)?, row.int(1)?))).await?;
    Ok(found.unwrap_or_default())
}
