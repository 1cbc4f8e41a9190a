//! Migrations: forward only, written once, rendered for each engine, applied by one node at a time.

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use crate::conn::Conn;
use crate::dialect::{Engine, render};
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::{Db, StoreError, Tx};

/// One step of the schema. A released one never changes again.
struct Migration {
    id: i64,
    name: &'static str,
    text: &'static str,
}

/// All migrations; a new one goes to the end, and expands before a later one contracts.
const MIGRATIONS: &[Migration] = &[
    Migration { id: 1, name: "start", text: include_str!("../migrations/0001_start.sql") },
    Migration { id: 2, name: "id_lease", text: include_str!("../migrations/0002_id_lease.sql") },
    Migration { id: 3, name: "jobs", text: include_str!("../migrations/0003_jobs.sql") },
    Migration { id: 4, name: "webhooks", text: include_str!("../migrations/0004_webhooks.sql") },
    Migration { id: 5, name: "mail", text: include_str!("../migrations/0005_mail.sql") },
    Migration { id: 6, name: "broker", text: include_str!("../migrations/0006_broker.sql") },
    Migration { id: 7, name: "mirrors", text: include_str!("../migrations/0007_mirrors.sql") },
    Migration { id: 8, name: "lfs", text: include_str!("../migrations/0008_lfs.sql") },
    Migration {
        id: 9,
        name: "mirror_overwrite",
        text: include_str!("../migrations/0009_mirror_overwrite.sql"),
    },
    Migration { id: 10, name: "lfs_care", text: include_str!("../migrations/0010_lfs_care.sql") },
    Migration { id: 11, name: "lfs_upload", text: include_str!("../migrations/0011_lfs_upload.sql") },
];

/// What the runner remembers. `applied_at` is NULL while a migration runs where DDL commits at once (MySQL).
const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (
    id {id} NOT NULL PRIMARY KEY,
    name {text:100} NOT NULL,
    checksum {bytes:32} NOT NULL,
    n_statements BIGINT NOT NULL,
    applied_at BIGINT NULL
){end}";

/// Any number that other programs on the server are unlikely to lock.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(7523094288207667809)";

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer release has been here; this one must not touch its tables.
    #[error("database has schema {found}, newer than schema {known} of this program: run the newer release")]
    Newer {
        /// The newest migration in the database.
        found: i64,
        /// The newest migration of this program.
        known: i64,
    },
    /// A migration was applied with another text, so the tables may differ from what this program expects.
    #[error("migration {id} ({name}) was applied with another text than this program has")]
    Differs {
        /// Its number.
        id: i64,
        /// Its name.
        name: &'static str,
    },
    /// Another node has been migrating for minutes.
    #[error("another node is migrating the database")]
    Locked,
    /// A statement of a migration was refused.
    #[error("migration {id} ({name}), statement {statement}")]
    Statement {
        /// The migration's number.
        id: i64,
        /// The migration's name.
        name: &'static str,
        /// The statement's number in it, from 1.
        statement: i64,
        /// What the database said.
        #[source]
        source: StoreError,
    },
    /// The database was away or refused something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The newest migration before; 0: the database was empty.
    pub from: i64,
    /// The newest migration now.
    pub to: i64,
}

impl Db {
    /// Brings the schema up to date; safe to call on every node at once and any number of times. A node that comes
    /// second waits and finds nothing to do.
    ///
    /// On SQLite and PostgreSQL it is one transaction. MySQL commits every DDL statement by itself, so there each is
    /// counted and a run that was cut short goes on behind the last one.
    ///
    /// # Errors
    /// [`MigrateError`]; nothing is changed by [`MigrateError::Newer`] and [`MigrateError::Differs`].
    pub async fn migrate(&self) -> Result<Migrated, MigrateError> {
        if self.engine() == Engine::MySql {
            self.migrate_by_statement().await
        } else {
            self.migrate_at_once().await
        }
    }

    /// Returns the newest migration in the database and the newest one of this program; equal when up to date.
    ///
    /// # Errors
    /// Any [`StoreError`]; also when there is no schema at all.
    pub async fn schema_versions(&self) -> Result<(i64, i64), StoreError> {
        const NEWEST: Sql = sql!("SELECT MAX(id) FROM migration WHERE applied_at IS NOT NULL");
        let newest = self.read().await?.find(&NEWEST, &[], |row| row.opt_int(0)).await?;
        Ok((newest.flatten().unwrap_or(0), known()))
    }

    async fn migrate_at_once(&self) -> Result<Migrated, MigrateError> {
        self.transaction(|tx: &mut Tx<'_>| {
            Box::pin(async move {
                if tx.engine() == Engine::Postgres {
                    run(tx, POSTGRES_LOCK).await?;
                }
                let table = render(tx.engine(), TABLE);
                run(tx, &table).await?;
                apply(tx).await
            })
        })
        .await
    }

    async fn migrate_by_statement(&self) -> Result<Migrated, MigrateError> {
        const LOCK: Sql = sql!("SELECT CAST(GET_LOCK(CONCAT('hakata.migrate.', DATABASE()), 120) AS SIGNED)");
        const UNLOCK: Sql =
            sql!("SELECT CAST(RELEASE_LOCK(CONCAT('hakata.migrate.', DATABASE())) AS SIGNED)");
        let mut conn = self.write().await?;
        if conn.find(&LOCK, &[], |row| row.opt_int(0)).await?.flatten() != Some(1) {
            return Err(MigrateError::Locked);
        }
        let migrated = match run(&mut conn, &render(Engine::MySql, TABLE)).await {
            Ok(()) => apply(&mut conn).await,
            Err(error) => Err(error.into()),
        };
        // The lock belongs to the session, which goes back to the pool.
        conn.find(&UNLOCK, &[], |row| row.opt_int(0)).await?;
        migrated
    }
}

