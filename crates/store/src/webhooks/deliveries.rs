//! Deliveries: what a webhook was told, or is to be told, once; and each attempt at it.

use hakata_names::{DeliveryId, EventId, Oid, RefName, RepositoryId, UserId, WebhookId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};
use crate::words::DeliveryState;

/// A delivery, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// From the allocator.
    pub id: DeliveryId,
    /// What receivers see.
    pub guid: String,
    /// To whom.
    pub webhook: WebhookId,
    /// What it is about; `None`: a test.
    pub event: Option<EventId>,
    /// `push`, …
    pub kind: String,
    /// Where it happened.
    pub repository: Option<RepositoryId>,
    /// The ref that moved.
    pub ref_name: Option<RefName>,
    /// Where it pointed.
    pub old: Option<Oid>,
    /// Where it points.
    pub new: Option<Oid>,
    /// Who moved it.
    pub actor: Option<UserId>,
    /// When it happened, in ms.
    pub at: i64,
    /// What it takes turns with.
    pub lane: String,
    /// Its turn.
    pub sequence: i64,
    /// Where it is in its life.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: i64,
    /// When trying ends, in ms; `None`: it was not tried yet.
    pub give_up_at: Option<i64>,
    /// When it was recorded, in ms.
    pub created_at: i64,
    /// When it was delivered or given up, in ms.
    pub finished_at: Option<i64>,
}

/// The columns of [`read`].
macro_rules! delivery {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT id, guid, webhook_id, event_id, kind, repository_id, ref_name, old_oid, new_oid, actor_id, at, ",
            "lane, sequence, state, attempts, give_up_at, created_at, finished_at FROM webhook_delivery ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<Delivery, StoreError> {
    let ref_name = row.opt_bytes(6)?.map(RefName::parse).transpose();
    Ok(Delivery {
        id: row.id(0)?,
        guid: row.text(1)?,
        webhook: row.id(2)?,
        event: row.opt_id(3)?,
        kind: row.text(4)?,
        repository: row.opt_id(5)?,
        ref_name: ref_name.map_err(|_| StoreError::Unexpected { column: 6 })?,
        old: row.opt_oid(7)?,
        new: row.opt_oid(8)?,
        actor: row.opt_id(9)?,
        at: row.int(10)?,
        lane: row.text(11)?,
        sequence: row.int(12)?,
        state: row.parsed(13, DeliveryState::parse)?,
        attempts: row.int(14)?,
        give_up_at: row.opt_int(15)?,
        created_at: row.int(16)?,
        finished_at: row.opt_int(17)?,
    })
}

/// Inserts deliveries that were not tried yet.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(conn: &mut Conn, new: &[Delivery]) -> Result<(), StoreError> {
    const INSERT: ManySql = ManySql {
        head: "INSERT INTO webhook_delivery (id, guid, webhook_id, event_id, kind, repository_id, ref_name, old_oid, \
               new_oid, actor_id, at, lane, sequence, state, attempts, created_at) VALUES ",
        row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        between: ", ",
        tail: "",
        again: None,
    };
    for chunk in chunks(new) {
        let values: Vec<Value<'_>> = chunk.iter().flat_map(row_values).collect();
        conn.execute_many(&INSERT, chunk.len(), &values).await?;
    }
    Ok(())
}

fn row_values(new: &Delivery) -> [Value<'_>; 15] {
    [
        new.id.into(),
        (&new.guid).into(),
        new.webhook.into(),
        new.event.into(),
        (&new.kind).into(),
        new.repository.into(),
        new.ref_name.as_ref().map(RefName::as_bytes).into(),
        new.old.as_ref().into(),
        new.new.as_ref().into(),
        new.actor.into(),
        new.at.into(),
        (&new.lane).into(),
        new.sequence.into(),
        new.state.into(),
        new.created_at.into(),
    ]
}

/// Finds a delivery by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    const FIND: Sql = delivery!("WHERE id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Lists the deliveries of a webhook, newest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    webhook: WebhookId,
    before: Option<DeliveryId>,
    size: PageSize,
) -> Result<Page<Delivery, DeliveryId>, StoreError> {
    const LIST: Sql = delivery!("WHERE webhook_id = ? AND id < ? ORDER BY id DESC LIMIT ?");
    let before = before.map_or(i64::MAX, DeliveryId::get);
    let rows = conn.list(&LIST, values![webhook, before, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |delivery| delivery.id))
}

/// Lists the deliveries of a webhook in one state from a time on, in the order in which they were recorded.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_in(
    conn: &mut Conn,
    webhook: WebhookId,
    state: DeliveryState,
    since: i64,
    size: PageSize,
) -> Result<Vec<Delivery>, StoreError> {
    const LIST: Sql = delivery!("WHERE webhook_id = ? AND state = ? AND created_at >= ? ORDER BY id LIMIT ?");
    conn.list(&LIST, values![webhook, state, since, size.limit()], read).await
}

/// Counts the deliveries of a webhook in one state.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count_in(conn: &mut Conn, webhook: WebhookId, state: DeliveryState) -> Result<i64, StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*) FROM webhook_delivery WHERE webhook_id = ? AND state = ?");
    Ok(conn.find(&COUNT, values![webhook, state], |row| row.int(0)).await?.unwrap_or(0))
}

/// Reads the body of the request, if it was made already.
///
/// # Errors
/// Any [`StoreError`].
pub async fn body(conn: &mut Conn, id: DeliveryId) -> Result<Option<Vec<u8>>, StoreError> {
    const BODY: Sql = sql!("SELECT body FROM webhook_delivery WHERE id = ?");
    let found = conn.find(&BODY, values![id], |row| Ok(row.opt_bytes(0)?.map(<[u8]>::to_vec))).await?;
    Ok(found.flatten())
}

