//! The accept loop of every port: bounded, polite when descriptors run out, and quick to stop.
//!
//! A connection is admitted by [`Connections`], which is shared by all listeners of a process, and served by a task of
//! its own. Options that protect against vanished peers are set on the listening socket once; the kernel hands them
//! to each accepted connection, so an accept costs one system call.

use crate::stream::{Peer, Stream};
use hakata_runtime::metrics::{CounterFamily, GaugeFamily, GaugeGuard, Label, Metric};
use hakata_runtime::tasks::Tasks;
use std::future::Future;
use std::io;
use std::time::Duration;

mod address;
mod backoff;
mod connections;
mod inherited;
mod network;
mod socket;

pub use address::{Address, ParseAddressError};
pub use connections::{ConnectionLimits, Connections, Refusal, Slot};
pub use inherited::{Activation, InheritError, Inherited};
pub use network::{Network, ParseNetworkError};
pub use socket::BindError;

use backoff::Backoff;
use socket::Socket;

static OPEN: GaugeFamily<Name> = GaugeFamily::new("hakata_connections_open", "Connections being served");
static ACCEPTED: CounterFamily<Name> =
    CounterFamily::new("hakata_connections_accepted_total", "Connections admitted");
static REFUSED: CounterFamily<(Name, Refusal)> =
    CounterFamily::new("hakata_connections_refused_total", "Connections turned away at accept");
static ERRORS: CounterFamily<Name> =
    CounterFamily::new("hakata_accept_errors_total", "Errors of accept, such as too few descriptors");

/// How a listener treats its sockets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Handshakes that the kernel keeps for us; a smaller number costs clients a second when many come at once.
    pub backlog: i32,
    /// After this silence the kernel starts to ask whether the peer is still there.
    pub keepalive: Duration,
    /// How long sent bytes may stay unacknowledged.
    pub user_timeout: Duration,
    /// The mode of a socket in the file system.
    pub unix_mode: u32,
    /// Sent to a client that is turned away because there are too many connections.
    pub last_word: &'static [u8],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            backlog: 4_096,
            keepalive: Duration::from_secs(60),
            user_timeout: Duration::from_secs(60),
            unix_mode: 0o600,
            last_word: b"",
        }
    }
}

/// A bound socket that hands out admitted connections.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    socket: Socket,
    connections: Connections,
    last_word: &'static [u8],
}

/// An admitted connection.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// Who sent them, before any proxy is believed.
    pub peer: Peer,
    /// Its place among the connections; dropping it gives the place to another.
    pub slot: Slot,
    pub(crate) open: GaugeGuard,
}

impl Connection {
    /// Says that the peer has logged in: it no longer counts among the strangers of its address.
    pub fn authenticated(&self) {
        self.slot.authenticated();
    }
}

impl Listener {
    /// Binds an address. Must be called inside the runtime.
    ///
    /// A socket file that nobody answers is replaced; one that somebody answers is an error.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(
        name: &'static str,
        address: &Address,
        settings: &Settings,
        connections: Connections,
    ) -> Result<Self, BindError> {
        Ok(Self::on(name, Socket::bind(address, settings)?, settings, connections))
    }

    /// Listens on a socket that a service manager handed over. Must be called inside the runtime.
    ///
    /// # Errors
    /// When the socket refuses an option.
    pub fn adopt(
        name: &'static str,
        inherited: Inherited,
        settings: &Settings,
        connections: Connections,
    ) -> Result<Self, BindError> {
        Ok(Self::on(name, Socket::adopt(inherited, settings)?, settings, connections))
    }

    fn on(name: &'static str, socket: Socket, settings: &Settings, connections: Connections) -> Self {
        // Shown from the start, although nobody has connected yet.
        let _ = (OPEN.get(Name(name)), ACCEPTED.get(Name(name)), ERRORS.get(Name(name)));
        Self { name, socket, connections, last_word: settings.last_word }
    }

    /// The address that is really bound: the port where 0 was asked for.
    pub fn local_address(&self) -> &Address {
        self.socket.address()
    }

    /// Accepts until the group drains, each connection as a task of the group; then closes the socket at once.
    ///
    /// The future of a connection ends with [`Tasks::cut`] at the latest; whoever serves looks at
    /// [`Tasks::cancel_token`] to finish in peace before that.
    pub async fn serve<F, Fut>(self, tasks: &Tasks, on_connection: F)
    where
        F: Fn(Connection) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let stop = tasks.cancel_token();
        let mut backoff = Backoff::new(self.name);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some(connection) = self.admit(stream, peer) {
                        tasks.spawn(self.name, on_connection(connection));
                    }
                }
                Err(error) => self.recover(&error, &mut backoff, &stop).await,
            }
        }
    }

    /// Gives the connection a place, or turns it away.
    fn admit(&self, stream: Stream, peer: Peer) -> Option<Connection> {
        match self.connections.admit(peer.ip()) {
            Ok(slot) => {
                ACCEPTED.get(Name(self.name)).inc();
                let open = OPEN.get(Name(self.name)).track();
                Some(Connection { stream, peer, slot, open })
            }
            Err(refusal) => {
                REFUSED.get((Name(self.name), refusal)).inc();
                tracing::debug!(listener = self.name, %peer, reason = refusal.value(), "connection turned away");
                stream.part(self.last_word);
                None
            }
        }
    }

    async fn recover(
        &self,
        error: &io::Error,
        backoff: &mut Backoff,
        stop: &tokio_util::sync::CancellationToken,
    ) {
        ERRORS.get(Name(self.name)).inc();
        let pause = backoff.pause(error, || self.socket.shed());
        if let Some(pause) = pause {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Counts a connection as open, for tests that serve without a listener.
#[cfg(test)]
pub(crate) fn counted_open(name: &'static str) -> GaugeGuard {
    OPEN.get(Name(name)).track()
}

/// A listener's name as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) &'static str);

impl Label for Name {
    const KEY: &'static str = "listener";

    fn value(self) -> &'static str {
        self.0
    }
}

/// Lists the metrics of listeners.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&OPEN, &ACCEPTED, &REFUSED, &ERRORS];
    all.extend(connections::metrics());
    all
}

#[cfg(test)]
mod tests;
