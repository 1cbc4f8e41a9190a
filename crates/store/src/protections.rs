//! Protections: rules on refs of one repository. Every change raises the repository's policy version.

use hakata_names::{ProtectionId, RefPattern, RepositoryId, UserId};

use crate::conn::Conn;
use crate::repositories::raise_policy_version;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::{ProtectionKind, Role, least_stored};
use crate::{Conflict, StoreError};

/// A rule on the refs that match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// From the allocator.
    pub id: ProtectionId,
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Whether it is about branches or tags.
    pub kind: ProtectionKind,
    /// Matched against the names.
    pub pattern: RefPattern,
    /// The least role that may push; `None`: no role is enough.
    pub push_role: Option<Role>,
    /// The least role that may merge; `None`: no role is enough.
    pub merge_role: Option<Role>,
    /// Whether moves that are no fast-forward are allowed to those who may push.
    pub may_force: bool,
    /// Whether deletion is allowed to those who may push.
    pub may_delete: bool,
    /// Who may push and merge whatever their role.
    pub allowed_users: Vec<UserId>,
    /// When it was made, in ms.
    pub created_at: i64,
}

fn read(row: &Row) -> Result<Protection, StoreError> {
    let pattern = std::str::from_utf8(row.bytes(3)?).ok().and_then(|pattern| RefPattern::parse(pattern).ok());
    Ok(Protection {
        id: row.id(0)?,
        repository: row.id(1)?,
        kind: row.parsed(2, ProtectionKind::parse)?,
        pattern: pattern.ok_or(StoreError::Unexpected { column: 3 })?,
        push_role: Role::from_stored(row.int(4)?),
        merge_role: Role::from_stored(row.int(5)?),
        may_force: row.flag(6)?,
        may_delete: row.flag(7)?,
        allowed_users: row.parsed(8, |json| serde_json::from_str(json).ok())?,
        created_at: row.int(9)?,
    })
}

fn json(users: &[UserId]) -> String {
    serde_json::Value::from(users.iter().map(|user| user.get()).collect::<Vec<i64>>()).to_string()
}

/// Lists the rules of a repository in the order they were made; every push asks this.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<Protection>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT id, repository_id, kind, pattern, push_role, merge_role, may_force, may_delete, allowed_users, \
         created_at FROM protection WHERE repository_id = ? ORDER BY created_at, id"
    );
    conn.list(&LIST, values![repository], read).await
}

/// Adds a rule, unless the repository has one for the same pattern.
///
/// # Errors
/// Any [`StoreError`]; the inner one is the rule of this kind and pattern.
pub async fn insert(conn: &mut Conn, rule: &Protection) -> Result<Result<(), Conflict>, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO protection (id, repository_id, kind, pattern, push_role, merge_role, may_force, may_delete, \
         allowed_users, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    raise_policy_version(conn, rule.repository).await?;
    let users = json(&rule.allowed_users);
    let values = values![
        rule.id,
        rule.repository,
        rule.kind,
        rule.pattern.as_str().as_bytes(),
        least_stored(rule.push_role),
        least_stored(rule.merge_role),
        rule.may_force,
        rule.may_delete,
        &users,
        rule.created_at,
    ];
    let is_inserted = conn.insert_absent(&INSERT, values).await?;
    Ok(if is_inserted { Ok(()) } else { Err(Conflict { what: "protection" }) })
}

/// Changes what a rule allows; its kind and pattern stay. False when the repository has no such rule.
///
/// # Errors
/// Any [`StoreError`].
pub async fn update(conn: &mut Conn, rule: &Protection) -> Result<bool, StoreError> {
    const UPDATE: Sql = sql!(
        "UPDATE protection SET push_role = ?, merge_role = ?, may_force = ?, may_delete = ?, allowed_users = ? \
         WHERE id = ? AND repository_id = ?"
    );
    raise_policy_version(conn, rule.repository).await?;
    let users = json(&rule.allowed_users);
    let values = values![
        least_stored(rule.push_role),
        least_stored(rule.merge_role),
        rule.may_force,
        rule.may_delete,
        &users,
        rule.id,
        rule.repository,
    ];
    conn.execute_one(&UPDATE, values).await
}

/// Removes a rule of a repository; false when it has no such rule.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, repository: RepositoryId, id: ProtectionId) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM protection WHERE id = ? AND repository_id = ?");
    raise_policy_version(conn, repository).await?;
    conn.execute_one(&DELETE, values![id, repository]).await
}
