//! The adapters that carry the protocols: memcached over TCP and Unix sockets, HTTP, gRPC.
//!
//! They share an [`Issuer`] and a [`Stats`]. Each takes admitted connections of a
//! [`Listener`](hakata_service::listener::Listener); [`grpc`] and [`http`] are functions of a request for its HTTP server.

use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::metrics::{Counter, CounterFamily, Label, Metric};
use hakata_runtime::tasks::Tasks;
use hakata_service::listener::Connection;

use crate::issue::Issuer;
use crate::memcached;
use crate::stats::Stats;

mod connection;
pub mod grpc;
pub mod http;
mod scratch;
mod source;

use connection::Conversation;
use source::IssuerSource;

/// Most ids that one request over HTTP or gRPC can ask for. Source: katsubushi.
pub const MAX_IDS: u32 = 1_000;

/// What a client hears that is turned away at accept. Source: memcached, with `-o maxconns_fast`.
pub const TOO_MANY: &[u8] = b"SERVER_ERROR too many open connections\r\n";

static ENDED: CounterFamily<Ended> =
    CounterFamily::new("hakata_id_connections_ended_total", "Memcached connections that ended, by how");
static REQUESTS: Counter = Counter::new("hakata_id_requests_total", "Memcached requests answered");

/// How memcached connections are treated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The bounds of the protocol.
    pub protocol: memcached::Settings,
    /// How long a client may complete no request, or take nothing of its replies; `None` is for ever.
    pub idle_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { protocol: memcached::Settings::default(), idle_timeout: Some(Duration::from_secs(600)) }
    }
}

/// The memcached server.
#[derive(Debug)]
pub struct Server {
    issuer: Issuer,
    stats: Arc<Stats>,
    protocol: Arc<memcached::Settings>,
    idle_timeout: Option<Duration>,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Ended {
    /// The client closed.
    Left,
    /// It said `quit`, or was told to go for what it sent.
    Closed,
    /// It completed no request in time.
    Idle,
    /// It did not take its replies in time.
    Unread,
    /// The transport broke.
    Broken,
    /// The server stops.
    Drained,
}

impl Server {
    /// Makes a server.
    pub fn new(issuer: Issuer, stats: Arc<Stats>, settings: Settings) -> Self {
        let Settings { protocol, idle_timeout } = settings;
        Self { issuer, stats, protocol: Arc::new(protocol), idle_timeout }
    }

    /// Serves a connection until it ends. When the group drains, what has arrived is answered and the rest closed.
    pub async fn serve(self: Arc<Self>, connection: Connection, tasks: Tasks) {
        let _open = self.stats.open();
        let source = IssuerSource::new(&self.issuer, &self.stats);
        // Its place among the connections is given back at the end.
        let Connection { stream, peer, slot: _slot, .. } = connection;
        // One token a connection: that of the group is a lock that all would share.
        let drain = tasks.cancel_token().child_token();
        let conversation = Conversation::new(stream, self.protocol.clone(), self.idle_timeout, source);
        let ended = conversation.run(&drain).await;
        ENDED.get(ended).inc();
        tracing::debug!(%peer, ended = ended.value(), "connection ended");
    }
}

impl Label for Ended {
    const KEY: &'static str = "how";

    fn value(self) -> &'static str {
        match self {
            Ended::Left => "left",
            Ended::Closed => "closed",
            Ended::Idle => "idle",
            Ended::Unread => "unread",
            Ended::Broken => "broken",
            Ended::Drained => "drained",
        }
    }
}

/// Lists the metrics of this module.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&ENDED, &REQUESTS];
    all.extend(source::metrics());
    all
}

#[cfg(test)]
mod tests;
