//! One connection: how questions are put to it and rows read from it.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;
use hakata_runtime::metrics::GaugeGuard;
use sqlx::pool::PoolConnection;
use sqlx::{MySql, Postgres, SqlStr, Sqlite};

use crate::dialect::Engine;
use crate::error::classify;
use crate::jobs::signal::Signals;
use crate::row::Row;
use crate::sql::{CHUNK, ManySql, Sql};
use crate::value::Value;
use crate::{StoreError, measure};

/// A connection of the pool, alone or inside a transaction ([`Tx`](crate::Tx)); every question takes one.
#[derive(Debug)]
pub struct Conn {
    link: Link,
    /// A statement is under way, or a transaction is open: not fit for the pool if dropped now.
    is_busy: bool,
    pub(crate) is_open: bool,
    pub(crate) failure: Option<Failure>,
    /// Kinds of jobs that the open transaction enqueued.
    pub(crate) enqueued: BTreeSet<String>,
    pub(crate) signals: Signals,
    _in_use: GaugeGuard,
}

/// The driver's connection.
#[derive(Debug)]
pub(crate) enum Link {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
    MySql(PoolConnection<MySql>),
}

/// How a statement of the open transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Repeating the transaction may help.
    Contended,
    /// It will not.
    Final,
}

/// Binds the values and runs `$body` with the driver's query and connection.
macro_rules! ask {
    ($self:expr, $text:expr, $values:expr, |$query:ident, $link:ident| $body:expr) => {
        match &mut $self.link {
            Link::Sqlite(link) => {
                let $query = bind!(sqlx::query::<Sqlite>($text), $values);
                let $link = &mut **link;
                $body
            }
            Link::Postgres(link) => {
                let $query = bind!(sqlx::query::<Postgres>($text), $values);
                let $link = &mut **link;
                $body
            }
            Link::MySql(link) => {
                let $query = bind!(sqlx::query::<MySql>($text), $values);
                let $link = &mut **link;
                $body
            }
        }
    };
}

