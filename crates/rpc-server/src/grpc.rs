//! The operations over gRPC, with the standard health and reflection services.
//!
//! Connections, TLS, deadlines of the client and the drain are those of our HTTP server, of which [`Grpc::respond`] is the
//! function.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use hakata_rpc::grpc::{metadata, to_tonic};
use hakata_rpc::{Operation, Operations, v1};
use hakata_service::http::{Body, BodyError};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use crate::metrics::{Protocol, REFUSED, Refusal};
use crate::settings::Settings;
use crate::tokens::Tokens;

mod serve;

use serve::Serve;

/// What stands in front of a message. Source: gRPC over HTTP2, "Length-Prefixed-Message".
const FRAME_BYTES: u64 = 5;

/// Answers calls; cheap to clone.
#[derive(Clone)]
pub struct Grpc(Arc<Inner>);

struct Inner {
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    settings: Settings,
    standard: [(&'static str, Route); 3],
    drain: CancellationToken,
}

/// A service of tonic's, whatever its type.
type Route = Box<dyn Fn(Request<Body>) -> BoxFuture<Response<tonic::body::Body>, Infallible> + Send + Sync>;

impl Grpc {
    /// Serves operations until `drain` fires; calls that would go on for ever end then.
    ///
    /// # Panics
    /// Never: the description of the services is part of the program, and a test reads it.
    pub fn new(
        operations: Arc<dyn Operations>,
        tokens: Tokens,
        settings: Settings,
        drain: CancellationToken,
    ) -> Self {
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(v1::DESCRIBED)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let (_, health) = tonic_health::server::health_reporter();
        let standard = [
            route(health),
            route(described().build_v1().expect("the description comes from the compiler")),
            route(described().build_v1alpha().expect("the description comes from the compiler")),
        ];
        Self(Arc::new(Inner { operations, tokens, settings, standard, drain }))
    }

    /// Answers one call.
    pub async fn respond(&self, request: Request<Body>) -> Response<Body> {
        match Operation::at(request.uri().path()) {
            Some(operation) => self.0.operation(operation, request).await,
            None => until(self.0.standard(request).await, &self.0.drain),
        }
    }
}

impl Inner {
    async fn operation(&self, operation: Operation, request: Request<Body>) -> Response<Body> {
        let shown = request.headers().get(metadata::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(|shown| shown.strip_prefix("Bearer "));
        let is_known = self.tokens.know(request.extensions().get());
        if let Some(status) = (!is_known).then(|| self.tokens.check(token).err()).flatten() {
            REFUSED.get((Protocol::Grpc, Refusal::Unauthenticated)).inc();
            return whole(to_tonic(&status).into_http());
        }
        // Requests in parts are bounded by what they bring.
        let bounded = |body: Body| match operation.uploads() {
            true => body,
            false => body.limit(self.settings.max_request_bytes as u64 + FRAME_BYTES),
        };
        let request = request.map(bounded);
        operation.visit(Serve { server: self, request }).await
    }

    /// Health and the description of the services are told to everybody: they are the same everywhere.
    async fn standard(&self, request: Request<Body>) -> Response<tonic::body::Body> {
        let service = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        match self.standard.iter().find(|(name, _)| *name == service) {
            Some((_, route)) => route(request).await.unwrap_or_else(|never| match never {}),
            None => {
                REFUSED.get((Protocol::Grpc, Refusal::Unknown)).inc();
                tonic::Status::unimplemented("there is no such operation").into_http()
            }
        }
    }
}

/// Gives an answer that comes to its end by itself.
fn whole(answer: Response<tonic::body::Body>) -> Response<Body> {
    answer.map(|body| Body::wrap(body.map_err(|status| BodyError::Produce(status.into()))))
}

/// Gives an answer that the stopping server ends.
fn until(answer: Response<tonic::body::Body>, drain: &CancellationToken) -> Response<Body> {
    whole(answer).map(|body| body.until(drain.clone(), stopping()))
}

/// What callers read whose answer the stopping server ends.
fn stopping() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // A status without details fits into headers.
    let _ = tonic::Status::unavailable("the server stops").add_header(&mut trailers);
    trailers
}

fn route<S>(service: S) -> (&'static str, Route)
where
    S: NamedService + Clone + Send + Sync + 'static,
    S: Service<
            Request<Body>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
            Future = BoxFuture<Response<tonic::body::Body>, Infallible>,
        >,
{
    (S::NAME, Box::new(move |request| service.clone().call(request)))
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grpc").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
