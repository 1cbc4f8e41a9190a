//! The channel over connections of our own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint as TonicEndpoint};

use super::Grpc;
use crate::endpoint::Endpoint;
use crate::route::Route;
use crate::stream::{Broken, HTTP2, Stream};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It is no address.
    #[error("reading the address {address} of the gRPC server")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// A header cannot carry the token.
    #[error("the token of the gRPC server holds characters that no header can carry")]
    Token,
}

impl Grpc {
    /// Makes a client. It connects when it is first used, and again whenever a connection breaks.
    ///
    /// # Errors
    /// If address or token are malformed. That nobody answers shows only later.
    pub fn lazy(to: &Endpoint) -> Result<Self, ConnectError> {
        let authorization = to
            .token
            .as_ref()
            .map(|token| MetadataValue::try_from(format!("Bearer {}", token.expose())))
            .transpose()
            .map_err(|_| ConnectError::Token)?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        let broken = Broken::default();
        let channels =
            (0..to.n_connections.max(1)).map(|_| channel(to, &broken)).collect::<Result<_, _>>()?;
        let turn = Arc::new(AtomicUsize::new(0));
        Ok(Self { channels, turn, authorization, max_message_bytes: to.max_answer_bytes, broken })
    }
}

fn channel(to: &Endpoint, broken: &Broken) -> Result<Channel, ConnectError> {
    let wrong = |source| ConnectError::Address { address: to.address.clone(), source };
    // What requests say of themselves; the connection is made without looking at it.
    let scheme = if to.tls.is_some() { "https" } else { "http" };
    let origin = format!("{scheme}://{}", to.address).parse().ok();
    let endpoint = TonicEndpoint::from_shared(format!("http://{}", to.address)).map_err(wrong)?;
    let endpoint = origin
        .map_or_else(|| endpoint.clone(), |origin| endpoint.clone().origin(origin))
        .http2_keep_alive_interval(to.keepalive)
        .keep_alive_timeout(to.connect_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    Ok(endpoint.connect_with_connector_lazy(Connector(Arc::new(to.clone()), broken.clone())))
}

/// Makes the connections of a channel.
struct Connector(Arc<Endpoint>, Broken);

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Stream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (to, broken) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            let stream = Stream::connect(&to, Route::Grpc, Some(HTTP2), broken).await;
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", to.address));
            stream.map(TokioIo::new).map_err(named)
        })
    }
}
