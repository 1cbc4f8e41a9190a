//! What the framework alone costs: tonic's codec and glue over hyper, without anything of ours, in a process of its own.
//!
//! The same process serves a file from memory with our servers, to tell what their transports can move.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures_util::future::{Ready, ready};
use hakata_rpc::Operations;
use hakata_rpc::v1::{InfoRequest, InfoResponse};
use hakata_rpc_server::{Grpc, Msgpack, Settings, Spool, Tokens};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::secret::Secret;
use hakata_runtime::tasks::Tasks;
use hakata_service::http::{self, Server};
use hakata_service::listener::{self, Address, ConnectionLimits, Connections, Listener};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::server::UnaryService;
use tonic_prost::ProstCodec;

use super::memory::Memory;
use super::node::TOKEN;

/// The first argument that makes this program the server; behind it, where to tell its addresses.
pub(crate) const ARGUMENT: &str = "--rpc-floor";

/// Serves until it is killed.
pub(crate) fn serve(ready: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bare = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let bare_at = bare.local_addr()?;
        let tasks = Tasks::new();
        let folder = tempfile::tempdir()?;
        let (grpc_at, msgpack_at) = serve_memory(folder.path(), &tasks)?;
        let addresses = serde_json::json!({
            "bare": bare_at.to_string(), "grpc": grpc_at.to_string(), "msgpack": msgpack_at.to_string(),
        });
        let staged = format!("{ready}.new");
        std::fs::write(&staged, addresses.to_string()).context("telling the addresses")?;
        std::fs::rename(&staged, Path::new(ready)).context("telling the addresses")?;
        loop {
            let (stream, _) = bare.accept().await?;
            // As everybody has it: an answer is not held back for the next one.
            stream.set_nodelay(true)?;
            tokio::spawn(converse(stream));
        }
    })
}

/// Serves one connection; an error is the client's end.
async fn converse(stream: tokio::net::TcpStream) {
    let service = hyper::service::service_fn(|request| async {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
        Ok::<_, Infallible>(grpc.unary(Echo, request).await)
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http2_only();
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// Answers what a real service would, without looking anything up.
struct Echo;

impl UnaryService<InfoRequest> for Echo {
    type Response = InfoResponse;
    type Future = Ready<Result<tonic::Response<InfoResponse>, tonic::Status>>;

    fn call(&mut self, _request: tonic::Request<InfoRequest>) -> Self::Future {
        let answer = InfoResponse {
            version: "0.1.0".to_owned(),
            git_version: "2.47.3".to_owned(),
            now_ms: 1_700_000_000_000,
        };
        ready(Ok(tonic::Response::new(answer)))
    }
}

/// Serves a file from memory over both protocols, as the service serves files.
fn serve_memory(folder: &Path, tasks: &Tasks) -> Result<(SocketAddr, SocketAddr)> {
    let operations: Arc<dyn Operations> = Arc::new(Memory::new());
    let tokens = Tokens::new(vec![Secret::new(TOKEN.to_owned())]);
    let mut settings = Settings::default();
    settings.spool.dir = folder.join("spool");
    let (listener, grpc_at) = listen("rpc_grpc")?;
    let grpc = Grpc::new(operations.clone(), tokens.clone(), settings.clone(), tasks.cancel_token());
    let handler = move |request, _facts| {
        let grpc = grpc.clone();
        async move { grpc.respond(request).await }
    };
    let server = Arc::new(Server::new("rpc_grpc", http::Settings::default(), handler));
    let (group, serving) = (tasks.clone(), tasks.clone());
    drop(tasks.spawn("rpc_grpc_accept", async move {
        listener.serve(&serving, move |connection| server.clone().serve(connection, group.clone())).await;
    }));
    let (listener, msgpack_at) = listen("rpc_msgpack")?;
    let spool = Spool::new(settings.spool.clone(), tasks.clone(), Blocking::new(2));
    let server = Msgpack::new(operations, tokens, settings, spool, tasks.cancel_token());
    let serving = tasks.clone();
    drop(tasks.spawn("rpc_msgpack_accept", async move {
        listener.serve(&serving, move |connection| server.clone().serve(connection)).await;
    }));
    Ok((grpc_at, msgpack_at))
}

fn listen(name: &'static str) -> Result<(Listener, SocketAddr)> {
    let limits =
        ConnectionLimits { all: 1_000, strangers_per_address: 1_000, per_address: 1_000, exempt: Vec::new() };
    let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let sockets = listener::Settings::default();
    let listener = Listener::bind(name, &address, &sockets, Connections::new(limits))?;
    let Address::Tcp(at) = listener.local_address().clone() else { bail!("it was bound to TCP") };
    Ok((listener, at))
}
