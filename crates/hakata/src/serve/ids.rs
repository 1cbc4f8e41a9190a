//! The id server: its lease, its listeners, and what it tells about itself; alone or beside everything else.

mod alone;

pub(crate) use alone::run;

use crate::config::{Id, Settings};
use crate::data_dir::{Addresses, DataDir};
use crate::id_lease::{self, SqlLease};
use crate::output::Failure;
use crate::serve::handed_over::HandedOver;
use crate::serve::listeners;
use hakata_id::keeper::{Keeper, Standing};
use hakata_id::lease::file::{FileLease, OpenFenceError};
use hakata_id::lease::redis::{self, RedisLease, RedisUrl};
use hakata_id::server::grpc::Grpc;
use hakata_id::server::http::Http;
use hakata_id::server::{Server, TOO_MANY};
use hakata_id::stats::Stats;
use hakata_id::{Generator, Issuer, TimeBase, WorkerId};
use hakata_runtime::secret::Secret;
use hakata_runtime::tasks::Tasks;
use hakata_service::health::Health;
use hakata_service::http::{self as service_http, Body};
use hakata_service::listener::{self, Address, Connections, Inherited, Listener};
use hakata_store::Db;
use http::Request;
use std::sync::Arc;
use std::time::Duration;

/// The largest body of a request: no call of ours has more than a few bytes.
const MAX_BODY_BYTES: u64 = 64 << 10;

/// The worker id where nothing says another: that of the only server there is.
const ALONE: u64 = 1;

/// How long a start waits for its lease.
const SETTLING: Duration = Duration::from_millis(500);

/// A bound id server; nobody is answered yet.
pub(crate) struct Ids {
    memcached: Vec<Listener>,
    http: Option<Listener>,
    grpc: Option<Listener>,
    place: Place,
}

/// A running id server.
pub(crate) struct Running {
    stats: Arc<Stats>,
    keeping: Tasks,
    keeper: Keeper,
}

/// Where the worker id comes from.
enum Place {
    File(Box<FileLease>, WorkerId),
    Redis(Box<RedisLease>),
    Database(Box<SqlLease>),
}

impl Ids {
    /// Binds the listeners and opens the place of the lease; `None` if every listener is off.
    ///
    /// # Errors
    /// The first address that cannot be bound, or a worker id that another process uses.
    pub(super) fn bind(
        settings: &Settings,
        dir: &DataDir,
        db: Option<&Db>,
        handed_over: &mut HandedOver,
    ) -> Result<Option<Self>, Failure> {
        let listen = &settings.id.listen;
        if !listen.is_on() {
            return Ok(None);
        }
        let connections = Connections::new(settings.id.connections.clone());
        let sockets = listener::Settings {
            last_word: TOO_MANY,
            unix_mode: settings.id.socket_mode,
            ..settings.sockets.clone()
        };
        let socket = listen.socket.clone().map(Address::Unix);
        let mut memcached = Vec::new();
        for (address, key, handed) in
            [(&listen.address, "id.address", "id"), (&socket, "id.socket", "id_socket")]
        {
            let place = Bind { name: "id", key, sockets: &sockets, connections: &connections };
            let inherited = address.as_ref().and_then(|_| handed_over.take(handed));
            memcached.extend(place.bind(address, inherited)?);
        }
        let own = Connections::new(settings.connections.clone());
        let mut bind = |name, address: &Option<Address>, key| {
            let place = Bind { name, key, sockets: &settings.sockets, connections: &own };
            let inherited = address.as_ref().and_then(|_| handed_over.take(name));
            place.bind(address, inherited)
        };
        let http = bind("id_http", &listen.http, "id.http")?;
        let grpc = bind("id_grpc", &listen.grpc, "id.grpc")?;
        let place = Place::open(&settings.id, dir, db)?;
        Ok(Some(Self { memcached, http, grpc, place }))
    }

    /// Tells where it listens, beside the other listeners.
    pub(crate) fn tell(&self, addresses: &mut Addresses) {
        let shown = |listener: &Listener| listener.local_address().to_string();
        addresses.id = self.memcached.first().map(shown);
        addresses.id_http = self.http.as_ref().map(shown);
        addresses.id_grpc = self.grpc.as_ref().map(shown);
    }

    /// Says where worker ids come from.
    pub(crate) fn source(&self) -> String {
        match &self.place {
            Place::File(_, worker_id) => format!("{worker_id}, for this process alone"),
            Place::Redis(_) => "leased in Redis".to_owned(),
            Place::Database(_) => "leased in the database".to_owned(),
        }
    }

