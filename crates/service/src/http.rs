//! HTTP/1 and HTTP/2 on one port: an asynchronous function per request, deadlines on everything the client does.
//!
//! **When a client leaves**, or is cut, the future of the function that answers it is dropped, and so is the body of
//! the response with everything it owns; a child process held there must end on drop. A reset is noticed at once, a
//! close after [`Settings::half_closed`], because a client may close its side and still wait for the answer. Over
//! HTTP/1 this holds once the request's body was read to its end; until then reading the body fails instead.
//!
//! A panic of the function is answered with 500 and the request's id. Each request leaves one log line at its end.

use crate::listener::{Connection, Name, Network, Slot};
use crate::stream::{Patience, Peer};
use crate::tls::{ClientCertificate, Tls};
use ::http::{Request, Response};
use hakata_runtime::metrics::{CounterFamily, GaugeGuard, Label, Metric};
use hakata_runtime::tasks::Tasks;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

mod access;
mod activity;
mod again;
mod body;
mod credentials;
mod exchange;
mod facts;
mod percent;
mod strict;
mod wire;

pub use access::User;
pub use body::{Body, BodyError, BodyReader, BodyWriter, BoxError};
pub use credentials::{Credentials, CredentialsError};
pub use exchange::KeepAlive;
pub use facts::{RequestFacts, RequestId, Transport};
pub use percent::percent_decode;

use activity::Activity;
use again::Again;
use wire::{Wire, wire};

static FAILED: CounterFamily<(Name, Failure)> =
    CounterFamily::new("hakata_http_connections_failed_total", "Connections that ended by an error");

/// The bounds of an HTTP server; every deadline is about the client, none about our own work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From the first byte of a request, or from the connection, to the end of its head.
    pub header: Duration,
    /// Between two requests on a connection.
    pub idle: Duration,
    /// While the client takes nothing of a response, or too little.
    pub patience: Patience,
    /// After the client closed its side: an answer that moves no byte for so long is dropped, one that moves is
    /// finished. Whether the client waits for the answer or has left looks the same until then.
    pub half_closed: Duration,
    /// How long the client may in all keep us waiting for a body, before its bytes earn it more.
    pub body_grace: Duration,
    /// Bytes of a body that earn another second of waiting.
    pub body_min_rate: u64,
    /// How long the client may keep us waiting for a body at once, whatever its bytes have earned.
    pub body_stall: Duration,
    /// The largest head of a request in bytes; over HTTP/2 the decoded list.
    pub max_head_bytes: u32,
    /// The largest body unless the function that answers sets less with [`Body::limit`].
    pub max_body_bytes: u64,
    /// Concurrent requests on an HTTP/2 connection.
    pub max_streams: u32,
    /// Whose `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<Network>,
    /// How secrets begin that people may put into a path by mistake: logs show nothing that follows. Empty if there are
    /// none.
    pub secret_prefix: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            header: minute / 2,
            idle: minute,
            patience: Patience::default(),
            half_closed: Duration::from_secs(1),
            body_grace: minute / 2,
            body_min_rate: 512,
            body_stall: 2 * minute,
            max_head_bytes: 64 << 10,
            max_body_bytes: 16 << 30,
            max_streams: 64,
            trusted_proxies: Vec::new(),
            secret_prefix: "",
        }
    }
}

/// An HTTP server: a name for logs and metrics, bounds, and the function that answers.
#[derive(Debug)]
pub struct Server<H> {
    name: &'static str,
    counts: Arc<access::Counts>,
    settings: Settings,
    tls: Option<Tls>,
    handler: H,
}

/// What the requests of one connection share.
struct Shared<H> {
    server: Arc<Server<H>>,
    activity: Arc<Activity>,
    link: Link,
}

/// What a connection is beside its bytes.
struct Link {
    peer: Peer,
    transport: Transport,
    certificate: Option<ClientCertificate>,
    slot: Slot,
    _open: GaugeGuard,
}