/// The row of a migration that has begun.
struct Applied {
    id: i64,
    checksum: Vec<u8>,
    n_statements: i64,
    is_done: bool,
}

async fn apply(conn: &mut Conn) -> Result<Migrated, MigrateError> {
    const ALL: Sql = sql!("SELECT id, checksum, n_statements, applied_at FROM migration ORDER BY id");
    let applied = conn
        .list(&ALL, &[], |row| {
            Ok(Applied {
                id: row.int(0)?,
                checksum: row.bytes(1)?.to_vec(),
                n_statements: row.int(2)?,
                is_done: row.opt_int(3)?.is_some(),
            })
        })
        .await?;
    let found = applied.last().map_or(0, |newest| newest.id);
    if found > known() {
        return Err(MigrateError::Newer { found, known: known() });
    }
    for migration in MIGRATIONS {
        let before = applied.iter().find(|applied| applied.id == migration.id);
        if before.is_some_and(|before| before.checksum != checksum(migration.text)) {
            return Err(MigrateError::Differs { id: migration.id, name: migration.name });
        }
        if !before.is_some_and(|before| before.is_done) {
            apply_one(conn, migration, before.map(|before| before.n_statements)).await?;
        }
    }
    let from = applied.iter().filter(|applied| applied.is_done).map(|applied| applied.id).max().unwrap_or(0);
    Ok(Migrated { from, to: known() })
}

/// Runs the statements of a migration behind the first `done` ones; `None`: it has not begun.
async fn apply_one(conn: &mut Conn, migration: &Migration, done: Option<i64>) -> Result<(), MigrateError> {
    const BEGIN: Sql = sql!(
        "INSERT INTO migration (id, name, checksum, n_statements, applied_at) VALUES (?, ?, ?, 0, NULL)"
    );
    const COUNT: Sql = sql!("UPDATE migration SET n_statements = ? WHERE id = ?");
    const END: Sql = sql!("UPDATE migration SET applied_at = ? WHERE id = ?");
    let Migration { id, name, text } = *migration;
    if done.is_none() {
        conn.execute(&BEGIN, values![id, name, &checksum(text)[..]]).await?;
    }
    for (statement, text) in (1..).zip(statements(text)).skip_while(|(n, _)| *n <= done.unwrap_or(0)) {
        let may_be_done = done.is_some_and(|done| statement == done + 1);
        let text = render(conn.engine(), &text);
        match run(conn, &text).await {
            Err(error) if may_be_done && is_there_already(&error) => {}
            result => result.map_err(|source| MigrateError::Statement { id, name, statement, source })?,
        }
        conn.execute(&COUNT, values![statement, id]).await?;
    }
    conn.execute(&END, values![hakata_runtime::clock::Clock::System.now_ms(), id]).await?;
    tracing::info!(migration = id, name, "migrated the database");
    Ok(())
}

/// The statement at which a run was cut short may have been done without being counted (MySQL only).
fn is_there_already(error: &StoreError) -> bool {
    let StoreError::Refused(error) = error else { return false };
    let mysql =
        error.as_database_error().and_then(|e| e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>());
    mysql.is_some_and(|mysql| matches!(mysql.number(), 1050 | 1060 | 1061 | 1091))
}

async fn run(conn: &mut Conn, text: &str) -> Result<(), StoreError> {
    let result = conn.control(AssertSqlSafe(text).into_sql_str()).await;
    conn.judge(result)
}

/// Cuts a migration into statements without comments; ours have no `;` or `--` inside quotes.
fn statements(text: &str) -> Vec<String> {
    let bare: Vec<&str> = text.lines().map(|line| line.split("--").next().unwrap_or("").trim_end()).collect();
    let bare = bare.join("\n");
    bare.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

/// Covers what is run, not how it is laid out or commented.
fn checksum(text: &str) -> [u8; 32] {
    let words: Vec<String> =
        statements(text).iter().map(|s| s.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    Sha256::digest(words.join(";")).into()
}

fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |newest| newest.id)
}

#[cfg(test)]
mod tests {
    use super::{MIGRATIONS, checksum, statements};

    #[test]
    fn statements_lose_comments_only() {
        let text = "-- why\nCREATE TABLE a (\n  b BIGINT -- what; not\n);\n\nCREATE INDEX c ON a (b);\n";
        assert_eq!(statements(text), ["CREATE TABLE a (\n  b BIGINT\n)", "CREATE INDEX c ON a (b)"]);
        assert_eq!(checksum(text), checksum("CREATE TABLE a ( b BIGINT ); CREATE INDEX c\nON a (b)"));
        assert_ne!(checksum(text), checksum("CREATE TABLE a (b BIGINT)"));
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        let ids: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.id).collect();
        assert_eq!(ids, (1..).take(ids.len()).collect::<Vec<i64>>());
    }
}
