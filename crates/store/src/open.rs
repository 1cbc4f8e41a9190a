//! Opening the pools with the settings that the rest of the crate relies on.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlConnection};
use sqlx::pool::{PoolConnectionMetadata, PoolOptions};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use crate::db::{OpenError, Pools, Settings};

/// Statements kept prepared per connection: all our questions, and their forms for many rows.
const STATEMENTS: usize = 400;

/// A connection that was idle for longer is asked for a sign of life before it is used; asking always would double
/// the round trips.
const STALE: Duration = Duration::from_secs(5);

pub(crate) async fn pools(settings: &Settings) -> Result<Pools, OpenError> {
    let url = settings.url.expose().as_str();
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => postgres(url, settings).await,
        Some("mysql" | "mariadb") => mysql(url, settings).await,
        Some("sqlite") => {
            let path = url.trim_start_matches("sqlite:");
            sqlite(Path::new(path.strip_prefix("//").unwrap_or(path)), settings).await
        }
        Some(scheme) if scheme.len() > 1 && url[scheme.len()..].starts_with("://") => {
            Err(OpenError::Url(None))
        }
        _ if url.is_empty() => Err(OpenError::Url(None)),
        _ => sqlite(Path::new(url), settings).await,
    }
}

/// What every pool has: connections are not asked for a sign of life each time.
fn pool<D: sqlx::Database>(settings: &Settings, max_connections: u32) -> PoolOptions<D> {
    PoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
}

async fn sqlite(path: &Path, settings: &Settings) -> Result<Pools, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(settings.lock_timeout)
        .foreign_keys(true)
        .statement_cache_capacity(STATEMENTS)
        .row_buffer_size(1024)
        // Enough for a page of every index; readers share the file's pages through the kernel.
        .pragma("cache_size", "-16384")
        // A checkpoint by the writer after about 16 MiB, so that a burst of pushes does not pay one each.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864");
    // The one writer also makes the file and its journal, before any reader looks.
    let write = pool::<Sqlite>(settings, 1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone())
        .await
        .map_err(OpenError::Connect)?;
    let read = pool::<Sqlite>(settings, settings.max_connections)
        .connect_with(options.create_if_missing(false).pragma("query_only", "ON"))
        .await
        .map_err(OpenError::Connect)?;
    Ok(Pools::Sqlite { write, read })
}

async fn postgres(url: &str, settings: &Settings) -> Result<Pools, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| OpenError::Url(Some(error)))?;
    let options =
        without_tls_at_home(options.application_name("hakata").statement_cache_capacity(STATEMENTS));
    // synchronous_commit: what we acknowledge is durable even where a server's default is lax.
    let session = format!(
        "SET default_transaction_isolation = 'read committed'; SET synchronous_commit = on; \
         SET lock_timeout = {}; SET idle_in_transaction_session_timeout = 60000",
        settings.lock_timeout.as_millis()
    );
    let pool = pool::<Postgres>(settings, settings.max_connections)
        .before_acquire(|conn, idle| Box::pin(ping_postgres(conn, idle)))
        .after_connect(move |conn, _| {
            let session = session.clone();
            Box::pin(async move { conn.execute(AssertSqlSafe(session)).await.map(drop) })
        })
        .connect_with(options)
        .await
        .map_err(OpenError::Connect)?;
    Ok(Pools::Postgres(pool))
}

/// Leaves TLS out on the same machine unless the URL asks for it: it guards nothing there and costs at every request.
fn without_tls_at_home(options: PgConnectOptions) -> PgConnectOptions {
    let host = options.get_host();
    let is_home = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_optional = matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Allow);
    if is_home && is_optional { options.ssl_mode(PgSslMode::Disable) } else { options }
}

async fn ping_postgres(conn: &mut PgConnection, idle: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    Ok(idle.idle_for < STALE || conn.ping().await.is_ok())
}

async fn mysql(url: &str, settings: &Settings) -> Result<Pools, OpenError> {
    let url = url.replacen("mariadb:", "mysql:", 1);
    let options = MySqlConnectOptions::from_str(&url).map_err(|error| OpenError::Url(Some(error)))?;
    let options = options.collation("utf8mb4_bin").statement_cache_capacity(STATEMENTS);
    // The driver asks for matched instead of changed rows (CLIENT_FOUND_ROWS); a contract test holds it to that.
    let session = format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
         SESSION innodb_lock_wait_timeout = {}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        settings.lock_timeout.as_secs().max(1)
    );
    let pool = pool::<MySql>(settings, settings.max_connections)
        .before_acquire(|conn, idle| Box::pin(ping_mysql(conn, idle)))
        .after_connect(move |conn, _| {
            let session = session.clone();
            Box::pin(async move { conn.execute(AssertSqlSafe(session)).await.map(drop) })
        })
        .connect_with(options)
        .await
        .map_err(OpenError::Connect)?;
    warn_if_lax(&pool).await;
    Ok(Pools::MySql(pool))
}

async fn ping_mysql(conn: &mut MySqlConnection, idle: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    Ok(idle.idle_for < STALE || conn.ping().await.is_ok())
}

/// Warns when the server may lose commits that it has acknowledged; a session cannot change that.
async fn warn_if_lax(pool: &sqlx::MySqlPool) {
    let question = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)";
    let Ok(row) = sqlx::query(question).fetch_one(pool).await else { return };
    if row.try_get_unchecked::<i64, _>(0).is_ok_and(|level| level != 1) {
        tracing::warn!(
            "the database may lose acknowledged pushes in a crash: set innodb_flush_log_at_trx_commit = 1"
        );
    }
}