impl<H, F> Server<H>
where
    H: Fn(Request<Body>, RequestFacts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    /// Makes a server.
    pub fn new(name: &'static str, settings: Settings, handler: H) -> Self {
        let counts = Arc::new(access::Counts::of(Name(name)));
        Self { name, counts, settings, tls: None, handler }
    }

    /// Makes every connection begin with TLS. If clients show certificates, each request has a [`ClientCertificate`]
    /// among its extensions.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves a connection until it ends. When the group drains, requests that run are finished and the rest closed.
    pub async fn serve(self: Arc<Self>, connection: Connection, tasks: Tasks) {
        let Connection { stream, peer, slot, open } = connection;
        let link = |transport, certificate| Link { peer, transport, certificate, slot, _open: open };
        let Some(tls) = self.tls.clone() else {
            return Box::pin(self.serve_on(stream, link(Transport::Plain, None), tasks)).await;
        };
        let drain = tasks.cancel_token();
        let accepted = tokio::select! {
            accepted = tls.accept(stream, self.settings.header, self.name) => accepted,
            () = drain.cancelled() => return,
        };
        match accepted {
            Ok(stream) => {
                let certificate = ClientCertificate::of(&stream);
                // Boxed, as above: a connection is of one of the two kinds and does not keep room for both.
                Box::pin(self.serve_on(stream, link(Transport::Tls, certificate), tasks)).await;
            }
            Err(error) => self.failed(Failure::of(&error), &error, peer),
        }
    }

    fn failed(&self, failure: Failure, error: &(dyn std::error::Error + 'static), peer: Peer) {
        FAILED.get((Name(self.name), failure)).inc();
        tracing::debug!(listener = self.name, %peer, failure = failure.value(), error, "connection ended");
    }

    /// Serves a connection whose bytes come over any stream.
    async fn serve_on<S>(self: Arc<Self>, stream: S, link: Link, tasks: Tasks)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::new(&self.settings));
        let wire = wire(stream, activity.clone(), &self.settings);
        Arc::new(Shared { server: self, activity, link }).run(wire, tasks).await;
    }
}

impl<H, F> Shared<H>
where
    H: Fn(Request<Body>, RequestFacts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    async fn run<S>(self: Arc<Self>, wire: Wire<S>, tasks: Tasks)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let drain = tasks.cancel_token();
        let builder = builder(&self.server.settings, tasks);
        let shared = self.clone();
        let service = service_fn(move |request| {
            // hyper keeps room for it in every connection, also while none runs: boxed, that room is two words.
            let exchange = Box::pin(exchange::respond(shared.clone(), request));
            async move { Ok::<_, Infallible>(exchange.await) }
        });
        let connection = builder.serve_connection(TokioIo::new(wire), service);
        let mut connection = std::pin::pin!(connection);
        let again = Again::new();
        let ended = tokio::select! {
            biased;
            ended = again.drive(connection.as_mut()) => ended,
            () = drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                again.drive(connection.as_mut()).await
            }
        };
        if let Err(error) = ended {
            let error = error.as_ref();
            self.server.failed(Failure::of(error), error, self.link.peer);
        }
    }
}

/// Sets hyper up. Its own header deadline is off: it cannot tell a slow head from an idle connection; [`Wire`] can.
fn builder(settings: &Settings, tasks: Tasks) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams(tasks));
    let max_head = usize::try_from(settings.max_head_bytes).unwrap_or(usize::MAX);
    builder.http1().header_read_timeout(None).max_buf_size(max_head.max(8_192)).half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_streams)
        .max_header_list_size(settings.max_head_bytes)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(128)
        .initial_stream_window_size(512 << 10)
        .initial_connection_window_size(1 << 20)
        .max_send_buf_size(256 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs the requests of HTTP/2 connections. Those that need not wait, and there are many, are answered in the turn of the
/// connection that read them, and go out together; the others become tasks of the group.
#[derive(Clone, Debug)]
struct Streams(Tasks);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.run_or_spawn("http2-stream", future);
    }
}

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    /// What came was no HTTP.
    Malformed,
    /// The client missed a deadline.
    Late,
    /// The client left, or the transport broke.
    Gone,
}

impl Failure {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(link) = next {
            next = link.source();
            if link.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return Failure::Malformed;
            }
            match link.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::TimedOut) => return Failure::Late,
                // What rustls calls bytes that are no TLS.
                Some(io::ErrorKind::InvalidData) => return Failure::Malformed,
                _ => {}
            }
        }
        Failure::Gone
    }
}

impl Label for Failure {
    const KEY: &'static str = "failure";

    fn value(self) -> &'static str {
        match self {
            Failure::Malformed => "malformed",
            Failure::Late => "late",
            Failure::Gone => "gone",
        }
    }
}

/// Lists the metrics of HTTP.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&FAILED];
    all.extend(access::metrics());
    all.extend(exchange::metrics());
    all
}

#[cfg(test)]
mod tests;
