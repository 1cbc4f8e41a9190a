//! Groups: owners that consist of users. A member's role holds on every repository of the group.

use hakata_names::{GroupId, OwnerName, UserId};

use crate::conn::Conn;
use crate::members::{Member, Members, members};
use crate::owners::{self, Owner, owner};
use crate::page::{Page, PageSize};
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::{OwnerKind, OwnerState, Role};
use crate::{Conflict, StoreError};

const MEMBERS: Members = members!("group_member", "group_id");

/// A group to be inserted.
#[derive(Clone, Debug)]
pub struct NewGroup<'a> {
    /// From the allocator.
    pub id: GroupId,
    /// The name, one namespace with users.
    pub name: &'a OwnerName,
    /// A name for people.
    pub display_name: &'a str,
    /// Now, in ms.
    pub created_at: i64,
}

/// Adds a group, unless a user or group has the name.
///
/// # Errors
/// Any [`StoreError`]; the inner one is the taken name.
pub async fn insert(conn: &mut Conn, new: &NewGroup<'_>) -> Result<Result<(), Conflict>, StoreError> {
    let owner = Owner {
        id: new.id.owner(),
        name: new.name.clone(),
        kind: OwnerKind::Group,
        display_name: new.display_name.to_owned(),
        quota_bytes: None,
        size_bytes: 0,
        state: OwnerState::Active,
        created_at: new.created_at,
    };
    owners::insert(conn, &owner).await
}

/// Finds a group by name, in any case of its letters; users are not found.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_by_name(conn: &mut Conn, name: &OwnerName) -> Result<Option<Owner>, StoreError> {
    const FIND: Sql = owner!("", "WHERE o.name_folded = ? AND o.kind = 'group'");
    conn.find(&FIND, values![&name.folded()], owners::read).await
}

/// Lists groups by name.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    after: Option<&OwnerName>,
    size: PageSize,
) -> Result<Page<Owner, OwnerName>, StoreError> {
    const LIST: Sql =
        owner!("", "WHERE o.kind = 'group' AND o.name_folded > ? ORDER BY o.name_folded LIMIT ?");
    let after = after.map(OwnerName::folded).unwrap_or_default();
    let rows = conn.list(&LIST, values![&after, size.limit()], owners::read).await?;
    Ok(Page::cut(rows, size, |group| group.name.clone()))
}

/// Lists the groups of a user, with the user's role in each.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of_user(conn: &mut Conn, user: UserId) -> Result<Vec<(Owner, Role)>, StoreError> {
    const LIST: Sql = owner!(
        ", m.role",
        "JOIN group_member m ON m.group_id = o.id WHERE m.user_id = ? ORDER BY o.name_folded"
    );
    conn.list(&LIST, values![user], |row| {
        let role = Role::from_stored(row.int(8)?).ok_or(StoreError::Unexpected { column: 8 })?;
        Ok((owners::read(row)?, role))
    })
    .await
}

/// Lists the members of a group by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_members(
    conn: &mut Conn,
    group: GroupId,
    after: Option<UserId>,
    size: PageSize,
) -> Result<Page<Member, UserId>, StoreError> {
    MEMBERS.list(conn, group.get(), after, size).await
}

/// Finds a user's role in a group.
///
/// # Errors
/// Any [`StoreError`].
pub async fn role_of(conn: &mut Conn, group: GroupId, user: UserId) -> Result<Option<Role>, StoreError> {
    const FIND: Sql = sql!("SELECT role FROM group_member WHERE group_id = ? AND user_id = ?");
    Ok(conn.find(&FIND, values![group, user], |row| row.int(0)).await?.and_then(Role::from_stored))
}

/// Takes the lock on a group's row until the transaction ends: whoever changes its members comes one after the other.
/// False if there is no such group.
///
/// # Errors
/// Any [`StoreError`].
pub async fn lock(conn: &mut Conn, id: GroupId) -> Result<bool, StoreError> {
    const LOCK: Sql = sql!("UPDATE owner SET state = state WHERE id = ? AND kind = 'group'");
    conn.execute_one(&LOCK, values![id]).await
}

/// Counts the owners of a group, so that the last one is not taken away.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count_owners(conn: &mut Conn, group: GroupId) -> Result<i64, StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*) FROM group_member WHERE group_id = ? AND role = 4");
    Ok(conn.find(&COUNT, values![group], |row| row.int(0)).await?.unwrap_or(0))
}

/// Makes a user a member, or gives a member another role, and raises the policy version of every repository of the
/// group. Use a transaction.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_member(conn: &mut Conn, group: GroupId, user: UserId, role: Role) -> Result<(), StoreError> {
    raise_policy_versions(conn, group).await?;
    MEMBERS.set(conn, group.get(), user, role).await
}

/// Takes a member out, and raises the policy version of every repository of the group. Use a transaction.
///
/// # Errors
/// Any [`StoreError`].
pub async fn remove_member(conn: &mut Conn, group: GroupId, user: UserId) -> Result<bool, StoreError> {
    raise_policy_versions(conn, group).await?;
    MEMBERS.remove(conn, group.get(), user).await
}

/// Deletes a group without repositories, and its memberships; false, and nothing done, otherwise. Use a transaction.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, id: GroupId) -> Result<bool, StoreError> {
    const ALL: Sql = sql!("DELETE FROM group_member WHERE group_id = ?");
    if owners::has_repositories(conn, id.owner()).await? {
        return Ok(false);
    }
    conn.execute(&ALL, values![id]).await?;
    owners::delete_unused(conn, id.owner()).await
}

async fn raise_policy_versions(conn: &mut Conn, group: GroupId) -> Result<(), StoreError> {
    const RAISE: Sql = sql!("UPDATE repository SET policy_version = policy_version + 1 WHERE owner_id = ?");
    conn.execute(&RAISE, values![group]).await.map(drop)
}
