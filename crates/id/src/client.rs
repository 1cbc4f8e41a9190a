//! A client that goes on fetching while its servers come and go.
//!
//! Servers are asked in the order given: the first one that answers is used, one that does not is left alone for a
//! while that doubles from failure to failure. Connections are kept and used again. What was cut while it lay idle is
//! opened anew, and nobody hears of it. A reply that is late, cut, or not exactly the one asked for costs its
//! connection: its ids are lost, never handed out, and whatever comes late finds nobody.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use hakata_id::client::{Client, Settings};
//! let client = Client::new(["127.0.0.1:11212".parse()?, "/run/hakata/id.sock".parse()?], Settings::default())?;
//! let id = client.get().await?;
//! let ids = client.get_many(100).await?;
//! assert!(ids.len() == 100 && !ids.contains(&id));
//! # Ok(())
//! # }
//! ```

mod connection;
mod endpoint;
mod reply;
mod server;

pub use connection::AttemptError;
pub use endpoint::{Endpoint, ParseEndpointError};
pub use reply::ReplyError;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use connection::Connection;
use server::Server;

/// Most ids in one request; [`Client::get_many`] makes several of more.
const MAX_BATCH: usize = 1_000;

/// Fetches ids from the first of its servers that gives some; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    servers: Vec<Server>,
    settings: Settings,
    /// A permit a connection in use.
    turns: Semaphore,
    /// Requests so far: each is named by its number.
    n_requests: AtomicU64,
}

/// How patient a client is, and how much it keeps.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long opening one connection may take.
    pub connect_timeout: Duration,
    /// How long one request may take on one connection, from its first byte to the last of its reply.
    pub reply_timeout: Duration,
    /// How long a batch may take in all, over all servers and attempts.
    pub patience: Duration,
    /// How long a server that failed is left alone: at first, and at most. Asked are such servers only if no other answers.
    pub back_off: (Duration, Duration),
    /// Most connections at once; who comes when all are in use waits for one.
    pub max_connections: usize,
    /// How long a connection may lie unused before it is closed rather than trusted.
    pub max_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            reply_timeout: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            back_off: (Duration::from_millis(100), Duration::from_secs(10)),
            max_connections: 64,
            max_idle: Duration::from_secs(300),
        }
    }
}

/// Why a client has no servers to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a client needs at least one server")]
pub struct NoServers;

/// Why no ids were fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Every server was asked in vain until patience ended.
    #[error("asking {n_servers} servers for ids, in {n_attempts} attempts; the last was of {endpoint}")]
    NoneAnswered {
        /// Servers there are.
        n_servers: usize,
        /// Attempts made.
        n_attempts: u32,
        /// The server of the last attempt.
        endpoint: Endpoint,
        /// What became of it.
        #[source]
        last: AttemptError,
    },
    /// All connections were in use until patience ended.
    #[error("waiting for one of {max_connections} connections")]
    Busy {
        /// The limit.
        max_connections: usize,
    },
}

impl Client {
    /// Makes a client; no connection is opened yet.
    ///
    /// # Errors
    /// If there are no servers.
    pub fn new(servers: impl IntoIterator<Item = Endpoint>, settings: Settings) -> Result<Self, NoServers> {
        let servers: Vec<Server> = servers.into_iter().map(Server::new).collect();
        if servers.is_empty() {
            return Err(NoServers);
        }
        let turns = Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self { shared: Arc::new(Shared { servers, settings, turns, n_requests: AtomicU64::new(0) }) })
    }

    /// Fetches one id, which is never 0.
    ///
    /// # Errors
    /// If no server gives one within [`Settings::patience`].
    pub async fn get(&self) -> Result<u64, FetchError> {
        self.shared.batch(1).await.map(|ids| ids[0])
    }

    /// Fetches `n` ids. They rise, except where one of many batches of 1,000 had to go to another server.
    ///
    /// # Errors
    /// As [`Client::get`]; the ids of batches that came are lost then.
    pub async fn get_many(&self, n: usize) -> Result<Vec<u64>, FetchError> {
        let mut ids = Vec::new();
        while ids.len() < n {
            ids.append(&mut self.shared.batch((n - ids.len()).min(MAX_BATCH)).await?);
        }
        Ok(ids)
    }
}

impl Shared {
    /// Asks servers in turn until one gives `n` ids, `n` at least 1, or patience ends.
    async fn batch(&self, n: usize) -> Result<Vec<u64>, FetchError> {
        let deadline = Instant::now() + self.settings.patience;
        let Ok(Ok(_turn)) = timeout_at(deadline, self.turns.acquire()).await else {
            return Err(FetchError::Busy { max_connections: self.settings.max_connections });
        };
        let (mut pause, longest) = self.settings.back_off;
        let mut n_attempts = 0;
        loop {
            let mut failed = None;
            for server in self.in_order() {
                n_attempts += 1;
                match self.attempt(server, n, deadline).await {
                    Ok(ids) => return Ok(ids),
                    Err(error) => failed = Some((server, error)),
                }
                if Instant::now() >= deadline {
                    break;
                }
            }
            let wake = Instant::now() + pause;
            if let Some((server, last)) = failed.filter(|_| wake >= deadline) {
                let endpoint = server.endpoint().clone();
                return Err(FetchError::NoneAnswered {
                    n_servers: self.servers.len(),
                    n_attempts,
                    endpoint,
                    last,
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Lists servers as they are to be asked: those left alone come last.
    fn in_order(&self) -> impl Iterator<Item = &Server> {
        let now = Instant::now();
        let (resting, ready): (Vec<&Server>, Vec<&Server>) =
            self.servers.iter().partition(|server| server.is_resting(now));
        ready.into_iter().chain(resting)
    }

    /// Asks one server, on a kept connection if there is one, else on a new one.
    async fn attempt(&self, server: &Server, n: usize, deadline: Instant) -> Result<Vec<u64>, AttemptError> {
        if let Some(kept) = server.take(self.settings.max_idle) {
            match self.ask(server, kept, n, deadline).await {
                // It may have been cut while nobody looked: that says nothing about the server.
                Err(error) if error.is_of_connection() => server.forget_kept(),
                answer => return answer,
            }
        }
        let limit = deadline.min(Instant::now() + self.settings.connect_timeout);
        let opened = timeout_at(limit, Connection::open(server.endpoint())).await;
        match opened.map_err(|_| AttemptError::ConnectTimeout).flatten() {
            Ok(connection) => self.ask(server, connection, n, deadline).await.inspect_err(|error| {
                server.rest(&self.settings, error);
            }),
            Err(error) => {
                server.rest(&self.settings, &error);
                Err(error)
            }
        }
    }

    /// Fetches on one connection, which is kept only if the whole reply came as it should.
    async fn ask(
        &self,
        server: &Server,
        connection: Connection,
        n: usize,
        deadline: Instant,
    ) -> Result<Vec<u64>, AttemptError> {
        let request = self.n_requests.fetch_add(1, Ordering::Relaxed);
        let limit = deadline.min(Instant::now() + self.settings.reply_timeout);
        let fetched = timeout_at(limit, connection.fetch(request, n)).await;
        let fetched = fetched.map_err(|_| AttemptError::ReplyTimeout).flatten();
        let (connection, ids) = fetched.inspect_err(|error| {
            if !error.is_of_connection() {
                server.rest(&self.settings, error);
            }
        })?;
        server.keep(connection);
        Ok(ids)
    }
}

#[cfg(test)]
mod tests;
