//! Readers: users as mail finds them, with what they want of it.

use hakata_names::{OwnerName, RepositoryId, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::{Digest, OwnerState, WatchLevel};

/// A user as mail finds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The user.
    pub id: UserId,
    /// The user's name.
    pub name: OwnerName,
    /// A name for people.
    pub display_name: String,
    /// Whether the user may act.
    pub state: OwnerState,
    /// Whether the user is an administrator.
    pub is_admin: bool,
    /// Where to write to; empty: nowhere.
    pub email: String,
    /// What the user wants.
    pub preference: Preference,
    /// What the user chose for the repository that was asked about.
    pub level: WatchLevel,
}

/// What a user wants of mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Whether there is mail at all beside what is about the account's security.
    pub is_on: bool,
    /// How notices are collected.
    pub digest: Digest,
    /// `en`, `ja`; empty: the installation's.
    pub language: String,
}

impl Default for Preference {
    fn default() -> Self {
        Self { is_on: true, digest: Digest::Off, language: String::new() }
    }
}

/// Finds a user, with what they chose for a repository.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(
    conn: &mut Conn,
    user: UserId,
    repository: Option<RepositoryId>,
) -> Result<Option<Reader>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT o.id, o.name, o.display_name, o.state, a.is_admin, a.email, p.is_on, p.digest, p.language, w.level \
         FROM account a JOIN owner o ON o.id = a.user_id LEFT JOIN mail_preference p ON p.user_id = a.user_id \
         LEFT JOIN watch w ON w.user_id = a.user_id AND w.repository_id = ? WHERE a.user_id = ?"
    );
    // No repository has the id 0.
    let repository = repository.map_or(0, RepositoryId::get);
    conn.find(&FIND, values![repository, user], read).await
}

fn read(row: &Row) -> Result<Reader, StoreError> {
    let preference = match row.opt_int(6)? {
        None => Preference::default(),
        Some(is_on) => {
            Preference { is_on: is_on != 0, digest: row.parsed(7, Digest::parse)?, language: row.text(8)? }
        }
    };
    let level =
        row.opt_text(9)?.map(|level| WatchLevel::parse(&level).ok_or(StoreError::Unexpected { column: 9 }));
    Ok(Reader {
        id: row.id(0)?,
        name: row.parsed(1, |name| OwnerName::parse(name).ok())?,
        display_name: row.text(2)?,
        state: row.parsed(3, OwnerState::parse)?,
        is_admin: row.flag(4)?,
        email: row.text(5)?,
        preference,
        level: level.transpose()?.unwrap_or(WatchLevel::Participating),
    })
}

/// Sets what a user wants of mail, whatever it was.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prefer(conn: &mut Conn, user: UserId, wish: &Preference) -> Result<(), StoreError> {
    const SET: Sql = sql!("UPDATE mail_preference SET is_on = ?, digest = ?, language = ? WHERE user_id = ?");
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO mail_preference (is_on, digest, language, user_id) VALUES (?, ?, ?, ?)");
    let values = values![wish.is_on, wish.digest, &wish.language, user];
    if !conn.execute_one(&SET, values).await? && !conn.insert_absent(&INSERT, values).await? {
        conn.execute_one(&SET, values).await?;
    }
    Ok(())
}
