//! One request and its answer, bounded in every direction.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connect::{ConnectError, Phase, Stream, connect, secure};
use crate::{Guard, PinError, Target};

/// The largest head of an answer.
const MAX_HEAD: usize = 32 * 1024;
/// Most header lines of an answer.
const MAX_HEADERS: usize = 100;

/// A request to a judged place.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Where to.
    pub target: &'a Target,
    /// What to do there.
    pub method: Method,
    /// Headers beside `Host`, `Content-Length` and `Connection`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How much of the answer's body is kept; the rest is not read.
    pub max_answer: usize,
}

/// What became of a request, and how long its parts took.
#[derive(Debug)]
pub struct Sent {
    /// The address that was connected to.
    pub address: Option<SocketAddr>,
    /// How long it took.
    pub timings: Timings,
    /// The answer, if one came.
    pub outcome: Result<Answer, SendError>,
}

/// How long the parts took; `None` for one that was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Resolving and judging.
    pub resolve: Option<Duration>,
    /// Connecting.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the connection to the head of the answer.
    pub first_byte: Option<Duration>,
    /// Everything.
    pub total: Duration,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub body: Bytes,
    /// Why the body is not whole, if it is not.
    pub cut: Option<Cut>,
}

/// Why a body ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is larger than the caller wants to know.
    Size,
    /// It came too slowly.
    Time,
    /// The connection broke, or what came is no HTTP.
    Broken,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The place may not be connected to, or is not known.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or what came is no HTTP.
    #[error("waiting for an answer")]
    Http(#[source] hyper::Error),
}

impl SendError {
    /// Tells whether the same request may fare better later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Pin(error) => error.is_temporary(),
            Self::Connect(_) | Self::Http(_) => true,
        }
    }
}

impl Guard {
    /// Sends one request on a connection of its own. Cancelling it closes the connection.
    pub async fn send(&self, request: Request<'_>) -> Sent {
        let started = Instant::now();
        let mut sent = Progress { address: None, timings: Timings::default() };
        let until = started + self.settings.deadlines.total;
        let outcome = self.exchange(request, until, &mut sent).await;
        let Progress { address, mut timings } = sent;
        timings.total = started.elapsed();
        Sent { address, timings, outcome }
    }

    async fn exchange(
        &self,
        request: Request<'_>,
        until: Instant,
        sent: &mut Progress,
    ) -> Result<Answer, SendError> {
        let deadlines = self.settings.deadlines;
        let target = request.target;
        let from = Instant::now();
        let pinned = timeout_at(until, self.pin(target)).await;
        let pinned = pinned.unwrap_or_else(|_| Err(PinError::Slow { host: target.host() }))?;
        sent.timings.resolve = Some(from.elapsed());
        let from = Instant::now();
        let stream = connect(pinned.addresses(), until.min(from + deadlines.connect)).await?;
        sent.address = stream.peer_addr().ok();
        sent.timings.connect = Some(from.elapsed());
        let stream: Box<dyn Stream> = if target.is_https() {
            let from = Instant::now();
            let stream = secure(stream, target, self.tls.clone(), until.min(from + deadlines.tls)).await?;
            sent.timings.tls = Some(from.elapsed());
            stream
        } else {
            Box::new(stream)
        };
        converse(stream, request, until, sent).await
    }
}

/// What is known before the end.
#[derive(Debug)]
struct Progress {
    address: Option<SocketAddr>,
    timings: Timings,
}

async fn converse(
    stream: Box<dyn Stream>,
    request: Request<'_>,
    until: Instant,
    sent: &mut Progress,
) -> Result<Answer, SendError> {
    let from = Instant::now();
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(SendError::Http)?;
    let max_answer = request.max_answer;
    let asking = async {
        let answer = sender.send_request(request.into_http()).await.map_err(SendError::Http)?;
        sent.timings.first_byte = Some(from.elapsed());
        let (head, body) = answer.into_parts();
        let (body, cut) = read(body, max_answer, until).await;
        Ok(Answer { status: head.status, headers: head.headers, body, cut })
    };
    // The connection is driven here, so it ends with us and owns no task.
    let driven = async {
        tokio::pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            ended = connection => match ended {
                Err(error) if !error.is_incomplete_message() => match timeout(Duration::ZERO, asking).await {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(_)) | Err(_) => Err(SendError::Http(error)),
                },
                // What was read before the end is still to be taken.
                Ok(()) | Err(_) => asking.await,
            },
        }
    };
    // The body has the same deadline and keeps what came; so this one is met by the head only.
    let late = until + Duration::from_millis(50);
    let answered = timeout_at(late, driven).await;
    answered.unwrap_or(Err(SendError::Connect(ConnectError::Slow(Phase::FirstByte))))
}

impl Request<'_> {
    fn into_http(self) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        // A path of a parsed URL is a valid one; what is not becomes the root.
        *request.uri_mut() = self.target.path_and_query().parse().unwrap_or_default();
        let host = HeaderValue::from_str(&self.target.host_header());
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(header::HOST, host.unwrap_or(HeaderValue::from_static("")));
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        request
    }
}

/// Reads up to `most` bytes and says why it ended before the end.
async fn read(mut body: Incoming, most: usize, until: Instant) -> (Bytes, Option<Cut>) {
    let mut kept = BytesMut::new();
    loop {
        let frame = match timeout_at(until, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return (kept.freeze(), None),
            Ok(Some(Err(_))) => return (kept.freeze(), Some(Cut::Broken)),
            Err(_) => return (kept.freeze(), Some(Cut::Time)),
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = most - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return (kept.freeze(), Some(Cut::Size));
        }
    }
}
