//! Users invited to one repository.

use hakata_names::{RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::members::{Member, Members, members};
use crate::page::{Page, PageSize};
use crate::repositories::raise_policy_version;
use crate::words::Role;

const COLLABORATORS: Members = members!("repository_collaborator", "repository_id");

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
    raise_policy_version(conn, repository).await?;
    COLLABORATORS.set(conn, repository.get(), user, role).await
}

/// Takes a user's role away and raises the policy version; false when there was none.
///
/// # Errors
/// Any [`StoreError`].
pub async fn remove(conn: &mut Conn, repository: RepositoryId, user: UserId) -> Result<bool, StoreError> {
    raise_policy_version(conn, repository).await?;
    COLLABORATORS.remove(conn, repository.get(), user).await
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
    COLLABORATORS.list(conn, repository.get(), after, size).await
}
