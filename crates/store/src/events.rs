//! Events: what happened in a repository, written in the transaction that made it happen.

use hakata_names::{EventId, RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From the allocator.
    pub id: EventId,
    /// Where it happened.
    pub repository: RepositoryId,
    /// The version of the repository that it made, or found.
    pub version: i64,
    /// What happened: `push`, …
    pub kind: String,
    /// Who did it; `None`: the system or a deploy key.
    pub actor: Option<UserId>,
    /// When, in ms.
    pub at: i64,
    /// The rest, as JSON.
    pub payload: String,
}

/// The columns of [`read`].
macro_rules! event {
    ($tail:literal) => {
        sql!(concat!("SELECT id, repository_id, version, kind, actor_id, at, payload FROM event ", $tail))
    };
}

fn read(row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        id: row.id(0)?,
        repository: row.id(1)?,
        version: row.int(2)?,
        kind: row.text(3)?,
        actor: row.opt_id(4)?,
        at: row.int(5)?,
        payload: row.text(6)?,
    })
}

/// Writes an event.
///
/// # Errors
/// Any [`StoreError`].
pub async fn append(conn: &mut Conn, event: &Event) -> Result<(), StoreError> {
    const APPEND: Sql = sql!(
        "INSERT INTO event (id, repository_id, version, kind, actor_id, at, payload) VALUES (?, ?, ?, ?, ?, ?, ?)"
    );
    let Event { id, repository, version, kind, actor, at, payload } = event;
    conn.execute(&APPEND, values![*id, *repository, *version, kind, *actor, *at, payload]).await.map(drop)
}

/// Finds an event by id; what a job that carries one asks.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: EventId) -> Result<Option<Event>, StoreError> {
    const FIND: Sql = event!("WHERE id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Lists the events of a repository, newest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    repository: RepositoryId,
    after: Option<(i64, EventId)>,
    size: PageSize,
) -> Result<Page<Event, (i64, EventId)>, StoreError> {
    const LIST: Sql = event!(
        "WHERE repository_id = ? AND (version < ? OR (version = ? AND id < ?)) ORDER BY version DESC, id DESC LIMIT ?"
    );
    let (version, id) = after.map_or((i64::MAX, i64::MAX), |(version, id)| (version, id.get()));
    let rows = conn.list(&LIST, values![repository, version, version, id, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |event| (event.version, event.id)))
}
