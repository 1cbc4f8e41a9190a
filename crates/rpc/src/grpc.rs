//! Operations over gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::call::{Answers, Call, Pending, Requests};
use crate::operation::{Rpc, StreamRpc, Transport, UnaryRpc, UploadRpc};
use crate::status::{Code, Status};
use crate::stream::Broken;

mod connect;
mod details;

pub use connect::ConnectError;
pub use details::{from_tonic, to_tonic};

/// Names of the metadata that go with a request.
pub mod metadata {
    /// `Bearer` and the token of the service.
    pub const AUTHORIZATION: &str = "authorization";
    /// For whom: the number of a user.
    pub const ACTOR: &str = "hakata-actor";
    /// The name under which a change may be repeated.
    pub const IDEMPOTENCY_KEY: &str = "hakata-idempotency-key";
    /// What ties log lines together.
    pub const REQUEST_ID: &str = "x-request-id";
}

/// Carries operations to a server; cheap to clone, every call on the same pool of connections.
#[derive(Clone, Debug)]
pub struct Grpc {
    channels: Arc<[Channel]>,
    turn: Arc<AtomicUsize>,
    authorization: Option<MetadataValue<Ascii>>,
    max_message_bytes: usize,
    broken: Broken,
}

impl Grpc {
    /// Returns it as the contract; all operations are compiled here, not where it is called.
    pub fn operations(&self) -> Arc<dyn crate::Operations> {
        Arc::new(self.clone())
    }

    /// Takes the next connection in turn.
    fn client(&self) -> tonic::client::Grpc<Channel> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.channels.len();
        tonic::client::Grpc::new(self.channels[turn].clone())
            .max_decoding_message_size(self.max_message_bytes)
    }

    /// Puts a request and what accompanies it together.
    fn request<T>(&self, call: &Call, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(authorization) = &self.authorization {
            metadata.insert(metadata::AUTHORIZATION, authorization.clone());
        }
        if let Some(actor) = call.actor {
            metadata.insert(metadata::ACTOR, MetadataValue::from(actor));
        }
        insert(metadata, metadata::IDEMPOTENCY_KEY, call.idempotency_key.as_deref());
        insert(metadata, metadata::REQUEST_ID, call.request_id.as_deref());
        if let Some(deadline) = call.deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        request
    }
}

/// Adds a value, unless it is none that a header can carry.
fn insert(metadata: &mut MetadataMap, name: &'static str, value: Option<&str>) {
    if let Some(Ok(value)) = value.map(MetadataValue::try_from) {
        metadata.insert(name, value);
    }
}

fn path<R: Rpc>() -> PathAndQuery {
    PathAndQuery::from_static(R::OPERATION.path())
}

fn codec<R: Rpc>() -> ProstCodec<R::Request, R::Response> {
    ProstCodec::default()
}

impl Transport for Grpc {
    fn unary<R: UnaryRpc>(&self, call: Call, request: R::Request) -> Pending<R::Response> {
        let (mut client, request, broken) =
            (self.client(), self.request(&call, request), self.broken.clone());
        Box::pin(within(call.deadline, async move {
            client.ready().await.map_err(unreachable)?;
            let answer = client.unary(request, path::<R>(), codec::<R>()).await;
            answer.map(tonic::Response::into_inner).map_err(|status| broken.explain(from_tonic(status)))
        }))
    }

    fn stream<R: StreamRpc>(&self, call: Call, request: R::Request) -> Answers<R::Response> {
        let (mut client, request, broken) =
            (self.client(), self.request(&call, request), self.broken.clone());
        let opened = within(call.deadline, async move {
            client.ready().await.map_err(unreachable)?;
            let answer = client.server_streaming(request, path::<R>(), codec::<R>()).await;
            answer.map(tonic::Response::into_inner).map_err(|status| broken.explain(from_tonic(status)))
        });
        let parts = stream::once(opened).flat_map(|opened| match opened {
            Ok(parts) => parts.map(|part| part.map_err(from_tonic)).left_stream(),
            Err(status) => stream::iter([Err(status)]).right_stream(),
        });
        Box::pin(parts)
    }

    fn upload<R: UploadRpc>(&self, call: Call, request: Requests<R::Request>) -> Pending<R::Response> {
        let (messages, failed) = until_error(request);
        let (mut client, request, broken) =
            (self.client(), self.request(&call, messages), self.broken.clone());
        Box::pin(within(call.deadline, async move {
            client.ready().await.map_err(unreachable)?;
            tokio::select! {
                Ok(status) = failed => Err(status),
                answer = client.client_streaming(request, path::<R>(), codec::<R>()) => {
                    answer.map(tonic::Response::into_inner).map_err(|status| broken.explain(from_tonic(status)))
                }
            }
        }))
    }
}

/// Takes an error out of the parts of a request. They never end behind it: their end would say that all was said.
fn until_error<T: Send + 'static>(
    mut requests: Requests<T>,
) -> (impl Stream<Item = T> + Send + 'static, oneshot::Receiver<Status>) {
    let (tell, failed) = oneshot::channel();
    let mut tell = Some(tell);
    let messages = stream::poll_fn(move |context| {
        if tell.is_none() {
            return Poll::Pending;
        }
        match ready!(requests.poll_next_unpin(context)) {
            Some(Ok(message)) => Poll::Ready(Some(message)),
            Some(Err(status)) => {
                tell.take().map(|tell| tell.send(status));
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    });
    (messages, failed)
}

/// Ends waiting at the deadline even if the server says nothing.
async fn within<T>(
    deadline: Option<Instant>,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(deadline) = deadline else { return answer.await };
    let late = |_| Err(Status::new(Code::DeadlineExceeded, "the server did not answer in time"));
    tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(late)
}

fn unreachable(error: tonic::transport::Error) -> Status {
    Status::unreached(format!("reaching the server: {}", details::said(&error)))
}

/// Reads what accompanies a request, on the side of the server.
///
/// # Errors
/// INVALID_ARGUMENT if a value is malformed.
pub fn call(headers: &HeaderMap, max: Duration) -> Result<Call, Status> {
    let text = |name: &'static str| match headers.get(name) {
        Some(value) => value.to_str().map(Some).map_err(|_| malformed(name)),
        None => Ok(None),
    };
    let actor = text(metadata::ACTOR)?.map(|actor| actor.parse().map_err(|_| malformed(metadata::ACTOR)));
    let timeout =
        text("grpc-timeout")?.map(|timeout| parse_timeout(timeout).ok_or_else(|| malformed("grpc-timeout")));
    Ok(Call {
        actor: actor.transpose()?,
        deadline: Some(Instant::now() + timeout.transpose()?.map_or(max, |timeout| timeout.min(max))),
        idempotency_key: text(metadata::IDEMPOTENCY_KEY)?.map(str::to_owned),
        request_id: text(metadata::REQUEST_ID)?.map(str::to_owned),
    })
}

fn malformed(name: &str) -> Status {
    Status::invalid(format!("the metadata {name} is malformed"))
}

/// Reads `100m`: at most eight digits and a unit. Source: gRPC over HTTP2, "Timeout".
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3_600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
