//! One connection to a server, good for one request at a time.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::Endpoint;
use super::reply::{Reply, ReplyError};

/// What became of one attempt to fetch ids.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// No connection came about.
    #[error("connecting")]
    Connect(#[source] io::Error),
    /// No connection came about in time.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The connection broke.
    #[error("exchanging request and reply")]
    Broken(#[source] io::Error),
    /// The server closed the connection before its reply was whole.
    #[error("the connection was closed before the reply was whole")]
    Closed,
    /// The reply was not whole in time.
    #[error("the reply took too long")]
    ReplyTimeout,
    /// The reply was not one to this request.
    #[error("reading the reply")]
    Reply(#[from] ReplyError),
}

impl AttemptError {
    /// Whether only this connection is known to be bad, not its server.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Closed => true,
            Self::Reply(error) => !matches!(error, ReplyError::Refused(_)),
            Self::Connect(_) | Self::ConnectTimeout | Self::ReplyTimeout => false,
        }
    }
}

/// An open connection on which every request so far got its whole reply.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// Reused for requests and replies.
    buffer: Vec<u8>,
    /// The highest id that came by here: each next one must be above.
    last: u64,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Connects to a server.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, AttemptError> {
        let stream = match endpoint {
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(AttemptError::Connect)?;
                stream.set_nodelay(true).map_err(AttemptError::Connect)?;
                Stream::Tcp(stream)
            }
            Endpoint::Unix(path) => {
                Stream::Unix(UnixStream::connect(path).await.map_err(AttemptError::Connect)?)
            }
        };
        Ok(Self { stream, buffer: Vec::new(), last: 0 })
    }

    /// Whether the server has neither closed the connection nor said anything that nobody asked for.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match &self.stream {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Fetches `n` ids, each under the key that names this request.
    ///
    /// The connection is given back only with a whole reply; in any other case, a future dropped half way
    /// included, it is closed, so no later request can read what was meant for this one.
    pub(super) async fn fetch(mut self, request: u64, n: usize) -> Result<(Self, Vec<u64>), AttemptError> {
        let key = format!("h{request}");
        self.buffer.clear();
        self.buffer.extend_from_slice(b"get");
        for _ in 0..n {
            self.buffer.push(b' ');
            self.buffer.extend_from_slice(key.as_bytes());
        }
        self.buffer.extend_from_slice(b"\r\n");
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(&self.buffer).await,
            Stream::Unix(stream) => stream.write_all(&self.buffer).await,
        }
        .map_err(AttemptError::Broken)?;
        self.buffer.clear();
        let mut reply = Reply::new(key.as_bytes(), n, self.last);
        while !reply.feed(&self.buffer)? {
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read_buf(&mut self.buffer).await,
                Stream::Unix(stream) => stream.read_buf(&mut self.buffer).await,
            };
            if read.map_err(AttemptError::Broken)? == 0 {
                return Err(AttemptError::Closed);
            }
        }
        let ids = reply.into_ids();
        self.last = ids.last().copied().unwrap_or(self.last);
        Ok((self, ids))
    }
}
