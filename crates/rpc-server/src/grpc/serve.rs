//! One call.

use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use hakata_rpc::grpc::{call, from_tonic, to_tonic};
use hakata_rpc::{Call, Operations, Requests, Rpc, Status, StreamRpc, UnaryRpc, UploadRpc, Visitor};
use hakata_service::http::Body;
use http::Request;
use tokio_util::sync::CancellationToken;
use tonic::server::{ClientStreamingService, ServerStreamingService, UnaryService};
use tonic_prost::ProstCodec;

use super::{Inner, until, whole};
use crate::metrics::Protocol;
use crate::serving::{Counted, answered, streamed, uploaded};

/// Serves one request with whatever operation it is for.
pub(super) struct Serve<'a> {
    pub(super) server: &'a Inner,
    pub(super) request: Request<Body>,
}

/// The function that tonic calls with the decoded request.
struct Invoke<R> {
    operations: Arc<dyn Operations>,
    call: Result<Call, Status>,
    rpc: PhantomData<fn() -> R>,
}

/// What reads a request of an operation and writes its answer.
type Decoder<R> = tonic::server::Grpc<ProstCodec<<R as Rpc>::Response, <R as Rpc>::Request>>;

impl<'a> Serve<'a> {
    fn split<R: Rpc>(self) -> (Decoder<R>, Invoke<R>, Request<Body>, &'a CancellationToken) {
        let Self { server, request } = self;
        let settings = &server.settings;
        let call = call(request.headers(), settings.call_time(R::OPERATION));
        let grpc = tonic::server::Grpc::new(ProstCodec::default())
            .max_decoding_message_size(settings.max_request_bytes)
            .max_encoding_message_size(settings.max_answer_bytes);
        let invoke = Invoke { operations: server.operations.clone(), call, rpc: PhantomData };
        (grpc, invoke, request, &server.drain)
    }
}

impl<'a> Visitor for Serve<'a> {
    type Output = BoxFuture<'a, http::Response<Body>>;

    fn unary<R: UnaryRpc>(self) -> Self::Output {
        let (mut grpc, invoke, request, _) = self.split::<R>();
        Box::pin(async move { whole(grpc.unary(invoke, request).await) })
    }

    fn stream<R: StreamRpc>(self) -> Self::Output {
        let (mut grpc, invoke, request, drain) = self.split::<R>();
        Box::pin(async move { until(grpc.server_streaming(invoke, request).await, drain) })
    }

    fn upload<R: UploadRpc>(self) -> Self::Output {
        let (mut grpc, invoke, request, _) = self.split::<R>();
        Box::pin(async move { whole(grpc.client_streaming(invoke, request).await) })
    }
}

impl<R: UnaryRpc> UnaryService<R::Request> for Invoke<R> {
    type Response = R::Response;
    type Future = BoxFuture<'static, Result<tonic::Response<R::Response>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<R::Request>) -> Self::Future {
        let (operations, call) = (self.operations.clone(), self.call.clone());
        Box::pin(async move {
            let mut counted = Counted::new(R::OPERATION, Protocol::Grpc);
            let answer = match call {
                Ok(call) => answered::<R>(&*operations, call, request.into_inner()).await,
                Err(status) => Err(status),
            };
            counted.ended(answer.as_ref().err());
            answer.map(tonic::Response::new).map_err(|status| to_tonic(&status))
        })
    }
}

impl<R: UploadRpc> ClientStreamingService<R::Request> for Invoke<R> {
    type Response = R::Response;
    type Future = BoxFuture<'static, Result<tonic::Response<R::Response>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<tonic::Streaming<R::Request>>) -> Self::Future {
        let (operations, call) = (self.operations.clone(), self.call.clone());
        Box::pin(async move {
            let mut counted = Counted::new(R::OPERATION, Protocol::Grpc);
            let parts = request.into_inner().map(|part| part.map_err(from_tonic));
            let answer = match call {
                Ok(call) => uploaded::<R>(&*operations, call, Requests::new(parts)).await,
                Err(status) => Err(status),
            };
            counted.ended(answer.as_ref().err());
            answer.map(tonic::Response::new).map_err(|status| to_tonic(&status))
        })
    }
}

impl<R: StreamRpc> ServerStreamingService<R::Request> for Invoke<R> {
    type Response = R::Response;
    type ResponseStream = BoxStream<'static, Result<R::Response, tonic::Status>>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, tonic::Status>>;

    fn call(&mut self, request: tonic::Request<R::Request>) -> Self::Future {
        let (operations, call) = (self.operations.clone(), self.call.clone());
        Box::pin(async move {
            let call = call.map_err(|status| to_tonic(&status))?;
            let mut counted = Counted::new(R::OPERATION, Protocol::Grpc);
            let mut answers = streamed::<R>(&*operations, call, request.into_inner());
            let parts = stream::poll_fn(move |context| {
                let part = std::task::ready!(answers.poll_next_unpin(context));
                counted.saw(part.as_ref());
                Poll::Ready(part.map(|part| part.map_err(|status| to_tonic(&status))))
            });
            Ok(tonic::Response::new(parts.boxed()))
        })
    }
}
