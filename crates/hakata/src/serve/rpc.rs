//! The repository service: its listeners, in front of the repositories of this process.

use crate::compose::Engines;
use crate::config::Settings;
use crate::data_dir::Addresses;
use crate::output::Failure;
use crate::serve::listeners;
use hakata_rpc::Operations;
use hakata_rpc_server::{Grpc, Msgpack, Tokens};
use hakata_runtime::tasks::Tasks;
use hakata_service::http::{self, Server};
use hakata_service::listener::{Address, Connections, Listener};
use std::sync::Arc;

/// Bound listeners; nobody is answered yet.
pub(super) struct Rpc {
    grpc: Option<Listener>,
    msgpack: Option<Listener>,
}

impl Rpc {
    /// Binds the listeners that are on.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub(super) fn bind(settings: &Settings) -> Result<Self, Failure> {
        let connections = Connections::new(settings.connections.clone());
        let bind = |name: &'static str, key: &'static str, address: &Option<Address>| {
            let Some(address) = address else { return Ok(None) };
            let bound = Listener::bind(name, address, &settings.sockets, connections.clone());
            bound.map(Some).map_err(|error| listeners::cannot_listen(name, key, &error))
        };
        Ok(Self {
            grpc: bind("rpc_grpc", "rpc.grpc", &settings.rpc.grpc)?,
            msgpack: bind("rpc_msgpack", "rpc.msgpack", &settings.rpc.msgpack)?,
        })
    }

    /// Tells where it listens, beside the other listeners.
    pub(super) fn tell(&self, addresses: &mut Addresses) {
        let shown = |listener: &Listener| listener.local_address().to_string();
        addresses.rpc_grpc = self.grpc.as_ref().map(shown);
        addresses.rpc_msgpack = self.msgpack.as_ref().map(shown);
    }

    /// Begins to answer; `faces` owns the connections.
    pub(super) fn serve(self, settings: &Settings, engines: &Engines, faces: &Tasks) {
        let rpc = &settings.rpc;
        let operations: Arc<dyn Operations> = Arc::new(engines.operations(&rpc.server));
        let tokens = Tokens::new(rpc.tokens.clone());
        let drain = faces.cancel_token();
        if let Some(listener) = self.grpc {
            let grpc = Grpc::new(operations.clone(), tokens.clone(), rpc.server.clone(), drain.clone());
            let handler = move |request, _facts| {
                let grpc = grpc.clone();
                async move { grpc.respond(request).await }
            };
            let max_body_bytes =
                u64::try_from(rpc.server.max_request_bytes).unwrap_or(u64::MAX).saturating_add(5);
            let web = http::Settings { max_body_bytes, ..settings.http.clone() };
            listeners::accept("rpc_grpc_accept", listener, Server::new("rpc_grpc", web, handler), faces);
        }
        if let Some(listener) = self.msgpack {
            let server = Msgpack::new(operations, tokens, rpc.server.clone(), drain);
            let tasks = faces.clone();
            faces.spawn("rpc_msgpack_accept", async move {
                listener.serve(&tasks, move |connection| server.clone().serve(connection)).await;
            });
        }
    }
}
