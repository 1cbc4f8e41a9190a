//! SSH public keys: of users, and deploy keys of repositories.

use hakata_names::{KeyId, OwnerName, RepositoryId, UserId};

use crate::conn::Conn;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::OwnerState;
use crate::{Conflict, StoreError};

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHolder {
    /// A user's own key.
    User(UserId),
    /// A deploy key of one repository.
    Repository(RepositoryId),
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// From the allocator.
    pub id: KeyId,
    /// Whose it is.
    pub holder: KeyHolder,
    /// Whether a deploy key may push; a user's key may what the user may.
    pub can_write: bool,
    /// `ssh-ed25519`, …
    pub algorithm: String,
    /// `SHA256:…`, unique.
    pub fingerprint: String,
    /// The key's blob in the wire format of SSH.
    pub public_key: Vec<u8>,
    /// What its holder calls it.
    pub title: String,
    /// When it was added, in ms.
    pub created_at: i64,
    /// When it last signed in, in ms, rounded.
    pub last_used_at: Option<i64>,
    /// When it stops to count, in ms.
    pub expires_at: Option<i64>,
}

/// A key that somebody offers, and who that would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The key.
    pub key: Key,
    /// Its user's name, state and rank; `None` for a deploy key.
    pub user: Option<KeyUser>,
}

/// The user behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUser {
    /// The user.
    pub id: UserId,
    /// The user's name.
    pub name: OwnerName,
    /// Whether the user may sign in.
    pub state: OwnerState,
    /// Whether the user is an administrator.
    pub is_admin: bool,
    /// Raised when the user's credentials change.
    pub credentials_version: i64,
}

/// The columns of [`read`].
macro_rules! key {
    ($more:literal, $tail:expr) => {
        sql!(concat!(
            "SELECT k.id, k.user_id, k.repository_id, k.can_write, k.algorithm, k.fingerprint, k.public_key, k.title, ",
            "k.created_at, k.last_used_at, k.expires_at", $more, " FROM ssh_key k ", $tail
        ))
    };
}

fn read(row: &Row) -> Result<Key, StoreError> {
    let holder = match (row.opt_id(1)?, row.opt_id(2)?) {
        (Some(user), None) => KeyHolder::User(user),
        (None, Some(repository)) => KeyHolder::Repository(repository),
        _ => return Err(StoreError::Unexpected { column: 1 }),
    };
    Ok(Key {
        id: row.id(0)?,
        holder,
        can_write: row.flag(3)?,
        algorithm: row.text(4)?,
        fingerprint: row.text(5)?,
        public_key: row.bytes(6)?.to_vec(),
        title: row.text(7)?,
        created_at: row.int(8)?,
        last_used_at: row.opt_int(9)?,
        expires_at: row.opt_int(10)?,
    })
}

/// The columns of [`read_known`].
macro_rules! known_key {
    ($tail:literal) => {
        key!(
            ", o.id, o.name, o.state, a.is_admin, a.credentials_version",
            concat!(
                "LEFT JOIN owner o ON o.id = k.user_id LEFT JOIN account a ON a.user_id = k.user_id ",
                $tail
            )
        )
    };
}

fn read_known(row: &Row) -> Result<KnownKey, StoreError> {
    let user = match row.opt_id(11)? {
        None => None,
        Some(id) => Some(KeyUser {
            id,
            name: row.parsed(12, |name| OwnerName::parse(name).ok())?,
            state: row.parsed(13, OwnerState::parse)?,
            is_admin: row.flag(14)?,
            credentials_version: row.int(15)?,
        }),
    };
    Ok(KnownKey { key: read(row)?, user })
}

/// Adds a key, unless somebody has it.
///
/// # Errors
/// Any [`StoreError`]; the inner one is a key with this fingerprint.
pub async fn insert(conn: &mut Conn, key: &Key) -> Result<Result<(), Conflict>, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO ssh_key (id, user_id, repository_id, can_write, algorithm, fingerprint, public_key, title, \
         created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    let (user, repository) = match key.holder {
        KeyHolder::User(user) => (Some(user), None),
        KeyHolder::Repository(repository) => (None, Some(repository)),
    };
    let values = values![
        key.id,
        user,
        repository,
        key.can_write,
        &key.algorithm,
        &key.fingerprint,
        &key.public_key[..],
        &key.title,
        key.created_at,
        key.expires_at,
    ];
    let is_inserted = conn.insert_absent(&INSERT, values).await?;
    Ok(if is_inserted { Ok(()) } else { Err(Conflict { what: "key" }) })
}

/// Finds a key by its fingerprint, with its user; an SSH login asks this. Expiry and state are the caller's to judge.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_by_fingerprint(conn: &mut Conn, fingerprint: &str) -> Result<Option<KnownKey>, StoreError> {
    const FIND: Sql = known_key!("WHERE k.fingerprint = ?");
    conn.find(&FIND, values![fingerprint], read_known).await
}

/// Finds a key by its id, with its user, as [`find_by_fingerprint`] does: a connection that signed in by it asks this
/// again.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: KeyId) -> Result<Option<KnownKey>, StoreError> {
    const FIND: Sql = known_key!("WHERE k.id = ?");
    conn.find(&FIND, values![id], read_known).await
}

/// Lists all keys of a user or repository, oldest first; there are few.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of(conn: &mut Conn, holder: KeyHolder) -> Result<Vec<Key>, StoreError> {
    const OF_USER: Sql = key!("", "WHERE k.user_id = ? ORDER BY k.created_at, k.id");
    const OF_REPOSITORY: Sql = key!("", "WHERE k.repository_id = ? ORDER BY k.created_at, k.id");
    match holder {
        KeyHolder::User(user) => conn.list(&OF_USER, values![user], read).await,
        KeyHolder::Repository(repository) => conn.list(&OF_REPOSITORY, values![repository], read).await,
    }
}

/// Notes that a key signed in; callers do it at most once in a while per key.
///
/// # Errors
/// Any [`StoreError`].
pub async fn touch(conn: &mut Conn, id: KeyId, now: i64) -> Result<bool, StoreError> {
    const TOUCH: Sql = sql!("UPDATE ssh_key SET last_used_at = ? WHERE id = ?");
    conn.execute_one(&TOUCH, values![now, id]).await
}

/// Removes a key of its holder; naming the holder keeps one user from removing another's.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, holder: KeyHolder, id: KeyId) -> Result<bool, StoreError> {
    const OF_USER: Sql = sql!("DELETE FROM ssh_key WHERE id = ? AND user_id = ?");
    const OF_REPOSITORY: Sql = sql!("DELETE FROM ssh_key WHERE id = ? AND repository_id = ?");
    match holder {
        KeyHolder::User(user) => conn.execute_one(&OF_USER, values![id, user]).await,
        KeyHolder::Repository(repository) => conn.execute_one(&OF_REPOSITORY, values![id, repository]).await,
    }
}
