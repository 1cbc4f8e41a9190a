//! Commits that pushes brought, and what their messages say about numbered things.

use std::collections::HashSet;

use hakata_names::{EventId, Oid, RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};

/// A commit to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit {
    /// Its name.
    pub oid: Oid,
    /// The user whose address the author's is.
    pub author_id: Option<UserId>,
    /// The author's address in lower case, up to 255 bytes.
    pub author_mail: String,
    /// When it was written, in ms.
    pub authored_at: i64,
    /// The numbered things that it mentions, each once.
    pub mentions: Vec<Mention>,
}

/// What a message says about a numbered thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mention {
    /// The number.
    pub number: i64,
    /// `closes` or `mentions`.
    pub keyword: &'static str,
}

/// Registers a commit; false when it is registered already, by whatever push.
///
/// # Errors
/// Any [`StoreError`].
pub async fn register(
    conn: &mut Conn,
    repository: RepositoryId,
    event: EventId,
    new: &NewCommit,
) -> Result<bool, StoreError> {
    const COMMIT: Sql = sql!(insert_absent
        "INSERT INTO repository_commit (repository_id, oid, event_id, author_id, author_mail, authored_at) \
         VALUES (?, ?, ?, ?, ?, ?)");
    const MENTION: Sql = sql!(insert_absent
        "INSERT INTO commit_mention (repository_id, oid, number, keyword) VALUES (?, ?, ?, ?)");
    let values =
        values![repository, &new.oid, event, new.author_id, new.author_mail.as_str(), new.authored_at];
    if !conn.insert_absent(&COMMIT, values).await? {
        return Ok(false);
    }
    for mention in &new.mentions {
        let values = values![repository, &new.oid, mention.number, mention.keyword];
        conn.insert_absent(&MENTION, values).await?;
    }
    Ok(true)
}

/// Tells which of some commits are registered, with the push that brought each.
///
/// # Errors
/// Any [`StoreError`].
pub async fn registered(
    conn: &mut Conn,
    repository: RepositoryId,
    oids: &[Oid],
) -> Result<HashSet<(Oid, EventId)>, StoreError> {
    const FIND: ManySql = ManySql {
        head: "SELECT oid, event_id FROM repository_commit WHERE repository_id = ? AND oid IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let mut found = HashSet::new();
    for oids in chunks(oids) {
        let mut values = vec![Value::from(repository)];
        values.extend(oids.iter().map(Value::from));
        found.extend(conn.list_many(&FIND, oids.len(), &values, |row| Ok((row.oid(0)?, row.id(1)?))).await?);
    }
    Ok(found)
}

/// Counts the registered commits of a repository, and those of them with a user as their author.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count(conn: &mut Conn, repository: RepositoryId) -> Result<(i64, i64), StoreError> {
    const COUNT: Sql =
        sql!("SELECT COUNT(*), COUNT(author_id) FROM repository_commit WHERE repository_id = ?");
    let found = conn.find(&COUNT, values![repository], |row| Ok((row.int(0)?, row.int(1)?))).await?;
    Ok(found.unwrap_or_default())
}

/// Lists the commits that say something about a number, with what they say.
///
/// # Errors
/// Any [`StoreError`].
pub async fn mentions_of(
    conn: &mut Conn,
    repository: RepositoryId,
    number: i64,
    limit: i64,
) -> Result<Vec<(Oid, String)>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT oid, keyword FROM commit_mention WHERE repository_id = ? AND number = ? ORDER BY oid LIMIT ?"
    );
    conn.list(&LIST, values![repository, number, limit], |row| Ok((row.oid(0)?, row.text(1)?))).await
}

/// Finds the user with a mail address, as written or in lower case; of several the one who came first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_author(conn: &mut Conn, mail: &str) -> Result<Option<UserId>, StoreError> {
    const FIND: Sql = sql!("SELECT user_id FROM account WHERE email IN (?, ?) ORDER BY user_id LIMIT 1");
    conn.find(&FIND, values![mail, &mail.to_lowercase()], |row| row.id(0)).await
}
