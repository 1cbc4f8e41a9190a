//! Transactions: all or nothing, repeated whole when the engine asks for it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{SqlSafeStr as _, SqlStr};

use crate::conn::{Conn, Failure};
use crate::db::{Db, Purpose};
use crate::dialect::Engine;
use crate::error::{classify, is_certain_rollback};
use crate::{StoreError, measure};

/// How often a transaction is tried before its last error stands.
pub const MAX_ATTEMPTS: u32 = 10;

/// An open transaction; it is a [`Conn`] for every question. Dropped without [`Tx::commit`], it rolls back.
///
/// The lifetime is that of what the body of [`Db::transaction`] borrows from around it.
#[derive(Debug)]
pub struct Tx<'e> {
    conn: Conn,
    environment: PhantomData<&'e ()>,
}

impl Deref for Tx<'_> {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl Tx<'_> {
    /// Makes the changes durable.
    ///
    /// # Errors
    /// [`StoreError::CommitUnknown`] when the connection broke in between; any other error means that nothing was
    /// changed, and [`StoreError::Contended`] that trying again may help.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if let Some(failure) = self.conn.failure {
            // PostgreSQL would answer such a COMMIT with a silent rollback.
            self.rollback().await;
            tracing::debug!(?failure, "a transaction swallowed the error of a statement");
            return Err(StoreError::Broken);
        }
        match self.conn.control(SqlStr::from_static("COMMIT")).await {
            Ok(()) => {
                self.conn.is_open = false;
                self.conn.send_signals();
                Ok(())
            }
            Err(error) if is_certain_rollback(&error) => {
                self.rollback().await;
                Err(classify(error))
            }
            Err(error) => {
                measure::UNKNOWN.inc();
                self.conn.send_signals();
                Err(StoreError::CommitUnknown(error))
            }
        }
    }

    /// Takes everything back. Cannot fail: a connection that does not answer is closed, which does the same.
    pub async fn rollback(mut self) {
        if self.conn.control(SqlStr::from_static("ROLLBACK")).await.is_ok() {
            self.conn.is_open = false;
        }
    }
}

impl Db {
    /// Opens a transaction that the caller ends and, where that makes sense, repeats. [`Db::transaction`] does both.
    ///
    /// On SQLite it holds the only write lock from here on. PostgreSQL and MySQL run READ COMMITTED: every statement
    /// sees what was committed before it, so questions that must agree lock a row first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], or [`StoreError::Contended`] when the file stays locked.
    pub async fn begin<'e>(&self) -> Result<Tx<'e>, StoreError> {
        let mut conn = self.acquire(Purpose::Write).await?;
        let begin = match conn.engine() {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres | Engine::MySql => "BEGIN",
        };
        conn.is_open = true;
        conn.control(begin.into_sql_str()).await.map_err(classify)?;
        Ok(Tx { conn, environment: PhantomData })
    }

    /// Runs `body` in a transaction and commits it when the body answers `Ok`; on `Err` everything is taken back.
    ///
    /// After a deadlock, a serialization failure, a busy file or a lost race for a unique name the body runs again
    /// from its start, up to [`MAX_ATTEMPTS`] times with a growing random pause; so it must not change anything but
    /// rows. A commit of unknown outcome is not repeated.
    ///
    /// ```
    /// # use hakata_store::{Db, StoreError, settings};
    /// # async fn example(db: &Db, name: &str) -> Result<(), StoreError> {
    /// db.transaction(|tx| Box::pin(async move { settings::set(tx, "title", name).await })).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// The body's own, or a [`StoreError`] of BEGIN or COMMIT.
    pub async fn transaction<'e, T, E, F>(&self, mut body: F) -> Result<T, E>
    where
        F: for<'c> FnMut(&'c mut Tx<'e>) -> BoxFuture<'c, Result<T, E>>,
        E: From<StoreError>,
    {
        let mut attempt = 1;
        loop {
            let mut tx = match self.begin().await {
                Ok(tx) => tx,
                Err(error @ StoreError::Contended(_)) if attempt < MAX_ATTEMPTS => {
                    pause(&mut attempt, &error).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let answer = body(&mut tx).await;
            let was_contended = tx.conn.failure == Some(Failure::Contended);
            match answer {
                Ok(_) if was_contended && attempt < MAX_ATTEMPTS => {
                    tx.rollback().await;
                    pause(&mut attempt, &StoreError::Broken).await;
                }
                Ok(answer) => match tx.commit().await {
                    Ok(()) => return Ok(answer),
                    Err(error @ StoreError::Contended(_)) if attempt < MAX_ATTEMPTS => {
                        pause(&mut attempt, &error).await;
                    }
                    Err(error) => return Err(error.into()),
                },
                Err(error) => {
                    tx.rollback().await;
                    if !was_contended || attempt >= MAX_ATTEMPTS {
                        return Err(error);
                    }
                    pause(&mut attempt, &StoreError::Broken).await;
                }
            }
        }
    }
}

/// Waits 1 to 2 ms before the second attempt and twice as long before each one after it, up to 200 ms: the losers of
/// one collision must not collide again.
async fn pause(attempt: &mut u32, why: &StoreError) {
    measure::RETRIED.inc();
    tracing::debug!(attempt = *attempt, error = %why, "repeating a transaction");
    let base_us = (1000_u64 << (*attempt - 1).min(10)).min(100_000);
    let jitter_us = RandomState::new().build_hasher().finish() % base_us;
    tokio::time::sleep(Duration::from_micros(base_us + jitter_us)).await;
    *attempt += 1;
}
