//! From judged addresses to a connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::Target;

/// A connection, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A part of a request that may take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening a connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Sending the request and waiting for the head of the answer.
    FirstByte,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
            Self::FirstByte => "waiting for an answer",
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address took the connection.
    #[error("connecting to {address}")]
    Refused {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The other side does not speak TLS, or is not who it should be.
    #[error("speaking TLS")]
    Tls(#[source] io::Error),
    /// It took too long.
    #[error("{0} took too long")]
    Slow(Phase),
}

/// Connects to the first address that takes it. What is left of the time is shared by the addresses that are left.
pub(crate) async fn connect(addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, ConnectError> {
    let mut last = ConnectError::Slow(Phase::Connect);
    for (at, address) in addresses.iter().enumerate() {
        let n_left = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / n_left;
        if share == Duration::ZERO {
            break;
        }
        match timeout_at(now + share, TcpStream::connect(*address)).await {
            Ok(Ok(stream)) => {
                // A request is one small write; a socket that refuses the option still works.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => last = ConnectError::Refused { address: *address, source },
            Err(_) => last = ConnectError::Slow(Phase::Connect),
        }
    }
    Err(last)
}

/// Shakes hands; the certificate must be for the host that the URL names, whatever address we connected to.
pub(crate) async fn secure(
    stream: TcpStream,
    target: &Target,
    config: Arc<ClientConfig>,
    until: Instant,
) -> Result<Box<dyn Stream>, ConnectError> {
    let name = ServerName::try_from(target.host());
    let name = name.map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    match timeout_at(until, TlsConnector::from(config).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(ConnectError::Tls(error)),
        Err(_) => Err(ConnectError::Slow(Phase::Tls)),
    }
}
