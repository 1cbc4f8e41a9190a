//! What can go wrong between a question and its answer.

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full, read-only, or has no connection free in time: try later.
    #[error("database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// Others held the rows, and repeating the transaction did not help: try later.
    #[error("database is busy with other changes")]
    Contended(#[source] sqlx::Error),
    /// The connection broke while COMMIT was under way: the change is durable or gone, only reading tells.
    #[error("outcome of the commit is unknown")]
    CommitUnknown(#[source] sqlx::Error),
    /// A statement failed earlier in the transaction, so there was nothing to commit.
    #[error("transaction was already broken when it was to be committed")]
    Broken,
    /// A statement was refused; a mistake of ours or a schema that is not ours.
    #[error("database refused a statement")]
    Refused(#[source] sqlx::Error),
    /// A stored value is not one that we write.
    #[error("unexpected value in column {column} of an answer")]
    Unexpected {
        /// The column by its place in the question, from 0.
        column: usize,
    },
    /// A row count differs from what was read under the same lock.
    #[error("rows of {table} changed under their lock")]
    Unlocked {
        /// The table written.
        table: &'static str,
    },
}

impl StoreError {
    /// Tells whether the same call may succeed later, unchanged.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Contended(_))
    }

    /// Tells whether the database had no room left on its disk.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Unavailable(error) | Self::CommitUnknown(error) => {
                error.as_database_error().is_some_and(is_disk_full)
            }
            _ => false,
        }
    }
}

/// A row was not written because another row has its unique name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another {what} has this name")]
pub struct Conflict {
    /// What exists already: `owner`, `repository`, `key`.
    pub what: &'static str,
}

/// Sorts a driver's error by what its caller can do about it.
pub(crate) fn classify(error: sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. } => StoreError::Refused(error),
            _ => StoreError::Unavailable(error),
        };
    };
    // A unique violation that no question expects comes from a race that the next attempt sees in time.
    if is_conflict(database) || database.is_unique_violation() {
        StoreError::Contended(error)
    } else if is_outage(database) {
        StoreError::Unavailable(error)
    } else {
        StoreError::Refused(error)
    }
}

/// Tells whether a failed COMMIT certainly left nothing behind.
pub(crate) fn is_certain_rollback(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|database| {
        is_conflict(database)
            || database.is_unique_violation()
            || database.is_foreign_key_violation()
            // SQLite had no room for all of the frames, so the one that commits is not whole, and took back the rest.
            || is_sqlite(database) && is_disk_full(database)
    })
}

/// Deadlock, serialization failure, lock timeout, busy file.
fn is_conflict(error: &dyn sqlx::error::DatabaseError) -> bool {
    if let Some(mysql) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return matches!(mysql.number(), 1020 | 1205 | 1213);
    }
    match error.code().as_deref() {
        Some("40001" | "40P01" | "55P03") if is_postgres(error) => true,
        code => is_sqlite(error) && matches!(primary(code), Some(5 | 6)),
    }
}

/// The server is stopping, full, overloaded, a read-only replica, or its disk fails.
fn is_outage(error: &dyn sqlx::error::DatabaseError) -> bool {
    if let Some(mysql) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return matches!(mysql.number(), 1021 | 1040 | 1053 | 1114 | 1203 | 1226 | 1290 | 1836 | 1927);
    }
    match error.code().as_deref() {
        Some(code) if is_postgres(error) => {
            ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) || code == "25006"
        }
        code => is_sqlite(error) && matches!(primary(code), Some(8 | 10 | 13 | 14)),
    }
}

/// No space for a file, a table or the log.
fn is_disk_full(error: &dyn sqlx::error::DatabaseError) -> bool {
    if let Some(mysql) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return matches!(mysql.number(), 1021 | 1114);
    }
    match error.code().as_deref() {
        Some("53100") if is_postgres(error) => true,
        code => is_sqlite(error) && primary(code) == Some(13),
    }
}

fn is_postgres(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
}

fn is_sqlite(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some()
}

/// SQLite's extended codes carry the primary one in their low byte.
fn primary(code: Option<&str>) -> Option<u32> {
    code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
}
