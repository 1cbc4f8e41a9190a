//! The repository service: its listeners, in front of the repositories of this process.

use crate::compose::Engines;
use crate::config::Settings;
use crate::data_dir::Addresses;
use crate::output::Failure;
use crate::serve::{listeners, reload};
use hakata_rpc::Operations;
use hakata_rpc_server::{Grpc, Msgpack, Spool, Tokens};
use hakata_runtime::tasks::Tasks;
use hakata_service::http::{self, Server};
use hakata_service::listener::{Address, Connections, Listener};
use hakata_service::shutdown::Shutdown;
use hakata_service::tls::Tls;
use std::sync::Arc;

/// Bound listeners; nobody is answered yet.
pub(super) struct Rpc {
    grpc: Option<Listener>,
    msgpack: Option<Listener>,
    tls: Option<Tls>,
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
        let tls = settings.rpc.tls.clone().filter(|_| settings.rpc.is_on()).map(Tls::load).transpose();
        let tls = tls.map_err(|error| Failure::failed("loading the certificates of rpc", &error))?;
        Ok(Self {
            tls,
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
    pub(super) fn serve(self, settings: &Settings, engines: &Engines, faces: &Tasks, shutdown: &Shutdown) {
        let rpc = &settings.rpc;
        let operations: Arc<dyn Operations> = Arc::new(engines.operations(&rpc.server));
        let tokens = Tokens::new(rpc.tokens.clone()).or_names(rpc.client_names.clone());
        if let Some(tls) = &self.tls {
            reload::follow(tls, "rpc", faces, shutdown);
        }
        self.warn(rpc.require_tls);
        let drain = faces.cancel_token();
        if let Some(listener) = self.grpc {
            let grpc = Grpc::new(operations.clone(), tokens.clone(), rpc.server.clone(), drain.clone());
            let handler = move |request, _facts| {
                let grpc = grpc.clone();
                async move { grpc.respond(request).await }
            };
            let web = http::Settings { max_body_bytes: most(&rpc.server), ..settings.http.clone() };
            let mut server = Server::new("rpc_grpc", web, handler);
            if let Some(tls) = &self.tls {
                server = server.with_tls(tls.clone());
            }
            listeners::accept("rpc_grpc_accept", listener, server, faces);
        }
        if let Some(listener) = self.msgpack {
            let spool = Spool::new(rpc.server.spool.clone(), faces.clone(), engines.blocking.clone());
            let mut server = Msgpack::new(operations, tokens, rpc.server.clone(), spool, drain);
            if let Some(tls) = self.tls {
                server = server.with_tls(tls);
            }
            let tasks = faces.clone();
            faces.spawn("rpc_msgpack_accept", async move {
                listener.serve(&tasks, move |connection| server.clone().serve(connection)).await;
            });
        }
    }

    /// Says once what the operator has allowed.
    fn warn(&self, require_tls: bool) {
        let is_far = |listener: &Listener| {
            listener.local_address().tcp().is_some_and(|tcp| !tcp.ip().to_canonical().is_loopback())
        };
        if !require_tls && self.tls.is_none() && self.grpc.iter().chain(&self.msgpack).any(is_far) {
            tracing::warn!(
                "tokens of the repository service cross the network in the clear (rpc.require_tls)"
            );
        }
    }
}

/// The longest body: a request and the contents that it brings, in pieces that may be as small as what is around them.
fn most(settings: &hakata_rpc_server::Settings) -> u64 {
    let request = u64::try_from(settings.max_request_bytes).unwrap_or(u64::MAX);
    request.saturating_add(settings.max_upload_bytes.saturating_mul(2)).saturating_add(5)
}