macro_rules! bind {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match *value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Conn {
    pub(crate) fn new(link: Link, signals: Signals) -> Self {
        let (enqueued, _in_use) = (BTreeSet::new(), measure::IN_USE.track());
        Self { link, is_busy: false, is_open: false, failure: None, enqueued, signals, _in_use }
    }

    pub(crate) fn engine(&self) -> Engine {
        match self.link {
            Link::Sqlite(_) => Engine::Sqlite,
            Link::Postgres(_) => Engine::Postgres,
            Link::MySql(_) => Engine::MySql,
        }
    }

    /// Runs a statement and counts the rows it matched: on every engine an UPDATE counts rows that already had the
    /// value.
    pub(crate) async fn execute(&mut self, sql: &Sql, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let result = self.run(self.text(sql), values).await;
        self.judge(result)
    }

    /// Runs a statement that matches at most one row, and tells whether it did.
    pub(crate) async fn execute_one(&mut self, sql: &Sql, values: &[Value<'_>]) -> Result<bool, StoreError> {
        Ok(self.execute(sql, values).await? > 0)
    }

    /// Runs an INSERT made by `sql!(insert_absent …)`: false when a row with one of its unique values is there. The
    /// transaction lives on either way.
    pub(crate) async fn insert_absent(
        &mut self,
        sql: &Sql,
        values: &[Value<'_>],
    ) -> Result<bool, StoreError> {
        match self.run(self.text(sql), values).await {
            // Only MySQL gets here, and there an error takes back the statement and nothing else.
            Err(error) if error.as_database_error().is_some_and(|e| e.is_unique_violation()) => Ok(false),
            result => Ok(self.judge(result)? > 0),
        }
    }

    /// Runs a statement over a chunk of rows and counts the rows it matched.
    pub(crate) async fn execute_many(
        &mut self,
        sql: &ManySql,
        n_rows: usize,
        values: &[Value<'_>],
    ) -> Result<u64, StoreError> {
        debug_assert!(n_rows <= CHUNK, "rows go in chunks");
        let result = self.run(sql.text(self.engine(), n_rows), values).await;
        self.judge(result)
    }

    /// Reads at most one row.
    pub(crate) async fn find<T: Send>(
        &mut self,
        sql: &Sql,
        values: &[Value<'_>],
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + Sync,
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        let text = self.text(sql);
        self.each(text, values, |row| {
            found = Some(read(row)?);
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Reads all rows.
    pub(crate) async fn list<T: Send>(
        &mut self,
        sql: &Sql,
        values: &[Value<'_>],
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let text = self.text(sql);
        self.collect(text, values, read).await
    }

    /// Reads all rows of a question about a chunk of keys.
    pub(crate) async fn list_many<T: Send>(
        &mut self,
        sql: &ManySql,
        n_keys: usize,
        values: &[Value<'_>],
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        debug_assert!(n_keys <= CHUNK, "keys go in chunks");
        let text = sql.text(self.engine(), n_keys);
        self.collect(text, values, read).await
    }

    /// Runs a statement as it is, unprepared: transaction control and migrations.
    pub(crate) async fn control(&mut self, text: SqlStr) -> Result<(), sqlx::Error> {
        self.is_busy = true;
        let result = match &mut self.link {
            Link::Sqlite(link) => sqlx::raw_sql(text).execute(&mut **link).await.map(drop),
            Link::Postgres(link) => sqlx::raw_sql(text).execute(&mut **link).await.map(drop),
            Link::MySql(link) => sqlx::raw_sql(text).execute(&mut **link).await.map(drop),
        };
        self.is_busy = false;
        result
    }

    async fn collect<T: Send>(
        &mut self,
        text: SqlStr,
        values: &[Value<'_>],
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.each(text, values, |row| {
            all.push(read(row)?);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// Reads rows as they come, so that 50,000 refs are in memory once.
    async fn each(
        &mut self,
        text: SqlStr,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        macro_rules! each {
            ($query:ident, $link:ident, $wrap:path) => {{
                let mut rows = $query.fetch($link);
                let mut misread = Ok(());
                loop {
                    match rows.try_next().await {
                        // The stream is read to its end even so, to leave the connection in order.
                        Ok(Some(row)) if misread.is_ok() => misread = read(&$wrap(row)),
                        Ok(Some(_)) => {}
                        Ok(None) => break Ok(misread),
                        Err(error) => break Err(error),
                    }
                }
            }};
        }
        self.is_busy = true;
        let result = match &mut self.link {
            Link::Sqlite(link) => {
                let (query, link) = (bind!(sqlx::query::<Sqlite>(text), values), &mut **link);
                each!(query, link, Row::Sqlite)
            }
            Link::Postgres(link) => {
                let (query, link) = (bind!(sqlx::query::<Postgres>(text), values), &mut **link);
                each!(query, link, Row::Postgres)
            }
            Link::MySql(link) => {
                let (query, link) = (bind!(sqlx::query::<MySql>(text), values), &mut **link);
                each!(query, link, Row::MySql)
            }
        };
        self.is_busy = false;
        self.judge(result)?
    }

    async fn run(&mut self, text: SqlStr, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        self.is_busy = true;
        let result = ask!(self, text, values, |query, link| query
            .execute(link)
            .await
            .map(|done| done.rows_affected()));
        self.is_busy = false;
        result
    }

    /// Remembers in an open transaction that a statement failed: it can no longer be committed.
    pub(crate) fn judge<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let error = classify(error);
            self.failure = Some(match error {
                StoreError::Contended(_) => Failure::Contended,
                _ => Failure::Final,
            });
            error
        })
    }

    fn text(&self, sql: &Sql) -> SqlStr {
        SqlStr::from_static(match self.engine() {
            Engine::Sqlite => sql.sqlite,
            Engine::Postgres => sql.postgres,
            Engine::MySql => sql.mysql,
        })
    }
}

/// A connection dropped in the middle is closed, which rolls back on every engine; returning it to the pool would
/// leave its transaction open until the next use.
impl Drop for Conn {
    fn drop(&mut self) {
        if self.is_busy || self.is_open {
            match &mut self.link {
                Link::Sqlite(link) => link.close_on_drop(),
                Link::Postgres(link) => link.close_on_drop(),
                Link::MySql(link) => link.close_on_drop(),
            }
        }
    }
}
