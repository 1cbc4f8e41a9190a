//! Connections to one HTTP server: opened, bounded in number, kept for the next request, closed when dropped.
//!
//! Whoever uses a connection also drives it, so that none of them needs a task, and a request that nobody waits for
//! any more is cut by closing its connection.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Url;

use super::error::S3Error;
use super::metrics::{CONNECTION_WAITED, CONNECTIONS};
use hakata_runtime::metrics::GaugeGuard;

/// How long a connection that nobody uses is kept; engines close theirs after 5 s or more.
const IDLE: Duration = Duration::from_secs(4);

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Either end of a connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One server; cheap to clone.
#[derive(Clone)]
pub(super) struct Http(Arc<Inner>);

struct Inner {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    wait: Duration,
    requests: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

/// Which connections a request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lane {
    /// Those that are given back as fast as the engine and this process are.
    #[default]
    Requests,
    /// Those that are held at the pace of whoever reads: nobody else waits for them.
    Downloads,
}

impl Lane {
    /// Names the key that says how many there are.
    const fn key(self) -> &'static str {
        match self {
            Self::Requests => "storage.s3.connections",
            Self::Downloads => "storage.s3.downloads",
        }
    }
}

/// A connection, and whoever drives it.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<Driver>,
    _counted: GaugeGuard,
    is_fresh: bool,
}

/// A connection in use.
pub(super) struct Held {
    connection: Option<Connection>,
    http: Http,
    _turn: OwnedSemaphorePermit,
}

/// The body of an answer; it gives its connection back when it was read to its end.
pub(super) struct Body {
    incoming: Incoming,
    held: Held,
    is_over: bool,
}

/// Reads the authorities that are believed: the machine's, and those of a file.
pub(super) fn tls(extra: Option<&Path>) -> Result<Arc<ClientConfig>, io::Error> {
    let mut roots = RootCertStore::empty();
    // A machine without authorities reaches nobody by https, and says so at each try.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = extra {
        for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Http {
    /// Prepares for the server of a URL; nothing is connected yet. `None` if the URL names none.
    pub(super) fn new(url: &Url, tls: Arc<ClientConfig>, bounds: Bounds) -> Option<Self> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match url.scheme() {
            "https" => Some((TlsConnector::from(tls), ServerName::try_from(host.clone()).ok()?)),
            "http" => None,
            _ => return None,
        };
        Some(Self(Arc::new(Inner {
            port: url.port_or_known_default()?,
            host,
            tls,
            connect_timeout: bounds.connect_timeout,
            wait: bounds.wait,
            requests: Arc::new(Semaphore::new(bounds.connections)),
            downloads: Arc::new(Semaphore::new(bounds.downloads)),
            idle: Mutex::default(),
        })))
    }

    /// Waits for a turn, and takes a connection that is open, or opens one.
    pub(super) async fn connection(&self, lane: Lane) -> Result<Held, S3Error> {
        let since = Instant::now();
        let turns = match lane {
            Lane::Requests => &self.0.requests,
            Lane::Downloads => &self.0.downloads,
        };
        let turn = timeout(self.0.wait, turns.clone().acquire_owned()).await;
        CONNECTION_WAITED.observe_duration(since.elapsed());
        let Ok(Ok(turn)) = turn else { return Err(S3Error::Busy(lane.key())) };
        let connection = match self.take_idle() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Held { connection: Some(connection), http: self.clone(), _turn: turn })
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|(since, connection)| since.elapsed() < IDLE && connection.is_open());
        idle.pop().map(|(_, connection)| Connection { is_fresh: false, ..connection })
    }

    async fn connect(&self) -> Result<Connection, S3Error> {
        let at = || format!("{}:{}", self.0.host, self.0.port);
        let opened = timeout(self.0.connect_timeout, self.open()).await;
        let failed = |source| S3Error::Connect { at: at(), source };
        let stream = opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        let made = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = made.map_err(|source| failed(io::Error::other(source)))?;
        Ok(Connection {
            sender,
            driver: Some(Box::pin(driver)),
            _counted: CONNECTIONS.track(),
            is_fresh: true,
        })
    }

    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.0.host.as_str(), self.0.port)).await?;
        stream.set_nodelay(true)?;
        match &self.0.tls {
            None => Ok(Box::new(stream)),
            Some((tls, name)) => Ok(Box::new(tls.connect(name.clone(), stream).await?)),
        }
    }
}

/// How much of a server may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    /// Beside them, for answers that are read at somebody else's pace.
    pub(super) downloads: usize,
    pub(super) connect_timeout: Duration,
    /// How long a request waits for its turn.
    pub(super) wait: Duration,
}

impl Connection {
    fn is_open(&mut self) -> bool {
        // Nobody hears this waker; the next user polls again.
        let _ = self.poll_driver(&mut Context::from_waker(std::task::Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    fn poll_driver(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        std::task::ready!(driver.as_mut().poll(cx)).ok();
        self.driver = None;
        Poll::Ready(())
    }
}

impl Held {
    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, hyper::Error> {
        let connection =
            self.connection.as_mut().expect("a connection is given back when its answer was read");
        let answer = connection.sender.send_request(request);
        let mut answer = std::pin::pin!(answer);
        let (parts, incoming) = std::future::poll_fn(|cx| {
            let mut ended = Poll::Pending;
            if let Some(driver) = &mut connection.driver {
                ended = driver.as_mut().poll(cx).map(drop);
            }
            if ended.is_ready() {
                connection.driver = None;
            }
            answer.as_mut().poll(cx)
        })
        .await?
        .into_parts();
        Ok(Response::from_parts(parts, Body { incoming, held: self, is_over: false }))
    }

    /// Tells whether nothing was sent over the connection before.
    pub(super) fn is_fresh(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_fresh)
    }

    fn give_back(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if connection.is_open() {
            let mut idle = self.http.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((Instant::now(), connection));
        }
    }
}

impl Body {
    /// Polls for the next bytes; `None` is the end.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            if let Some(connection) = &mut self.held.connection {
                let _ = connection.poll_driver(cx);
            }
            match std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    self.held.connection = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.is_over = true;
                    self.held.give_back();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Reads the body to its end, if it is no longer than `limit` bytes; the rest of a longer one is lost.
    pub(super) async fn read(mut self, limit: usize) -> Result<Vec<u8>, hyper::Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() > limit {
                bytes.truncate(limit);
                break;
            }
        }
        Ok(bytes)
    }

    /// Reads the body as [`read`](Self::read) does, however long it takes, as long as some of it keeps coming.
    pub(super) async fn read_as_it_comes(
        mut self,
        limit: usize,
        silence: Duration,
    ) -> Result<Vec<u8>, S3Error> {
        let mut bytes = Vec::new();
        loop {
            let chunk = timeout(silence, self.chunk()).await.map_err(|_| S3Error::TimedOut(silence))?;
            let Some(chunk) = chunk else { return Ok(bytes) };
            bytes.extend_from_slice(&chunk.map_err(S3Error::Broken)?);
            if bytes.len() > limit {
                return Err(S3Error::Odd("a longer answer than there is"));
            }
        }
    }

    async fn chunk(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // An answer without a body is read to its end by reading its head.
        if !self.is_over && self.incoming.is_end_stream() {
            self.held.give_back();
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_tls = self.0.tls.is_some();
        f.debug_struct("Http").field("host", &self.0.host).field("tls", &is_tls).finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
