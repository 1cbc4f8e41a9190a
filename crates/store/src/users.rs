//! Users: owners that can sign in.

use hakata_names::{OwnerId, OwnerName, UserId};

use crate::conn::Conn;
use crate::owners::{self, Owner, owner};
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::{OwnerKind, OwnerState};
use crate::{Conflict, StoreError};

/// A user as the rows tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// What every owner has.
    pub owner: Owner,
    /// Where to write to.
    pub email: String,
    /// The password's hash in PHC form; `None`: cannot sign in by password.
    pub password_hash: Option<String>,
    /// Whether the user is an administrator.
    pub is_admin: bool,
    /// 0: none, 1: one-time codes.
    pub second_factor: i64,
    /// Whether the user signs in elsewhere.
    pub is_external: bool,
    /// Raised when password, second factor, tokens or state change.
    pub credentials_version: i64,
    /// When the user was last seen, in ms, rounded.
    pub last_seen_at: Option<i64>,
}

/// A user to be inserted.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// From the allocator.
    pub id: UserId,
    /// The name, one namespace with groups.
    pub name: &'a OwnerName,
    /// A name for people.
    pub display_name: &'a str,
    /// Where to write to.
    pub email: &'a str,
    /// The password's hash.
    pub password_hash: Option<&'a str>,
    /// Whether the user is an administrator.
    pub is_admin: bool,
    /// Whether the user signs in elsewhere.
    pub is_external: bool,
    /// Now, in ms.
    pub created_at: i64,
}

/// The columns of [`read`].
macro_rules! user {
    ($tail:literal) => {
        owner!(
            ", a.email, a.password_hash, a.is_admin, a.second_factor, a.is_external, a.credentials_version, \
             a.last_seen_at",
            $tail
        )
    };
}

fn read(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.id(0)?,
        owner: owners::read(row)?,
        email: row.text(8)?,
        password_hash: row.opt_text(9)?,
        is_admin: row.flag(10)?,
        second_factor: row.int(11)?,
        is_external: row.flag(12)?,
        credentials_version: row.int(13)?,
        last_seen_at: row.opt_int(14)?,
    })
}

/// Adds a user, unless a user or group has the name. Two rows: use a transaction.
///
/// # Errors
/// Any [`StoreError`]; the inner one is the taken name.
pub async fn insert(conn: &mut Conn, new: &NewUser<'_>) -> Result<Result<(), Conflict>, StoreError> {
    const INSERT: Sql = sql!(
        "INSERT INTO account (user_id, email, password_hash, is_admin, second_factor, is_external, \
         credentials_version) VALUES (?, ?, ?, ?, 0, ?, 1)"
    );
    let owner = Owner {
        id: new.id.owner(),
        name: new.name.clone(),
        kind: OwnerKind::User,
        display_name: new.display_name.to_owned(),
        quota_bytes: None,
        size_bytes: 0,
        state: OwnerState::Active,
        created_at: new.created_at,
    };
    if let Err(taken) = owners::insert(conn, &owner).await? {
        return Ok(Err(taken));
    }
    let values = values![new.id, new.email, new.password_hash, new.is_admin, new.is_external];
    conn.execute(&INSERT, values).await?;
    Ok(Ok(()))
}

/// Finds a user by name, in any case of its letters; every login by password asks this unless it is cached.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_by_name(conn: &mut Conn, name: &OwnerName) -> Result<Option<User>, StoreError> {
    const FIND: Sql = user!("JOIN account a ON a.user_id = o.id WHERE o.name_folded = ?");
    conn.find(&FIND, values![&name.folded()], read).await
}

/// Finds a user by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    const FIND: Sql = user!("JOIN account a ON a.user_id = o.id WHERE o.id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Lists users by name.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list(
    conn: &mut Conn,
    after: Option<&OwnerName>,
    size: PageSize,
) -> Result<Page<User, OwnerName>, StoreError> {
    const LIST: Sql =
        user!("JOIN account a ON a.user_id = o.id WHERE o.name_folded > ? ORDER BY o.name_folded LIMIT ?");
    let after = after.map(OwnerName::folded).unwrap_or_default();
    let rows = conn.list(&LIST, values![&after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |user| user.owner.name.clone()))
}

/// Counts the users, disabled ones included.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn) -> Result<i64, StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*) FROM account");
    Ok(conn.find(&COUNT, &[], |row| row.int(0)).await?.unwrap_or(0))
}

/// Lists the administrators who may sign in, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_admins(conn: &mut Conn) -> Result<Vec<UserId>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT a.user_id FROM account a JOIN owner o ON o.id = a.user_id \
         WHERE a.is_admin = 1 AND o.state = 'active' ORDER BY a.user_id"
    );
    conn.list(&LIST, &[], |row| row.id(0)).await
}

