//! One connection to the broker: how it comes to stand, and that it does again.

use std::time::Duration;

use hakata_runtime::secret::random_bytes;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use tokio::time::Instant;

use super::{Broker, Link, State, topology};
use crate::chain::chain;
use crate::metrics::CONNECTS;

/// The pause after the first failure; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A connection that stood so long is no reason to wait longer the next time.
const STOOD: Duration = Duration::from_secs(10);

/// What a connection is given up for.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The URL says nothing that can be connected to.
    #[error("reading rabbitmq.url: {0}")]
    Url(String),
    /// The authorities cannot be read.
    #[error("reading rabbitmq.authority")]
    Authority(#[source] std::io::Error),
    /// The broker is away, or does not let us in.
    #[error("talking to the broker")]
    Broker(#[from] lapin::Error),
    /// It takes too long.
    #[error("waiting for the broker: more than {} ms", .0.as_millis())]
    Slow(Duration),
    /// Something is there already and is not what we need.
    #[error(
        "{what} differs from what this release declares ({said}): delete it, or choose another rabbitmq.prefix"
    )]
    Misdeclared {
        /// The exchange or queue.
        what: String,
        /// What the broker says of it.
        said: String,
    },
    /// Something cannot be declared for another reason.
    #[error("declaring {what}")]
    Declare {
        /// The exchange or queue.
        what: String,
        /// Why.
        #[source]
        source: lapin::Error,
    },
    /// A queue is gone.
    #[error("the broker has no queue any more for {0}")]
    Gone(String),
}

impl LinkError {
    pub(super) fn declaring(what: &str, source: lapin::Error) -> Self {
        let what = what.to_owned();
        match source.kind() {
            ErrorKind::ProtocolError(error)
                if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
            {
                Self::Misdeclared { what, said: error.get_message().to_string() }
            }
            _ => Self::Declare { what, source },
        }
    }
}

/// Who keeps one connection.
pub(super) struct Keeper {
    broker: Broker,
    link: Link,
    pause: Duration,
    stands_since: Option<Instant>,
    has_failed: bool,
}

impl Keeper {
    pub(super) fn new(broker: &Broker, link: Link) -> Self {
        broker.note(link, State::Connecting);
        Self { broker: broker.clone(), link, pause: FIRST_PAUSE, stands_since: None, has_failed: false }
    }

    /// Connects, however long that takes, and declares what we need; the channel is the one that did.
    pub(super) async fn connect(&mut self) -> (Connection, Channel) {
        loop {
            if std::mem::take(&mut self.has_failed) {
                tokio::time::sleep(jittered(self.pause)).await;
                self.pause = (self.pause * 2).min(self.broker.settings().pause);
            }
            let limit = self.broker.settings().connect;
            let opened = tokio::time::timeout(limit, self.open()).await;
            match opened.unwrap_or(Err(LinkError::Slow(limit))) {
                Ok(opened) => {
                    self.stands_since = Some(Instant::now());
                    CONNECTS.get(self.link).inc();
                    self.broker.note(self.link, State::Up);
                    tracing::info!(broker.link = ?self.link, "connected to the broker");
                    return opened;
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Says that the connection is of no more use.
    pub(super) fn lost(&mut self, error: &LinkError) {
        if self.stands_since.take().is_some_and(|since| since.elapsed() >= STOOD) {
            self.pause = FIRST_PAUSE;
        }
        self.failed(error);
    }

    /// Notes what the broker says of itself.
    pub(super) fn heard(&self, event: lapin::Event) -> Result<(), LinkError> {
        match event {
            lapin::Event::ConnectionBlocked(why) => {
                tracing::warn!(broker.link = ?self.link, why, "the broker lets nobody publish");
                self.broker.note(self.link, State::Blocked(why));
            }
            lapin::Event::ConnectionUnblocked => drop(self.broker.note(self.link, State::Up)),
            lapin::Event::Error(error) => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }

    fn failed(&mut self, error: &LinkError) {
        self.has_failed = true;
        let why = chain(error);
        let state = match error {
            LinkError::Misdeclared { .. } => {
                // Waiting a little does not mend it.
                self.pause = self.broker.settings().pause;
                State::Misdeclared(why.clone())
            }
            _ => State::Down(why.clone()),
        };
        match (self.broker.note(self.link, state), error) {
            (true, LinkError::Misdeclared { .. }) => tracing::error!(broker.link = ?self.link, "{why}"),
            (true, _) => tracing::warn!(broker.link = ?self.link, error = why, "the broker is away"),
            (false, _) => tracing::debug!(broker.link = ?self.link, error = why, "the broker is still away"),
        }
    }

    async fn open(&self) -> Result<(Connection, Channel), LinkError> {
        let settings = self.broker.settings();
        // What the parser says of a bad URL names no part of it.
        let mut uri: AMQPUri = settings.url.expose().parse().map_err(LinkError::Url)?;
        uri.query.heartbeat = Some(u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX));
        let mut tls = OwnedTLSConfig::default();
        if let Some(authority) = &settings.authority {
            let read = tokio::fs::read_to_string(authority).await;
            tls.cert_chain = Some(read.map_err(LinkError::Authority)?);
        }
        let name = format!("hakata {}", hakata_runtime::metrics::Label::value(self.link));
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime()?;
        let connection = Connection::connect_uri_with_config(uri, properties, tls, runtime).await?;
        let channel = connection.create_channel().await?;
        topology::declare(&channel, settings).await?;
        Ok((connection, channel))
    }
}

/// Gives or takes a quarter, so that the nodes do not come back all at once.
fn jittered(pause: Duration) -> Duration {
    pause * (192 + u32::from(random_bytes::<1>()[0]) / 2) / 256
}
