//! A relay in front of a database server that can lose a COMMIT, or the answer to one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::TestDatabase;
use crate::{Engine, Settings};

/// What a relay loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The next COMMIT never reaches the server.
    Commit,
    /// The next COMMIT is carried out, and its answer is lost.
    Answer,
}

/// What becomes of other connections when something is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They go on.
    Stay,
    /// The server cannot be reached any more, until [`Relay::mend`].
    Go,
}

/// A relay to the server of a test database.
#[derive(Debug)]
pub struct Relay {
    settings: Settings,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    next: Option<(Lost, Others)>,
    is_down: bool,
}

impl Relay {
    /// Starts a relay, which ends with the runtime.
    ///
    /// # Panics
    /// For SQLite, which has no connection to lose, and when no port is free.
    pub async fn start(database: &TestDatabase) -> Self {
        let (standard, plain) = match database.engine() {
            Engine::Postgres => ("127.0.0.1:5432", "sslmode=disable"),
            Engine::MySql => ("127.0.0.1:3306", "ssl-mode=DISABLED"),
            Engine::Sqlite => panic!("SQLite has no connection to lose"),
        };
        let url = database.url();
        let behind_login = url.split_once("://").and_then(|(_, rest)| rest.rsplit('@').next());
        let host = behind_login.and_then(|rest| rest.split('/').next()).filter(|host| host.contains(':'));
        let upstream = host.unwrap_or(standard).to_owned();
        let state = Arc::new(Mutex::default());
        let address = listen(upstream.clone(), Arc::clone(&state)).await;
        let url = format!("{}?{plain}", url.replace(&upstream, &address.to_string()));
        let acquire_timeout = Duration::from_secs(2);
        Self { settings: Settings { acquire_timeout, ..Settings::new(url) }, state }
    }

    /// Returns settings that lead through the relay, with this many connections.
    pub fn settings(&self, max_connections: u32) -> Settings {
        let url = self.settings.url.expose().clone();
        Settings { max_connections, acquire_timeout: self.settings.acquire_timeout, ..Settings::new(url) }
    }

    /// Arms the relay: from now on the first COMMIT is lost, and none after it.
    pub fn lose(&self, lost: Lost, others: Others) {
        lock(&self.state).next = Some((lost, others));
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        *lock(&self.state) = State::default();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(upstream: String, state: Arc<Mutex<State>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            if lock(&state).is_down {
                continue;
            }
            if let Ok(server) = TcpStream::connect(&upstream).await {
                tokio::spawn(relay(client, server, Arc::clone(&state)));
            }
        }
    });
    address
}

async fn relay(mut client: TcpStream, mut server: TcpStream, state: Arc<Mutex<State>>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_cut = false;
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let Ok(n @ 1..) = n else { return };
                match lose(&state, has_commit(&asked[..n])) {
                    Passage::Closed => return,
                    Passage::Cut => is_cut = true,
                    Passage::Open => {}
                }
                if server.write_all(&asked[..n]).await.is_err() { return }
            }
            n = server.read(&mut answered) => {
                let Ok(n @ 1..) = n else { return };
                if is_cut || client.write_all(&answered[..n]).await.is_err() { return }
            }
        }
    }
}

/// Tells a COMMIT from the READ COMMITTED of a connection that is set up.
fn has_commit(asked: &[u8]) -> bool {
    const COMMIT: &[u8] = b"COMMIT";
    (0..asked.len()).any(|at| asked[at..].starts_with(COMMIT) && asked.get(at + COMMIT.len()) != Some(&b'T'))
}

/// How far bytes of a client get.
enum Passage {
    Open,
    /// To the server, whose answer is lost.
    Cut,
    Closed,
}

fn lose(state: &Mutex<State>, has_commit: bool) -> Passage {
    let mut state = lock(state);
    let Some((lost, others)) = state.next.take_if(|_| has_commit) else {
        return if state.is_down { Passage::Closed } else { Passage::Open };
    };
    state.is_down = others == Others::Go;
    match lost {
        Lost::Commit => Passage::Closed,
        Lost::Answer => Passage::Cut,
    }
}
