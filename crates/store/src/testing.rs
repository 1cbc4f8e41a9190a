//! Databases for tests: one for each test, on any engine, gone when the test is over.
//!
//! Servers are found by `HAKATA_TEST_POSTGRES_URL` and `HAKATA_TEST_MYSQL_URL`, else on this machine at their standard
//! ports with the logins of a fresh development install. A server that is not there fails the test. Behind the feature
//! `testing`, for dev-dependencies.

mod relay;

use std::future::Future;

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection};

pub use relay::{Lost, Others, Relay};

use crate::{Db, Engine, Settings};

const POSTGRES: (&str, &str) = ("HAKATA_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres");
const MYSQL: (&str, &str) = ("HAKATA_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql");

/// Makes three tests of one: `name::on_sqlite`, `name::on_postgres`, `name::on_mariadb`.
///
/// ```ignore
/// hakata_store::on_every_engine! {
///     /// What must hold.
///     async fn settings_can_be_set(database: TestDatabase) {
///         let db = database.migrated().await;
///     }
/// }
/// ```
#[macro_export]
macro_rules! on_every_engine {
    ($($(#[$doc:meta])* async fn $name:ident($database:ident: TestDatabase) $body:block)+) => {$(
        $(#[$doc])*
        async fn $name($database: $crate::testing::TestDatabase) $body

        mod $name {
            #[test]
            fn on_sqlite() {
                $crate::testing::run($crate::Engine::Sqlite, super::$name);
            }

            #[test]
            fn on_postgres() {
                $crate::testing::run($crate::Engine::Postgres, super::$name);
            }

            #[test]
            fn on_mariadb() {
                $crate::testing::run($crate::Engine::MySql, super::$name);
            }
        }
    )+};
}

/// Runs a test on a runtime and a database of its own.
pub fn run<F: Future<Output = ()>>(engine: Engine, test: impl FnOnce(TestDatabase) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime
        .expect("a runtime can be made")
        .block_on(async { test(TestDatabase::create(engine).await).await });
}

/// An empty database called `hakata_test_<random>`, or an SQLite file in a directory of its own. Dropping it, also in
/// a panic, drops the database; the directory of a failed test is kept and named.
#[derive(Debug)]
pub struct TestDatabase {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(Option<tempfile::TempDir>),
    Server { engine: Engine, base: String, name: String },
}

impl TestDatabase {
    /// Makes an empty database.
    ///
    /// # Panics
    /// When the server is not there: a test that cannot run has not passed.
    pub async fn create(engine: Engine) -> Self {
        let ((variable, standard), engine) = match engine {
            Engine::Sqlite => {
                let directory = tempfile::Builder::new().prefix("hakata_test_").tempdir();
                return Self { place: Place::Directory(Some(directory.expect("a directory can be made"))) };
            }
            Engine::Postgres => (POSTGRES, engine),
            Engine::MySql => (MYSQL, engine),
        };
        let base = std::env::var(variable).unwrap_or_else(|_| standard.to_owned());
        let random = u64::from_le_bytes(hakata_runtime::secret::random_bytes());
        let name = format!("hakata_test_{random:016x}");
        if let Err(error) = administer(engine, &base, format!("CREATE DATABASE {name}")).await {
            panic!("{engine} does not make a test database: {error} (set {variable})");
        }
        Self { place: Place::Server { engine, base, name } }
    }

    /// Tells the engine.
    pub fn engine(&self) -> Engine {
        match self.place {
            Place::Directory(_) => Engine::Sqlite,
            Place::Server { engine, .. } => engine,
        }
    }

    /// Returns the URL of the database.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Directory(directory) => {
                let path = directory.as_ref().map(|directory| directory.path().join("hakata.db"));
                path.unwrap_or_default().display().to_string()
            }
            Place::Server { base, name, .. } => with_database(base, name),
        }
    }

    /// Returns settings for [`Db::open`]; a few connections, since many tests run at once.
    pub fn settings(&self) -> Settings {
        Settings { max_connections: 6, ..Settings::new(self.url()) }
    }

    /// Opens the database as it is.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn open(&self) -> Db {
        Db::open(&self.settings()).await.expect("the test database opens")
    }

    /// Opens the database and brings its schema up to date.
    ///
    /// # Panics
    /// When either does not work.
    pub async fn migrated(&self) -> Db {
        let db = self.open().await;
        db.migrate().await.expect("the test database migrates");
        db
    }

    /// Runs SQL that no question of the crate says, to prepare what a test is about.
    ///
    /// # Panics
    /// When the database refuses it.
    pub async fn execute(&self, text: &str) {
        let text = AssertSqlSafe(text.to_owned());
        let mut conn = self.open().await.write().await.expect("the test database has a connection");
        let result = conn.control(sqlx::SqlSafeStr::into_sql_str(text)).await;
        result.expect("the test database runs the statement");
    }
}

impl TestDatabase {
    /// Lists what an SQLite database says about its own tables and indexes.
    ///
    /// # Panics
    /// On another engine.
    pub async fn sqlite_schema(&self) -> Vec<String> {
        const SCHEMA: crate::sql::Sql =
            crate::sql::sql!("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL");
        let mut conn = self.open().await.read().await.expect("the test database has a connection");
        conn.list(&SCHEMA, &[], |row| row.text(0)).await.expect("SQLite describes itself")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &mut self.place {
            Place::Directory(directory) => {
                if let Some(directory) = directory.take_if(|_| std::thread::panicking()) {
                    let kept = directory.keep();
                    tracing::error!(directory = %kept.display(), "a test failed; its database is kept");
                }
            }
            Place::Server { engine, base, name } => drop_database(*engine, base.clone(), name),
        }
    }
}

/// Drops a database from within a runtime, where nothing can be waited for: on a thread of its own.
fn drop_database(engine: Engine, base: String, name: &str) {
    // FORCE also ends the connections that a failed test has left.
    let text = match engine {
        Engine::Postgres => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        _ => format!("SET SESSION lock_wait_timeout = 5; DROP DATABASE IF EXISTS {name}"),
    };
    let dropping = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(administer(engine, &base, text)))
    });
    if !matches!(dropping.join(), Ok(Ok(Ok(())))) {
        tracing::error!(database = name, "a test database could not be dropped");
    }
}

async fn administer(engine: Engine, base: &str, text: String) -> Result<(), sqlx::Error> {
    if engine == Engine::Postgres {
        let mut server = PgConnection::connect(base).await?;
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut server).await?;
        return server.close().await;
    }
    let mut server = MySqlConnection::connect(&base.replacen("mariadb:", "mysql:", 1)).await?;
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut server).await?;
    server.close().await
}

/// Replaces the database in a URL, keeping its options.
fn with_database(base: &str, name: &str) -> String {
    let (address, options) =
        base.split_once('?').map_or((base, None), |(address, options)| (address, Some(options)));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    let mut url = format!("{}/{name}", &address[..end]);
    if let Some(options) = options {
        url.push('?');
        url.push_str(options);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        assert_eq!(with_database("postgres://u:p@h:1/x?a=b", "t"), "postgres://u:p@h:1/t?a=b");
        assert_eq!(with_database("mysql://root@127.0.0.1:3306", "t"), "mysql://root@127.0.0.1:3306/t");
    }
}
