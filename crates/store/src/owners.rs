//! Owners: what users and groups have in common.

use hakata_names::{OwnerId, OwnerName};

use crate::conn::Conn;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::{OwnerKind, OwnerState};
use crate::{Conflict, StoreError};

/// A user or group as the row tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub id: OwnerId,
    /// Its name as it writes it.
    pub name: OwnerName,
    /// What it is.
    pub kind: OwnerKind,
    /// A name for people.
    pub display_name: String,
    /// The limit in bytes over its repositories; `None`: the configured default.
    pub quota_bytes: Option<i64>,
    /// The bytes of its repositories.
    pub size_bytes: i64,
    /// Whether it may act.
    pub state: OwnerState,
    /// When it was made, in ms.
    pub created_at: i64,
}

/// The columns of [`read`], first in every question that joins `owner o`.
macro_rules! owner {
    ($more:literal, $tail:literal) => {
        $crate::sql::sql!(concat!(
            "SELECT o.id, o.name, o.kind, o.display_name, o.quota_bytes, o.size_bytes, o.state, o.created_at",
            $more,
            " FROM owner o ",
            $tail
        ))
    };
}
pub(crate) use owner;

pub(crate) fn read(row: &Row) -> Result<Owner, StoreError> {
    Ok(Owner {
        id: row.id(0)?,
        name: row.parsed(1, |name| OwnerName::parse(name).ok())?,
        kind: row.parsed(2, OwnerKind::parse)?,
        display_name: row.text(3)?,
        quota_bytes: row.opt_int(4)?,
        size_bytes: row.int(5)?,
        state: row.parsed(6, OwnerState::parse)?,
        created_at: row.int(7)?,
    })
}

/// Finds an owner by name, in any case of its letters.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_by_name(conn: &mut Conn, name: &OwnerName) -> Result<Option<Owner>, StoreError> {
    const FIND: Sql = owner!("", "WHERE o.name_folded = ?");
    conn.find(&FIND, values![&name.folded()], read).await
}

/// Finds an owner by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: OwnerId) -> Result<Option<Owner>, StoreError> {
    const FIND: Sql = owner!("", "WHERE o.id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Gives an owner another name; its repositories move along in every URL.
///
/// # Errors
/// Any [`StoreError`]; the inner one is the taken name.
pub async fn rename(
    conn: &mut Conn,
    id: OwnerId,
    name: &OwnerName,
) -> Result<Result<(), Conflict>, StoreError> {
    const RENAME: Sql = sql!(
        "UPDATE owner SET name = ?, name_folded = ? WHERE id = ? AND NOT EXISTS \
         (SELECT 1 FROM (SELECT id FROM owner WHERE name_folded = ? AND id <> ? LIMIT 1) taken)"
    );
    let folded = name.folded();
    let is_renamed = conn.execute_one(&RENAME, values![name.as_str(), &folded, id, &folded, id]).await?;
    Ok(if is_renamed { Ok(()) } else { Err(Conflict { what: "owner" }) })
}

/// Changes the name for people.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_display_name(conn: &mut Conn, id: OwnerId, name: &str) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE owner SET display_name = ? WHERE id = ?");
    conn.execute_one(&SET, values![name, id]).await
}

/// Changes the limit in bytes; `None`: the configured default.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_quota(conn: &mut Conn, id: OwnerId, bytes: Option<i64>) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE owner SET quota_bytes = ? WHERE id = ?");
    conn.execute_one(&SET, values![bytes, id]).await
}

pub(crate) async fn insert(conn: &mut Conn, new: &Owner) -> Result<Result<(), Conflict>, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO owner (id, name, name_folded, kind, display_name, quota_bytes, size_bytes, state, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)");
    let folded = new.name.folded();
    let values = values![
        new.id,
        new.name.as_str(),
        &folded,
        new.kind,
        &new.display_name,
        new.quota_bytes,
        new.state,
        new.created_at,
    ];
    let is_inserted = conn.insert_absent(&INSERT, values).await?;
    Ok(if is_inserted { Ok(()) } else { Err(Conflict { what: "owner" }) })
}

/// Deletes the owner's row, and its webhooks, if no repository needs it, deleted ones included.
pub(crate) async fn delete_unused(conn: &mut Conn, id: OwnerId) -> Result<bool, StoreError> {
    const WEBHOOKS: Sql = sql!(
        "DELETE FROM webhook WHERE owner_id = ? AND NOT EXISTS (SELECT 1 FROM repository WHERE owner_id = ?)"
    );
    const DELETE: Sql =
        sql!("DELETE FROM owner WHERE id = ? AND NOT EXISTS (SELECT 1 FROM repository WHERE owner_id = ?)");
    conn.execute(&WEBHOOKS, values![id, id]).await?;
    conn.execute_one(&DELETE, values![id, id]).await
}

/// Tells whether an owner has repositories, deleted ones included.
pub(crate) async fn has_repositories(conn: &mut Conn, id: OwnerId) -> Result<bool, StoreError> {
    const ANY: Sql = sql!("SELECT id FROM repository WHERE owner_id = ? LIMIT 1");
    Ok(conn.find(&ANY, values![id], |row| row.int(0)).await?.is_some())
}
