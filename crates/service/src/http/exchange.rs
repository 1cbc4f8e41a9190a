//! One request and its answer.

use super::access::{AccessLine, User};
use super::activity::Running;
use super::body::{Body, BodyError, Pace};
use super::facts::RequestFacts;
use super::{Shared, strict};
use crate::listener::Name;
use ::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use bytes::Bytes;
use futures_util::FutureExt;
use hakata_runtime::metrics::{CounterFamily, Metric};
use hakata_runtime::tasks::panic_text;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::Instrument;

static PANICS: CounterFamily<Name> =
    CounterFamily::new("hakata_http_panics_total", "Requests whose answer panicked");

/// The body of an answer, which knows when it ends.
pub(super) struct Answer {
    body: Body,
    line: AccessLine,
    running: Running,
}

/// How long its connection may be silent after an answer, if that is longer than [`super::Settings::idle`]: a face puts
/// this into the extensions of its response. For clients that keep connections and do not repeat a request when one was
/// closed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive(pub Duration);

/// One request that has begun.
struct Exchange {
    line: AccessLine,
    running: Running,
    version: Version,
    sound: Result<(), strict::Ambiguous>,
}

/// Answers one request: with the server's function, or by itself when the request is ambiguous or the function panics.
///
/// The request begins now, not with the first poll: a client's close that is read in between must not look idle.
pub(super) fn respond<H, F>(
    shared: Arc<Shared<H>>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<Answer>> + Send
where
    H: Fn(Request<Body>, RequestFacts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (exchange, request) = Exchange::begin(&shared, request);
    async move {
        let server = &shared.server;
        let facts = exchange.line.facts;
        let response = match &exchange.sound {
            Err(reason) => refuse(&reason.to_string()),
            Ok(()) => {
                let span = tracing::info_span!("request", request.id = facts.id.as_str());
                let answer = AssertUnwindSafe(async { (server.handler)(request, facts).await });
                let answered = answer.catch_unwind().instrument(span).await;
                answered.unwrap_or_else(|panic| apologise(server.name, &facts, panic_text(panic.as_ref())))
            }
        };
        exchange.finish(response)
    }
}

impl Exchange {
    fn begin<H>(shared: &Arc<Shared<H>>, request: Request<Incoming>) -> (Self, Request<Body>) {
        let (server, link) = (&shared.server, &shared.link);
        link.slot.authenticated();
        let (running, sound) = shared.activity.begin(|head| strict::check(&request, head));
        let facts = RequestFacts::learn(&server.settings, link.peer, link.transport, request.headers());
        let (mut parts, incoming) = request.into_parts();
        let version = parts.version;
        let mut line =
            AccessLine::new((server.name, &server.counts), facts, parts.method.clone(), parts.uri.clone());
        let (body, received) = Body::incoming(incoming, Pace::new(&server.settings));
        line.secret_prefix = server.settings.secret_prefix;
        line.bytes_in = received;
        if let Some(certificate) = &link.certificate {
            parts.extensions.insert(certificate.clone());
        }
        let request = Request::from_parts(parts, body.limit(server.settings.max_body_bytes));
        (Self { line, running, version, sound }, request)
    }

    /// Puts the request's id on the answer and ties the line to its end.
    fn finish(mut self, response: Response<Body>) -> Response<Answer> {
        let (mut parts, mut body) = response.into_parts();
        let line = &mut self.line;
        if let Some(id) = line.facts.id.header() {
            parts.headers.insert("x-request-id", id);
        }
        line.status = Some(parts.status);
        line.user = parts.extensions.remove::<User>();
        if let Some(KeepAlive(idle)) = parts.extensions.remove::<KeepAlive>() {
            self.running.allow_idle(idle);
        }
        // These answers have no body, whatever was given for one; nobody will ask for it.
        let bodiless = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let bodiless = bodiless || line.method == Method::HEAD;
        line.complete = bodiless || body.is_end_stream();
        if self.version > Version::HTTP_11 {
            // Means nothing over HTTP/2 and is an error there.
            parts.headers.remove(CONNECTION);
            // hyper leaves out the body of such an answer over HTTP/1 only; over HTTP/2 it would be an error.
            if bodiless && let Some(length) = std::mem::take(&mut body).size_hint().exact().filter(|n| *n > 0)
            {
                parts.headers.entry(CONTENT_LENGTH).or_insert(length.into());
            }
        }
        Response::from_parts(parts, Answer { body, line: self.line, running: self.running })
    }
}

/// Refuses an ambiguous request and closes: where the next one would begin is not certain.
fn refuse(reason: &str) -> Response<Body> {
    let mut response = plain(StatusCode::BAD_REQUEST, format!("ambiguous request: {reason}\n"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Counts and logs a panic, and tells the client where to find it.
fn apologise(server: &'static str, facts: &RequestFacts, message: &str) -> Response<Body> {
    PANICS.get(Name(server)).inc();
    tracing::error!(request.id = facts.id.as_str(), message, "answering a request panicked");
    plain(StatusCode::INTERNAL_SERVER_ERROR, format!("internal error; request {}\n", facts.id))
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.running.asked();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let n = frame.data_ref().map_or(0, Bytes::len);
                self.line.bytes_out += u64::try_from(n).unwrap_or(u64::MAX);
                self.line.complete = self.body.is_end_stream();
                self.running.gave(n);
            }
            Poll::Ready(None) => self.line.complete = true,
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(request.id = self.line.facts.id.as_str(), %error, "answer cut");
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&PANICS]
}
