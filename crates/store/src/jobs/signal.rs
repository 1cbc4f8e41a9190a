//! Who waits for jobs hears of them when they are committed, so that nobody has to ask again and again.
//!
//! Inside a process a channel tells it. PostgreSQL also tells other processes, asked to after the commit and on another
//! connection: inside a transaction it would make all commits wait for each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::postgres::PgListener;
use tokio::sync::broadcast;

use crate::StoreError;
use crate::conn::Conn;
use crate::db::{Db, Pools};
use crate::error::classify;
use crate::sql::{Sql, sql};
use crate::value::values;

/// The channel's name on PostgreSQL.
const CHANNEL: &str = "hakata_jobs";

/// Signals that a slow listener may be behind before it is told only that it missed some.
const BEHIND: usize = 1_024;

/// Kinds of which jobs were committed.
pub type Signal = Arc<[String]>;

/// The sending half, shared by the connections of a database.
#[derive(Clone, Debug)]
pub(crate) struct Signals(broadcast::Sender<Signal>);

impl Signals {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }

    pub(crate) fn send(&self, kinds: BTreeSet<String>) {
        // An error means that nobody listens.
        let _ = self.0.send(kinds.into_iter().collect());
    }
}

/// Hears of jobs that other processes enqueue.
#[derive(Debug)]
pub struct JobListener(PgListener);

impl Db {
    /// Subscribes to the jobs that this process enqueues, each told after its commit.
    pub fn job_signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.0.subscribe()
    }

    /// Tells other processes of jobs, where the database can: on PostgreSQL. False where it cannot.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn announce_jobs(&self, kinds: &[String]) -> Result<bool, StoreError> {
        const NOTIFY: Sql = sql!("SELECT COUNT(*) FROM (SELECT pg_notify('hakata_jobs', ?)) told");
        let Pools::Postgres(_) = &*self.pools else { return Ok(false) };
        let kinds = kinds.join(" ");
        self.read().await?.find(&NOTIFY, values![&kinds], |row| row.int(0)).await?;
        Ok(true)
    }

    /// Listens for what other processes announce; `None` where the database does not tell. Takes a connection of the
    /// pool for itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn listen_for_jobs(&self) -> Result<Option<JobListener>, StoreError> {
        let Pools::Postgres(pool) = &*self.pools else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await.map_err(classify)?;
        listener.listen(CHANNEL).await.map_err(classify)?;
        Ok(Some(JobListener(listener)))
    }
}

impl JobListener {
    /// Waits for the next announcement; the kinds are empty when the connection was lost for a while and some may have
    /// been missed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database is gone.
    pub async fn heard(&mut self) -> Result<Vec<String>, StoreError> {
        let heard = self.0.try_recv().await.map_err(classify)?;
        Ok(heard.map(|told| told.payload().split(' ').map(str::to_owned).collect()).unwrap_or_default())
    }
}

impl Conn {
    /// Tells of a job when the transaction commits, or at once when there is none.
    pub(crate) fn signal_job(&mut self, kind: &str) {
        self.enqueued.insert(kind.to_owned());
        if !self.is_open {
            self.send_signals();
        }
    }

    /// Tells of what was committed.
    pub(crate) fn send_signals(&mut self) {
        if !self.enqueued.is_empty() {
            self.signals.send(std::mem::take(&mut self.enqueued));
        }
    }
}
