//! The open database: pools of connections to one of three engines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hakata_runtime::secret::Secret;
use sqlx::mysql::MySqlPool;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;

use crate::conn::{Conn, Link};
use crate::dialect::Engine;
use crate::error::classify;
use crate::jobs::signal::Signals;
use crate::{StoreError, measure, open};

/// How to reach the database.
#[derive(Debug)]
pub struct Settings {
    /// `sqlite:///path/hakata.db` or a plain path, `postgres://…`, `mysql://…` or `mariadb://…`.
    pub url: Secret<String>,
    /// Most connections at once; on SQLite the readers, beside the one writer.
    pub max_connections: u32,
    /// How long a question waits for a free connection before it fails as unavailable.
    pub acquire_timeout: Duration,
    /// How long a statement waits for rows that another transaction holds before its own is repeated.
    pub lock_timeout: Duration,
}

impl Settings {
    /// Makes settings with the defaults: 16 connections, 10 s to get one, 10 s for a lock.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url.into()),
            max_connections: 16,
            acquire_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no engine that we speak, or its parts do not parse.
    #[error("database URL is not understood (use sqlite:, postgres: or mysql:)")]
    Url(#[source] Option<sqlx::Error>),
    /// The server does not answer, refuses the login, or the file cannot be opened.
    #[error("database cannot be opened")]
    Connect(#[source] sqlx::Error),
}

/// A handle to the database; clones share the pools.
#[derive(Clone, Debug)]
pub struct Db {
    pub(crate) pools: Arc<Pools>,
    pub(crate) signals: Signals,
}

/// The pools behind a [`Db`].
#[derive(Debug)]
pub(crate) enum Pools {
    /// One writer, so that writers queue here instead of meeting SQLITE_BUSY.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
    MySql(MySqlPool),
}

/// What a plain connection is for; only SQLite has two kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

impl Db {
    /// Opens the database and proves that it answers; an SQLite file is made if absent.
    ///
    /// # Errors
    /// [`OpenError`]; the URL is never part of a message, since it may hold a password.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        let db = Self { pools: Arc::new(open::pools(settings).await?), signals: Signals::new() };
        measure::watch(&db.pools);
        Ok(db)
    }

    /// Tells which engine is behind the handle.
    pub fn engine(&self) -> Engine {
        match *self.pools {
            Pools::Sqlite { .. } => Engine::Sqlite,
            Pools::Postgres(_) => Engine::Postgres,
            Pools::MySql(_) => Engine::MySql,
        }
    }

    /// Tells whether all writes pass through this process, so that versions known in memory are the truth.
    pub fn is_sole_owner(&self) -> bool {
        self.engine() == Engine::Sqlite
    }

    /// Takes a connection for questions: no BEGIN, so one round trip per question, and each sees what is committed.
    ///
    /// On SQLite such a connection refuses to write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none is free in time.
    pub async fn read(&self) -> Result<Conn, StoreError> {
        self.acquire(Purpose::Read).await
    }

    /// Takes a connection for changes of one statement, each durable when its call returns. Anything that belongs
    /// together, or that may meet a deadlock, goes through [`Db::transaction`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none is free in time.
    pub async fn write(&self) -> Result<Conn, StoreError> {
        self.acquire(Purpose::Write).await
    }

    /// Asks the database for a sign of life; what a readiness probe wants to know.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        const ONE: crate::sql::Sql = crate::sql::sql!("SELECT 1");
        self.read().await?.find(&ONE, &[], |row| row.int(0)).await.map(drop)
    }

    /// Closes every connection after the questions under way; later calls fail as unavailable.
    pub async fn close(&self) {
        match &*self.pools {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
            Pools::MySql(pool) => pool.close().await,
        }
    }

    pub(crate) async fn acquire(&self, purpose: Purpose) -> Result<Conn, StoreError> {
        let asked = Instant::now();
        let must_wait = self.pools.are_exhausted(purpose);
        let link = match &*self.pools {
            Pools::Sqlite { write, .. } if purpose == Purpose::Write => {
                write.acquire().await.map(Link::Sqlite)
            }
            Pools::Sqlite { read, .. } => read.acquire().await.map(Link::Sqlite),
            Pools::Postgres(pool) => pool.acquire().await.map(Link::Postgres),
            Pools::MySql(pool) => pool.acquire().await.map(Link::MySql),
        };
        measure::acquired(must_wait, asked.elapsed());
        link.map(|link| Conn::new(link, self.signals.clone())).map_err(classify)
    }
}

impl Pools {
    /// Counts connections: open, and idle among them.
    pub(crate) fn count(&self) -> (usize, usize) {
        let of = |size: u32, idle: usize| (usize::try_from(size).unwrap_or(usize::MAX), idle);
        match self {
            Self::Sqlite { write, read } => {
                let (open, idle) = of(write.size() + read.size(), write.num_idle() + read.num_idle());
                (open, idle)
            }
            Self::Postgres(pool) => of(pool.size(), pool.num_idle()),
            Self::MySql(pool) => of(pool.size(), pool.num_idle()),
        }
    }

    fn are_exhausted(&self, purpose: Purpose) -> bool {
        fn is_exhausted<DB: sqlx::Database>(pool: &sqlx::Pool<DB>) -> bool {
            pool.num_idle() == 0 && pool.size() >= pool.options().get_max_connections()
        }
        match self {
            Self::Sqlite { write, .. } if purpose == Purpose::Write => is_exhausted(write),
            Self::Sqlite { read, .. } => is_exhausted(read),
            Self::Postgres(pool) => is_exhausted(pool),
            Self::MySql(pool) => is_exhausted(pool),
        }
    }
}
