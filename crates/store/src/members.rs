//! Users with a role in something: invited to a repository, or members of a group. Both tables look the same.

use hakata_names::{OwnerName, UserId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::Sql;
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

/// The questions about one table.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) set: Sql,
    pub(crate) insert: Sql,
    pub(crate) remove: Sql,
    pub(crate) list: Sql,
}

/// Makes the [`Members`] of a table, whose column `$place` says what the role is in.
macro_rules! members {
    ($table:literal, $place:literal) => {
        $crate::members::Members {
            set: $crate::sql::sql!(concat!(
                "UPDATE ", $table, " SET role = ? WHERE ", $place, " = ? AND user_id = ?"
            )),
            insert: $crate::sql::sql!(insert_absent concat!(
                "INSERT INTO ", $table, " (", $place, ", user_id, role) VALUES (?, ?, ?)"
            )),
            remove: $crate::sql::sql!(concat!(
                "DELETE FROM ", $table, " WHERE ", $place, " = ? AND user_id = ?"
            )),
            list: $crate::sql::sql!(concat!(
                "SELECT m.user_id, o.name, m.role FROM ", $table, " m JOIN owner o ON o.id = m.user_id \
                 WHERE m.", $place, " = ? AND m.user_id > ? ORDER BY m.user_id LIMIT ?"
            )),
        }
    };
}
pub(crate) use members;

impl Members {
    /// Gives a user a role, or another one.
    pub(crate) async fn set(
        &self,
        conn: &mut Conn,
        place: i64,
        user: UserId,
        role: Role,
    ) -> Result<(), StoreError> {
        if !conn.execute_one(&self.set, values![role.stored(), place, user]).await? {
            conn.insert_absent(&self.insert, values![place, user, role.stored()]).await?;
        }
        Ok(())
    }

    /// Takes a user's role away; false when there was none.
    pub(crate) async fn remove(&self, conn: &mut Conn, place: i64, user: UserId) -> Result<bool, StoreError> {
        conn.execute_one(&self.remove, values![place, user]).await
    }

    /// Lists the users by id.
    pub(crate) async fn list(
        &self,
        conn: &mut Conn,
        place: i64,
        after: Option<UserId>,
        size: PageSize,
    ) -> Result<Page<Member, UserId>, StoreError> {
        let after = after.map_or(0, UserId::get);
        let rows = conn.list(&self.list, values![place, after, size.limit()], read).await?;
        Ok(Page::cut(rows, size, |member| member.user_id))
    }
}

fn read(row: &Row) -> Result<Member, StoreError> {
    Ok(Member {
        user_id: row.id(0)?,
        name: row.parsed(1, |name| OwnerName::parse(name).ok())?,
        role: Role::from_stored(row.int(2)?).ok_or(StoreError::Unexpected { column: 2 })?,
    })
}
