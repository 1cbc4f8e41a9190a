//! A server that answers as a test wants it to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::client::Endpoint;

/// How long a test waits for something to happen.
const LIMIT: Duration = Duration::from_secs(20);

/// A `get` that came in.
pub(super) struct Request {
    /// The connection, counted from 0.
    pub(super) connection: usize,
    /// Its keys.
    pub(super) keys: Vec<String>,
}

/// What the server does about a request.
pub(super) enum Act {
    /// Answers.
    Reply(Vec<u8>),
    /// Answers and closes.
    ReplyThenClose(Vec<u8>),
    /// Answers the first part, and the second one once [`Fake::release`] was called.
    Halves(Vec<u8>, Vec<u8>),
    /// Says nothing and reads on.
    Nothing,
    /// Closes without an answer.
    Close,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    n_connections: usize,
    n_requests: usize,
    most_keys: usize,
    closed: Vec<usize>,
    released: bool,
}

type Script = Arc<Mutex<dyn FnMut(&Request) -> Act + Send>>;

/// A running server.
pub(super) struct Fake {
    pub(super) endpoint: Endpoint,
    seen: watch::Sender<Seen>,
    task: AbortHandle,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Starts a server that asks `script` about every request.
    pub(super) async fn start(script: impl FnMut(&Request) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = Endpoint::Tcp(listener.local_addr().expect("an address").to_string());
        let seen = watch::Sender::new(Seen::default());
        let script: Script = Arc::new(Mutex::new(script));
        let counts = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = counts.borrow().n_connections;
                counts.send_modify(|seen| seen.n_connections += 1);
                tokio::spawn(converse(stream, connection, script.clone(), counts.clone()));
            }
        });
        Self { endpoint, seen, task: task.abort_handle() }
    }

    /// Stops listening; returns where nobody listens now.
    pub(super) async fn stop(self) -> Endpoint {
        self.task.abort();
        let Endpoint::Tcp(address) = &self.endpoint else { unreachable!("fakes listen on TCP") };
        let refused = async { while TcpStream::connect(address).await.is_ok() {} };
        tokio::time::timeout(LIMIT, refused).await.expect("the port is free");
        self.endpoint.clone()
    }

    pub(super) fn n_connections(&self) -> usize {
        self.seen.borrow().n_connections
    }

    pub(super) fn n_requests(&self) -> usize {
        self.seen.borrow().n_requests
    }

    /// Keys of the longest request.
    pub(super) fn most_keys(&self) -> usize {
        self.seen.borrow().most_keys
    }

    /// Lets second halves go.
    pub(super) fn release(&self) {
        self.seen.send_modify(|seen| seen.released = true);
    }

    pub(super) async fn wait_for_requests(&self, n: usize) {
        self.wait_for("requests", |seen| seen.n_requests >= n).await;
    }

    /// Waits until the client has closed a connection.
    pub(super) async fn wait_for_closed(&self, connection: usize) {
        self.wait_for("a closed connection", |seen| seen.closed.contains(&connection)).await;
    }

    async fn wait_for(&self, what: &str, holds: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let waited = tokio::time::timeout(LIMIT, seen.wait_for(holds)).await;
        assert!(waited.is_ok(), "waited in vain for {what}");
    }
}

/// Writes values as a server does.
pub(super) fn values(keys: &[String], ids: &[u64]) -> Vec<u8> {
    let mut reply = String::new();
    for (key, id) in keys.iter().zip(ids) {
        let id = id.to_string();
        reply += &format!("VALUE {key} 0 {}\r\n{id}\r\n", id.len());
    }
    (reply + "END\r\n").into_bytes()
}

async fn converse(stream: TcpStream, connection: usize, script: Script, seen: watch::Sender<Seen>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|n| n > 0) {
        let keys: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
        let request = Request { connection, keys };
        let act = script.lock().expect("scripts do not panic")(&request);
        seen.send_modify(|seen| {
            seen.n_requests += 1;
            seen.most_keys = seen.most_keys.max(request.keys.len());
        });
        line.clear();
        let wrote = match act {
            Act::Reply(reply) => stream.write_all(&reply).await,
            Act::Halves(first, second) => {
                let first = stream.write_all(&first).await;
                let mut released = seen.subscribe();
                let _ = released.wait_for(|seen| seen.released).await;
                // The client is gone by now, so this may fail.
                let _ = stream.write_all(&second).await;
                first
            }
            Act::Nothing => Ok(()),
            Act::ReplyThenClose(reply) => {
                let _ = stream.write_all(&reply).await;
                return;
            }
            Act::Close => return,
        };
        if wrote.is_err() {
            break;
        }
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
    seen.send_modify(|seen| seen.closed.push(connection));
}