/// Takes the lock on the rows of all administrators until the transaction ends, so that two who take the rank from each
/// other wait for one another. Use it before the change that [`count_admins`] judges.
///
/// # Errors
/// Any [`StoreError`].
pub async fn lock_admins(conn: &mut Conn) -> Result<(), StoreError> {
    const LOCK: Sql = sql!("UPDATE account SET is_admin = 1 WHERE is_admin = 1");
    conn.execute(&LOCK, &[]).await.map(drop)
}

/// Counts the administrators who may sign in, so that the last one is not taken away.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count_admins(conn: &mut Conn) -> Result<i64, StoreError> {
    const COUNT: Sql = sql!(
        "SELECT COUNT(*) FROM account a JOIN owner o ON o.id = a.user_id WHERE a.is_admin = 1 AND o.state = 'active'"
    );
    Ok(conn.find(&COUNT, &[], |row| row.int(0)).await?.unwrap_or(0))
}

/// Raises the credentials version: cached logins of the user are void from here on.
///
/// # Errors
/// Any [`StoreError`].
pub async fn raise_credentials_version(conn: &mut Conn, id: UserId) -> Result<bool, StoreError> {
    const RAISE: Sql =
        sql!("UPDATE account SET credentials_version = credentials_version + 1 WHERE user_id = ?");
    conn.execute_one(&RAISE, values![id]).await
}

/// Reads the credentials version; what a cached login compares, one look-up by primary key.
///
/// # Errors
/// Any [`StoreError`].
pub async fn credentials_version(conn: &mut Conn, id: UserId) -> Result<Option<i64>, StoreError> {
    const READ: Sql = sql!("SELECT credentials_version FROM account WHERE user_id = ?");
    conn.find(&READ, values![id], |row| row.int(0)).await
}

/// Changes the password's hash, or takes it away, and raises the credentials version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_password(conn: &mut Conn, id: UserId, hash: Option<&str>) -> Result<bool, StoreError> {
    const SET: Sql = sql!(
        "UPDATE account SET password_hash = ?, credentials_version = credentials_version + 1 WHERE user_id = ?"
    );
    conn.execute_one(&SET, values![hash, id]).await
}

/// Sets the kind of second factor (0: none) and raises the credentials version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_second_factor(conn: &mut Conn, id: UserId, kind: i64) -> Result<bool, StoreError> {
    const SET: Sql = sql!(
        "UPDATE account SET second_factor = ?, credentials_version = credentials_version + 1 WHERE user_id = ?"
    );
    conn.execute_one(&SET, values![kind, id]).await
}

/// Makes a user an administrator, or not, and raises the credentials version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_admin(conn: &mut Conn, id: UserId, is_admin: bool) -> Result<bool, StoreError> {
    const SET: Sql = sql!(
        "UPDATE account SET is_admin = ?, credentials_version = credentials_version + 1 WHERE user_id = ?"
    );
    conn.execute_one(&SET, values![is_admin, id]).await
}

/// Changes the address.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_email(conn: &mut Conn, id: UserId, email: &str) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE account SET email = ? WHERE user_id = ?");
    conn.execute_one(&SET, values![email, id]).await
}

/// Lets a user sign in, or not, and raises the credentials version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn set_state(conn: &mut Conn, id: UserId, state: OwnerState) -> Result<bool, StoreError> {
    const SET: Sql = sql!("UPDATE owner SET state = ? WHERE id = ? AND kind = 'user'");
    Ok(conn.execute_one(&SET, values![state, id]).await? && raise_credentials_version(conn, id).await?)
}

/// Notes that a user was seen; callers do it at most once in a while.
///
/// # Errors
/// Any [`StoreError`].
pub async fn touch(conn: &mut Conn, id: UserId, now: i64) -> Result<bool, StoreError> {
    const TOUCH: Sql = sql!("UPDATE account SET last_seen_at = ? WHERE user_id = ?");
    conn.execute_one(&TOUCH, values![now, id]).await
}

/// Deletes a user who owns no repository, with keys, tokens and memberships; false, and nothing done, otherwise.
/// Several rows: use a transaction. Logs keep the id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, id: UserId) -> Result<bool, StoreError> {
    const PARTS: [Sql; 8] = [
        sql!("DELETE FROM ssh_key WHERE user_id = ?"),
        sql!("DELETE FROM access_token WHERE user_id = ?"),
        sql!("DELETE FROM group_member WHERE user_id = ?"),
        sql!("DELETE FROM repository_collaborator WHERE user_id = ?"),
        sql!("DELETE FROM watch WHERE user_id = ?"),
        sql!("DELETE FROM mail_preference WHERE user_id = ?"),
        sql!("DELETE FROM notice WHERE user_id = ?"),
        sql!("DELETE FROM account WHERE user_id = ?"),
    ];
    let owner: OwnerId = id.owner();
    if owners::has_repositories(conn, owner).await? {
        return Ok(false);
    }
    for part in &PARTS {
        conn.execute(part, values![id]).await?;
    }
    owners::delete_unused(conn, owner).await
}
