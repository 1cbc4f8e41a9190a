//! The bytes of a connection to a server.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::endpoint::Endpoint;
use crate::metrics::{CONNECTIONS, CONNECTS, Connected};
use crate::route::Route;
use crate::status::{Origin, Status};
use hakata_runtime::metrics::GaugeGuard;

/// What HTTP/2 is called in a handshake. Source: RFC 9113, section 3.2.
pub(crate) const HTTP2: &[u8] = b"h2";

/// Why the last connection broke: what runs a connection does not always tell those whose calls it carried, such as the
/// alert by which a server turns a certificate away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(Arc<Mutex<Option<String>>>);

impl Broken {
    fn note(&self, error: &io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// Adds it to what a call was told.
    pub(crate) fn explain(&self, mut status: Status) -> Status {
        if status.origin == Origin::Transport
            && let Some(why) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && !status.message.contains(why)
        {
            status.message = format!("{}: {why}", status.message);
        }
        status
    }
}

/// A connection, counted while it stands.
#[derive(Debug)]
pub(crate) struct Stream {
    bytes: Bytes,
    broken: Broken,
    _open: GaugeGuard,
}

#[derive(Debug)]
enum Bytes {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, with TLS if the server speaks it, within the time that a connection may take.
    pub(crate) async fn connect(
        to: &Endpoint,
        route: Route,
        protocol: Option<&[u8]>,
        broken: Broken,
    ) -> io::Result<Self> {
        let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"));
        let connected = tokio::time::timeout(to.connect_timeout, connect(to, protocol)).await;
        let bytes = connected.unwrap_or_else(late);
        let outcome = if bytes.is_ok() { Connected::Stands } else { Connected::Failed };
        CONNECTS.get((route, outcome)).inc();
        Ok(Self { bytes: bytes?, broken, _open: CONNECTIONS.get(route).track() })
    }
}

async fn connect(to: &Endpoint, protocol: Option<&[u8]>) -> io::Result<Bytes> {
    let stream = TcpStream::connect(&to.address).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(to.keepalive).with_interval(to.connect_timeout);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    let Some(tls) = &to.tls else { return Ok(Bytes::Plain(stream)) };
    let name = tls.name(to.host()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let config = match protocol {
        None => tls.config.clone(),
        Some(protocol) => {
            let mut config = ClientConfig::clone(&tls.config);
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        }
    };
    Ok(Bytes::Tls(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Poll::Ready(Err(error)) = &read {
            self.broken.note(error);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Bytes::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Bytes::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Bytes::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
