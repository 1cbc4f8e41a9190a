//! Access tokens of users. The token itself is never here, only its SHA-256.

use hakata_names::{OwnerName, TokenId, UserId};

use crate::conn::Conn;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::OwnerState;
use crate::{Conflict, StoreError};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// From the allocator.
    pub id: TokenId,
    /// Whose it is.
    pub user_id: UserId,
    /// What its user calls it.
    pub name: String,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// Its first letters, to tell tokens apart.
    pub hint: String,
    /// What it may be used for, separated by spaces.
    pub scopes: String,
    /// When it was made, in ms.
    pub created_at: i64,
    /// When it stops to count, in ms.
    pub expires_at: Option<i64>,
    /// When it was last used, in ms, rounded.
    pub last_used_at: Option<i64>,
    /// When it was revoked, in ms.
    pub revoked_at: Option<i64>,
}

/// A token that somebody shows, and who that would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownToken {
    /// The token.
    pub token: Token,
    /// Its user's name.
    pub user_name: OwnerName,
    /// Whether its user may sign in.
    pub user_state: OwnerState,
    /// Whether its user is an administrator.
    pub is_admin: bool,
    /// Raised when the user's credentials change, so that a cached answer can be dropped.
    pub credentials_version: i64,
}

/// The columns of [`read`].
macro_rules! token {
    ($more:literal, $tail:literal) => {
        sql!(concat!(
            "SELECT t.id, t.user_id, t.name, t.digest, t.hint, t.scopes, t.created_at, t.expires_at, t.last_used_at, ",
            "t.revoked_at", $more, " FROM access_token t ", $tail
        ))
    };
}

fn read(row: &Row) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.id(0)?,
        user_id: row.id(1)?,
        name: row.text(2)?,
        digest: row.bytes(3)?.try_into().map_err(|_| StoreError::Unexpected { column: 3 })?,
        hint: row.text(4)?,
        scopes: row.text(5)?,
        created_at: row.int(6)?,
        expires_at: row.opt_int(7)?,
        last_used_at: row.opt_int(8)?,
        revoked_at: row.opt_int(9)?,
    })
}

/// Adds a token, unless there is one with its digest, which for random tokens means the same token.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(conn: &mut Conn, token: &Token) -> Result<Result<(), Conflict>, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO access_token (id, user_id, name, digest, hint, scopes, created_at, expires_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    let values = values![
        token.id,
        token.user_id,
        &token.name,
        &token.digest[..],
        &token.hint,
        &token.scopes,
        token.created_at,
        token.expires_at,
    ];
    let is_inserted = conn.insert_absent(&INSERT, values).await?;
    Ok(if is_inserted { Ok(()) } else { Err(Conflict { what: "token" }) })
}

/// Finds a token by its digest, with its user; every request with a token asks this unless it is cached. Expiry,
/// revocation and state are the caller's to judge.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_by_digest(conn: &mut Conn, digest: &[u8; 32]) -> Result<Option<KnownToken>, StoreError> {
    const FIND: Sql = token!(
        ", o.name, o.state, a.is_admin, a.credentials_version",
        "JOIN owner o ON o.id = t.user_id JOIN account a ON a.user_id = t.user_id WHERE t.digest = ?"
    );
    conn.find(&FIND, values![&digest[..]], |row| {
        Ok(KnownToken {
            token: read(row)?,
            user_name: row.parsed(10, |name| OwnerName::parse(name).ok())?,
            user_state: row.parsed(11, OwnerState::parse)?,
            is_admin: row.flag(12)?,
            credentials_version: row.int(13)?,
        })
    })
    .await
}

/// Lists all tokens of a user, oldest first, the revoked ones too.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of(conn: &mut Conn, user: UserId) -> Result<Vec<Token>, StoreError> {
    const LIST: Sql = token!("", "WHERE t.user_id = ? ORDER BY t.created_at, t.id");
    conn.list(&LIST, values![user], read).await
}

/// Notes that a token was used; callers do it at most once in a while per token.
///
/// # Errors
/// Any [`StoreError`].
pub async fn touch(conn: &mut Conn, id: TokenId, now: i64) -> Result<bool, StoreError> {
    const TOUCH: Sql = sql!("UPDATE access_token SET last_used_at = ? WHERE id = ?");
    conn.execute_one(&TOUCH, values![now, id]).await
}

/// Revokes a token of its user and raises the user's credentials version; false when there is none to revoke.
///
/// # Errors
/// Any [`StoreError`].
pub async fn revoke(conn: &mut Conn, user: UserId, id: TokenId, now: i64) -> Result<bool, StoreError> {
    const REVOKE: Sql =
        sql!("UPDATE access_token SET revoked_at = ? WHERE id = ? AND user_id = ? AND revoked_at IS NULL");
    Ok(conn.execute_one(&REVOKE, values![now, id, user]).await?
        && crate::users::raise_credentials_version(conn, user).await?)
}

/// Revokes every token of a user and raises the credentials version; counts the tokens.
///
/// # Errors
/// Any [`StoreError`].
pub async fn revoke_all(conn: &mut Conn, user: UserId, now: i64) -> Result<u64, StoreError> {
    const REVOKE: Sql =
        sql!("UPDATE access_token SET revoked_at = ? WHERE user_id = ? AND revoked_at IS NULL");
    let n = conn.execute(&REVOKE, values![now, user]).await?;
    crate::users::raise_credentials_version(conn, user).await?;
    Ok(n)
}
