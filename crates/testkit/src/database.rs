//! Databases that a test makes and drops.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file in the data directory; needs no server.
    Sqlite,
    /// A server named by `HAKATA_TEST_POSTGRES_URL`, or the one on its standard port.
    Postgres,
    /// A server named by `HAKATA_TEST_MYSQL_URL`, or the one on its standard port.
    Mariadb,
}

impl Engine {
    /// The name in test names and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }

    fn server_url(self) -> String {
        let (variable, standard) = match self {
            Self::Postgres => ("HAKATA_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
            Self::Sqlite | Self::Mariadb => ("HAKATA_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql"),
        };
        std::env::var(variable).unwrap_or_else(|_| standard.to_owned())
    }
}

/// An empty database with a random name, dropped at the end.
pub struct Database {
    engine: Engine,
    name: String,
}

impl Database {
    /// Makes a database; none is needed for SQLite.
    ///
    /// # Errors
    /// If the server's client fails.
    pub fn create(engine: Engine) -> Result<Option<Self>> {
        if engine == Engine::Sqlite {
            return Ok(None);
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("asking for random bytes: {error}"))?;
        let name = format!("hakata_test_{:016x}", u64::from_le_bytes(random));
        execute(engine, &format!("CREATE DATABASE {name}"))?;
        Ok(Some(Self { engine, name }))
    }

    /// The URL that the server under test is given.
    pub fn url(&self) -> String {
        let server = self.engine.server_url();
        let base = server.rsplit_once('/').map_or(server.as_str(), |(base, _)| base);
        format!("{base}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let force = if self.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
        let _ = execute(self.engine, &format!("DROP DATABASE IF EXISTS {}{force}", self.name));
    }
}

/// Runs one statement through the engine's own client.
fn execute(engine: Engine, statement: &str) -> Result<()> {
    let url = engine.server_url();
    let output = match engine {
        Engine::Sqlite => bail!("SQLite needs no database to be made"),
        Engine::Postgres => run(Command::new("psql").args([&url, "-qAtc", statement]))?,
        Engine::Mariadb => run(&mut mariadb(&url, statement)?)?,
    };
    output.expect_success(statement).map(drop)
}

/// The `mariadb` client for a `mysql://USER[:PASSWORD]@HOST:PORT/…` URL.
fn mariadb(url: &str, statement: &str) -> Result<Command> {
    let rest = url.split_once("://").context("a database URL has a scheme")?.1;
    let (user, rest) = rest.split_once('@').context("a database URL names a user")?;
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let address = rest.split('/').next().unwrap_or(rest);
    let (host, port) = address.split_once(':').unwrap_or((address, "3306"));
    let mut command = Command::new("mariadb");
    command.args(["--protocol=tcp", "-h", host, "-P", port, "-u", user, "-e", statement]);
    command.env("MYSQL_PWD", password);
    Ok(command)
}