    /// Begins to answer, once there is a lease or it is not waited for any longer: whoever connected before is served
    /// rather than refused. `faces` owns the connections; the lease is kept by tasks of its own within `engines`, which
    /// [`Running::stop`] ends when the connections are gone.
    pub(super) async fn serve(self, settings: &Settings, faces: &Tasks, engines: &Tasks) -> Running {
        let id = &settings.id;
        let generator = Arc::new(Generator::new(id.layout).borrowing(id.borrow));
        let issuer = Issuer::new(generator, Arc::new(TimeBase::system(id.layout)), id.max_wait);
        let keeping = engines.child();
        let keeper = match self.place {
            Place::File(lease, _) => Keeper::spawn(&keeping, *lease, &issuer, id.keeper),
            Place::Redis(lease) => Keeper::spawn(&keeping, *lease, &issuer, id.keeper),
            Place::Database(lease) => Keeper::spawn(&keeping, *lease, &issuer, id.keeper),
        };
        settle(&keeper).await;
        let stats = Arc::new(Stats::new(issuer.clone(), keeper.standing()));
        let mut server = id.server.clone();
        server.protocol.http = self.http.as_ref().map(|listener| listener.local_address().to_string());
        let server = Arc::new(Server::new(issuer.clone(), stats.clone(), server));
        for listener in self.memcached {
            let (server, group) = (server.clone(), faces.clone());
            let tasks = faces.clone();
            faces.spawn("id_accept", async move {
                listener
                    .serve(&tasks, move |connection| server.clone().serve(connection, group.clone()))
                    .await;
            });
        }
        let web = service_http::Settings { max_body_bytes: MAX_BODY_BYTES, ..settings.http.clone() };
        if let Some(listener) = self.http {
            let http = Http::new(issuer.clone(), stats.clone());
            let handler = move |request: Request<Body>, _| {
                let http = http.clone();
                async move { http.respond(&request.map(drop)).await }
            };
            let server = service_http::Server::new("id_http", web.clone(), handler);
            listeners::accept("id_http_accept", listener, server, faces);
        }
        if let Some(listener) = self.grpc {
            let grpc = Grpc::new(issuer, stats.clone(), faces.cancel_token());
            let handler = move |request: Request<Body>, _| {
                let grpc = grpc.clone();
                async move { grpc.respond(request).await }
            };
            let server = service_http::Server::new("id_grpc", web, handler);
            listeners::accept("id_grpc_accept", listener, server, faces);
        }
        Running { stats, keeping, keeper }
    }
}

impl Running {
    /// Makes readiness depend on the lease.
    pub(super) fn ready_with(&self, health: Health) -> Health {
        let stats = self.stats.clone();
        health.with("id", move || {
            let ready = stats.ready();
            async move { ready }
        })
    }

    /// Gives the lease back; nobody asks for ids any more.
    pub(crate) async fn stop(self) {
        self.keeping.cancel();
        self.keeper.stopped().await;
    }
}

impl Place {
    fn open(id: &Id, dir: &DataDir, db: Option<&Db>) -> Result<Self, Failure> {
        match (id.worker_id, &id.redis, db.filter(|_| id.leases_in_database)) {
            (Some(worker_id), _, _) => Self::file(id, dir, worker_id),
            (None, Some(url), _) => Self::redis(id, url),
            (None, None, Some(db)) => Ok(Self::database(id, db)),
            (None, None, None) => {
                let worker_id = WorkerId::new(id.layout, ALONE);
                Self::file(id, dir, worker_id.map_err(|error| Failure::usage(error.to_string()))?)
            }
        }
    }

    fn database(id: &Id, db: &Db) -> Self {
        let (least, most) = id.range;
        let settings =
            id_lease::Settings { layout: id.layout, least, most, ttl: id.ttl, patience: id.patience };
        Self::Database(Box::new(SqlLease::new(db.clone(), settings)))
    }

    fn redis(id: &Id, url: &Secret<String>) -> Result<Self, Failure> {
        let url =
            RedisUrl::parse(url.expose()).map_err(|error| Failure::usage(format!("id.redis: {error}")))?;
        let (least, most) = id.range;
        let settings =
            redis::Settings { url, layout: id.layout, least, most, ttl: id.ttl, patience: id.patience };
        Ok(Self::Redis(Box::new(RedisLease::new(settings))))
    }

    fn file(id: &Id, dir: &DataDir, worker_id: WorkerId) -> Result<Self, Failure> {
        match FileLease::open(dir.path(), id.layout, worker_id) {
            Ok(lease) => Ok(Self::File(Box::new(lease), worker_id)),
            Err(error @ OpenFenceError::InUse { .. }) => Err(Failure::refused(error.to_string())),
            Err(error) => Err(Failure::failed("opening the fence of the worker id", &error)),
        }
    }
}

/// Waits for the first lease, never for long: without one clients are told that there is none.
async fn settle(keeper: &Keeper) {
    let mut standing = keeper.standing();
    let held = standing.wait_for(|standing| matches!(standing, Standing::Held { .. }));
    let _ = tokio::time::timeout(SETTLING, held).await;
}

/// What a listener is made with.
struct Bind<'a> {
    name: &'static str,
    key: &'static str,
    sockets: &'a listener::Settings,
    connections: &'a Connections,
}

impl Bind<'_> {
    /// Listens on an address, or on the socket that was handed over for it; `None` if it is off.
    fn bind(
        &self,
        address: &Option<Address>,
        inherited: Option<Inherited>,
    ) -> Result<Option<Listener>, Failure> {
        let bound = match (address, inherited) {
            (None, _) => return Ok(None),
            (Some(_), Some(socket)) => {
                Listener::adopt(self.name, socket, self.sockets, self.connections.clone())
            }
            (Some(address), None) => {
                Listener::bind(self.name, address, self.sockets, self.connections.clone())
            }
        };
        bound.map(Some).map_err(|error| {
            Failure::failed("listening for ids", &error)
                .with_hint(format!("choose another place: {}", self.key))
        })
    }
}
