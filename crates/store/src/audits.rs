//! The audit log: who did what to the rules of the house. Rows are written with the change and never updated.

use hakata_names::{AuditId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// From the allocator.
    pub id: AuditId,
    /// When, in ms.
    pub at: i64,
    /// Who; `None`: the system.
    pub actor_id: Option<UserId>,
    /// The actor's name at that time.
    pub actor_name: String,
    /// The address it came from.
    pub address: String,
    /// What was done: `repository.delete`, …; up to 64 bytes.
    pub action: String,
    /// To what: `alice/tools`, …; up to 255 bytes.
    pub subject: String,
    /// The rest, as JSON.
    pub detail: String,
}

/// Which entries to list; both `None` lists all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Only this actor's.
    pub actor: Option<UserId>,
    /// Only those about this subject; not combined with `actor`, which goes first.
    pub subject: Option<&'a str>,
}

/// The columns of [`read`], and the order and key of every list.
macro_rules! audit {
    ($where:literal) => {
        sql!(concat!(
            "SELECT id, at, actor_id, actor_name, address, action, subject, detail FROM audit WHERE ",
            $where,
            "(at < ? OR (at = ? AND id < ?)) ORDER BY at DESC, id DESC LIMIT ?"
        ))
    };
}

fn read(row: &Row) -> Result<Audit, StoreError> {
    Ok(Audit {
        id: row.id(0)?,
        at: row.int(1)?,
        actor_id: row.opt_id(2)?,
        actor_name: row.text(3)?,
        address: row.text(4)?,
        action: row.text(5)?,
        subject: row.text(6)?,
        detail: row.text(7)?,
    })
}

/// Writes an entry.
///
/// # Errors
/// Any [`StoreError`].
pub async fn append(conn: &mut Conn, entry: &Audit) -> Result<(), StoreError> {
    const APPEND: Sql = sql!(
        "INSERT INTO audit (id, at, actor_id, actor_name, address, action, subject, detail) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let Audit { id, at, actor_id, actor_name, address, action, subject, detail } = entry;
    let values = values![*id, *at, *actor_id, actor_name, address, action, subject, detail];
    conn.execute(&APPEND, values).await.map(drop)
}

/// Lists entries, newest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    filter: Filter<'_>,
    after: Option<(i64, AuditId)>,
    size: PageSize,
) -> Result<Page<Audit, (i64, AuditId)>, StoreError> {
    const ALL: Sql = audit!("");
    const OF_ACTOR: Sql = audit!("actor_id = ? AND ");
    const OF_SUBJECT: Sql = audit!("subject = ? AND ");
    let (at, id) = after.map_or((i64::MAX, i64::MAX), |(at, id)| (at, id.get()));
    let limit = size.limit();
    let rows = match filter {
        Filter { actor: Some(actor), .. } => {
            conn.list(&OF_ACTOR, values![actor, at, at, id, limit], read).await?
        }
        Filter { subject: Some(subject), .. } => {
            conn.list(&OF_SUBJECT, values![subject, at, at, id, limit], read).await?
        }
        _ => conn.list(&ALL, values![at, at, id, limit], read).await?,
    };
    Ok(Page::cut(rows, size, |entry| (entry.at, entry.id)))
}