/// Keeps the body of the request, if none is kept: all attempts send the same bytes.
///
/// # Errors
/// Any [`StoreError`].
pub async fn keep_body(conn: &mut Conn, id: DeliveryId, body: &[u8]) -> Result<(), StoreError> {
    const KEEP: Sql = sql!("UPDATE webhook_delivery SET body = ? WHERE id = ? AND body IS NULL");
    conn.execute(&KEEP, values![body, id]).await.map(drop)
}

/// Moves a delivery from one state to another; false when it is not in the first. `finished_at` is set by the two
/// states that end it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_state(
    conn: &mut Conn,
    id: DeliveryId,
    from: DeliveryState,
    to: DeliveryState,
    now: i64,
) -> Result<bool, StoreError> {
    const SET: Sql =
        sql!("UPDATE webhook_delivery SET state = ?, finished_at = ? WHERE id = ? AND state = ?");
    let finished_at = matches!(to, DeliveryState::Delivered | DeliveryState::Failed).then_some(now);
    conn.execute_one(&SET, values![to, finished_at, id, from]).await
}

/// Begins anew with a delivery that has ended or is held: it waits, and may be tried as long as a new one. False when
/// it waits already, or is gone.
///
/// # Errors
/// Any [`StoreError`].
pub async fn renew(conn: &mut Conn, id: DeliveryId) -> Result<bool, StoreError> {
    const RENEW: Sql = sql!(
        "UPDATE webhook_delivery SET state = 'waiting', finished_at = NULL, give_up_at = NULL \
         WHERE id = ? AND state <> 'waiting'"
    );
    conn.execute_one(&RENEW, values![id]).await
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// From 1.
    pub number: i64,
    /// When, in ms.
    pub at: i64,
    /// Where to.
    pub url: String,
    /// Lines, without what is derived from the secret.
    pub request_headers: String,
    /// The answer's status; `None`: there was none.
    pub status: Option<i64>,
    /// The answer's header lines.
    pub response_headers: Option<String>,
    /// The beginning of the answer's body.
    pub response_body: Option<Vec<u8>>,
    /// Why there was no answer, or why its body is cut.
    pub error: Option<String>,
    /// JSON.
    pub timings: String,
}

/// Counts an attempt that begins, and says until when there will be others; the answer is its number. `None`: the
/// delivery does not wait.
///
/// # Errors
/// Any [`StoreError`].
pub async fn begin_attempt(
    conn: &mut Conn,
    id: DeliveryId,
    give_up_at: i64,
) -> Result<Option<(i64, i64)>, StoreError> {
    const BEGIN: Sql = sql!(
        "UPDATE webhook_delivery SET attempts = attempts + 1, give_up_at = COALESCE(give_up_at, ?) \
         WHERE id = ? AND state = 'waiting'"
    );
    const READ: Sql = sql!("SELECT attempts, give_up_at FROM webhook_delivery WHERE id = ?");
    if !conn.execute_one(&BEGIN, values![give_up_at, id]).await? {
        return Ok(None);
    }
    conn.find(&READ, values![id], |row| Ok((row.int(0)?, row.int(1)?))).await
}

/// Records an attempt; one of the same number is left as it is.
///
/// # Errors
/// Any [`StoreError`].
pub async fn record(conn: &mut Conn, attempt: &Attempt) -> Result<(), StoreError> {
    const RECORD: Sql = sql!(insert_absent
        "INSERT INTO webhook_attempt (delivery_id, number, at, url, request_headers, status, response_headers, \
         response_body, error, timings) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    let values = values![
        attempt.delivery,
        attempt.number,
        attempt.at,
        &attempt.url,
        &attempt.request_headers,
        attempt.status,
        attempt.response_headers.as_deref(),
        attempt.response_body.as_deref(),
        attempt.error.as_deref(),
        &attempt.timings,
    ];
    conn.insert_absent(&RECORD, values).await.map(drop)
}

/// Lists the attempts of a delivery, the first first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn attempts(conn: &mut Conn, id: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT delivery_id, number, at, url, request_headers, status, response_headers, response_body, error, \
         timings FROM webhook_attempt WHERE delivery_id = ? ORDER BY number"
    );
    conn.list(&LIST, values![id], |row| {
        Ok(Attempt {
            delivery: row.id(0)?,
            number: row.int(1)?,
            at: row.int(2)?,
            url: row.text(3)?,
            request_headers: row.text(4)?,
            status: row.opt_int(5)?,
            response_headers: row.opt_text(6)?,
            response_body: row.opt_bytes(7)?.map(<[u8]>::to_vec),
            error: row.opt_text(8)?,
            timings: row.text(9)?,
        })
    })
    .await
}

/// Forgets deliveries recorded before a time, with their attempts, up to some thousands; those that still wait or are
/// held too: nobody wants news that old. The answer says how many.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, before_ms: i64) -> Result<u64, StoreError> {
    const OLD: Sql =
        sql!("SELECT id FROM webhook_delivery WHERE created_at < ? ORDER BY created_at LIMIT 1000");
    const ATTEMPTS: ManySql = ManySql {
        head: "DELETE FROM webhook_attempt WHERE delivery_id IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    const DELIVERIES: ManySql = ManySql { head: "DELETE FROM webhook_delivery WHERE id IN (", ..ATTEMPTS };
    let ids = conn.list(&OLD, values![before_ms], |row| row.int(0)).await?;
    let mut n_pruned = 0;
    for ids in chunks(&ids) {
        let ids: Vec<Value<'_>> = ids.iter().copied().map(Value::from).collect();
        conn.execute_many(&ATTEMPTS, ids.len(), &ids).await?;
        n_pruned += conn.execute_many(&DELIVERIES, ids.len(), &ids).await?;
    }
    Ok(n_pruned)
}
