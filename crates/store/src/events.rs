//! Events: what happened in a repository, written in the transaction that made it happen.

use hakata_names::{EventId, RepositoryId, UserId};

use crate::clock::{self, clocked};
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};
use crate::{StoreError, Tx};

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
    const APPEND: Sql = clocked!(
        "INSERT INTO event (id, repository_id, version, kind, actor_id, at, payload, relay_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ",
        ")"
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

/// Takes events that a broker is to be told of and that are younger than `age_ms`, in their order. No other relay takes
/// them for so long, in ms; the answer is until when that is, by the database's clock, by which [`told`] knows them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn take_untold(
    tx: &mut Tx<'_>,
    now: i64,
    age_ms: i64,
    lasting_ms: i64,
    most: i64,
) -> Result<(Vec<Event>, i64), StoreError> {
    macro_rules! next {
        ($lock:literal) => {
            concat!(
                "SELECT id, repository_id, version, kind, actor_id, at, payload FROM event \
                 WHERE relay_at > ? AND relay_at <= ? AND at > ? ORDER BY relay_at, id LIMIT ?",
                $lock
            )
        };
    }
    const NEXT: Sql = sql!(
        sqlite: next!(""),
        postgres: next!(" FOR UPDATE SKIP LOCKED"),
        mysql: next!(" FOR UPDATE SKIP LOCKED")
    );
    const TAKE: ManySql = ManySql {
        head: "UPDATE event SET relay_at = ? WHERE id IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let at = clock::read(tx).await?;
    let until = at.saturating_add(lasting_ms);
    let values = values![at.saturating_sub(age_ms), at, now.saturating_sub(age_ms), most];
    let taken = tx.list(&NEXT, values, read).await?;
    let ids: Vec<EventId> = taken.iter().map(|event| event.id).collect();
    for ids in chunks(&ids) {
        let mut values = vec![Value::from(until)];
        values.extend(ids.iter().map(|id| Value::from(*id)));
        tx.execute_many(&TAKE, ids.len(), &values).await?;
    }
    Ok((taken, until))
}

/// Says after how long, in ms, events are to be told again that a relay took until `until`; `None`: the broker was told.
///
/// # Errors
/// Any [`StoreError`].
pub async fn told(
    conn: &mut Conn,
    ids: &[EventId],
    until: i64,
    again_after_ms: Option<i64>,
) -> Result<u64, StoreError> {
    const TOLD: ManySql = ManySql {
        head: "UPDATE event SET relay_at = ? WHERE relay_at = ? AND id IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let again_at = match again_after_ms {
        Some(after_ms) => Some(clock::read(conn).await?.saturating_add(after_ms)),
        None => None,
    };
    let mut n_told = 0;
    for ids in chunks(ids) {
        let mut values = vec![Value::from(again_at), Value::from(until)];
        values.extend(ids.iter().map(|id| Value::from(*id)));
        n_told += conn.execute_many(&TOLD, ids.len(), &values).await?;
    }
    Ok(n_told)
}
