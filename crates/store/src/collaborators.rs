//! Users invited to one repository.

use hakata_names::{OwnerName, RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::repositories::raise_policy_version;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::Role;

/// A user with a role, in a repository or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    pub name: OwnerName,
    /// What the user may do.
    pub role: Role,
}

/// Gives a user a role in a repository, or another one, and raises the policy version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set(
    conn: &mut Conn,
    repository: RepositoryId,
    user: UserId,
    role: Role,
) -> Result<(), StoreError> {
    const SET: Sql =
        sql!("UPDATE repository_collaborator SET role = ? WHERE repository_id = ? AND user_id = ?");
    const INSERT: Sql = sql!(insert_absent "INSERT INTO repository_collaborator (repository_id, user_id, role) VALUES (?, ?, ?)");
    raise_policy_version(conn, repository).await?;
    if !conn.execute_one(&SET, values![role.stored(), repository, user]).await? {
        conn.insert_absent(&INSERT, values![repository, user, role.stored()]).await?;
    }
    Ok(())
}

/// Takes a user's role away and raises the policy version; false when there was none.
///
/// # Errors
/// Any [`StoreError`].
pub async fn remove(conn: &mut Conn, repository: RepositoryId, user: UserId) -> Result<bool, StoreError> {
    const REMOVE: Sql = sql!("DELETE FROM repository_collaborator WHERE repository_id = ? AND user_id = ?");
    raise_policy_version(conn, repository).await?;
    conn.execute_one(&REMOVE, values![repository, user]).await
}

/// Lists the users invited to a repository by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    repository: RepositoryId,
    after: Option<UserId>,
    size: PageSize,
) -> Result<Page<Member, UserId>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT c.user_id, o.name, c.role FROM repository_collaborator c JOIN owner o ON o.id = c.user_id \
         WHERE c.repository_id = ? AND c.user_id > ? ORDER BY c.user_id LIMIT ?"
    );
    let after = after.map_or(0, UserId::get);
    let rows = conn.list(&LIST, values![repository, after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |member| member.user_id))
}

pub(crate) fn read(row: &crate::row::Row) -> Result<Member, StoreError> {
    Ok(Member {
        user_id: row.id(0)?,
        name: row.parsed(1, |name| OwnerName::parse(name).ok())?,
        role: Role::from_stored(row.int(2)?).ok_or(StoreError::Unexpected { column: 2 })?,
    })
}
