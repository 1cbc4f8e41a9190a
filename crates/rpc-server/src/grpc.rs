//! The operations over gRPC, with the standard health and reflection services.
//!
//! Connections, TLS, deadlines of the client and the drain are those of our HTTP server, of which [`Grpc::respond`] is the
//! function.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hakata_rpc::grpc::{self, metadata, to_tonic};
use hakata_rpc::{Operation, Operations, Status, v1};
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
pub struct Grpc {
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    settings: Arc<Settings>,
    standard: Arc<[(&'static str, Route)]>,
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
        Self { operations, tokens, settings: Arc::new(settings), standard: Arc::new(standard), drain }
    }

    /// Answers one call.
    pub async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let answer = match Operation::at(request.uri().path()) {
            Some(operation) => self.operation(operation, request).await,
            None => self.standard(request).await,
        };
        answer.map(|body| {
            let body = body.map_err(|status| BodyError::Produce(status.into()));
            Body::wrap(body).until(self.drain.clone(), stopping())
        })
    }

    async fn operation(&self, operation: Operation, request: Request<Body>) -> Response<tonic::body::Body> {
        let shown = request.headers().get(metadata::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(|shown| shown.strip_prefix("Bearer "));
        let is_known = self.tokens.know(request.extensions().get());
        if let Some(status) = (!is_known).then(|| self.tokens.check(token).err()).flatten() {
            REFUSED.get((Protocol::Grpc, Refusal::Unauthenticated)).inc();
            return to_tonic(&status).into_http();
        }
        // Requests in parts are bounded by what they bring.
        let bounded = |body: Body| match operation.uploads() {
            true => body,
            false => body.limit(self.settings.max_request_bytes as u64 + FRAME_BYTES),
        };
        let request = request.map(bounded);
        let serve = Serve { operations: self.operations.clone(), settings: self.settings.clone(), request };
        operation.visit(serve).await
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

/// What callers read whose answer the stopping server ends.
fn stopping() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // A status without details fits into headers.
    let _ = tonic::Status::unavailable("the server stops").add_header(&mut trailers);
    trailers
}

/// Reads what accompanies a request.
fn call(request: &HeaderMap, max: Duration) -> Result<hakata_rpc::Call, Status> {
    grpc::call(&tonic::metadata::MetadataMap::from_headers(request.clone()), max)
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
        f.debug_struct("Grpc").field("settings", &self.settings).finish_non_exhaustive()
    }
}
