//! The listeners and the faces behind them.

use crate::compose::{self, Engines};
use crate::config::{Listen, Settings};
use crate::data_dir::{Addresses, DataDir};
use crate::output::Failure;
use crate::serve::handed_over::HandedOver;
use crate::serve::ids::Running;
use crate::serve::reload;
use hakata_lfs::{Duplex, LfsHttp, LfsSsh, Opened};
use hakata_runtime::tasks::{TaskName, Tasks};
use hakata_service::health::Health;
use hakata_service::http::{Body, RequestFacts, Server};
use hakata_service::listener::{self, Address, BindError, Connections, Inherited, Listener};
use hakata_service::shutdown::Shutdown;
use hakata_service::tls::Tls;
use hakata_smart_http::{MutePage, SmartHttp};
use hakata_ssh::{HostKeys, LfsSession, LfsTransfer, LfsUrl};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the root page says.
const GREETING: &str = "Hakata runs here: a Git server.\nClone: git clone <this URL>/OWNER/NAME\n";

/// What an HTTP client hears that is turned away at accept; with TLS nothing can be said so early.
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 43\r\n\r\n\
    too many connections; try again in a while\n";

/// What is answered over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Faces {
    /// Git, Git LFS and the links of letters.
    All,
    /// Git LFS alone.
    Lfs,
}

/// What answers over HTTP.
struct Http {
    faces: Faces,
    git: SmartHttp,
    lfs: LfsHttp,
    mute: MutePage,
}

/// Bound listeners; nobody is answered yet.
pub(super) struct Listeners {
    http: Option<(Listener, Option<Tls>)>,
    ssh: Option<(Listener, HostKeys)>,
    admin: Option<Listener>,
    answered: Faces,
}

impl Listeners {
    /// Binds every listener that is on, and opens the host keys.
    ///
    /// # Errors
    /// The first address that cannot be bound, or the keys'.
    pub(super) async fn bind(
        settings: &Settings,
        listen: &Listen,
        dir: &DataDir,
        engines: &Engines,
        handed_over: &mut HandedOver,
    ) -> Result<Self, Failure> {
        let connections = Connections::new(settings.connections.clone());
        // Metrics must be had when the other ports are full, so they have a count of their own.
        let own = Connections::new(settings.connections.clone());
        let mut bind = |name: &'static str, address: &Option<Address>, connections: &Connections| {
            let Some(address) = address else { return Ok(None) };
            let inherited = handed_over.take(name);
            bind(name, address, inherited, settings, connections).map(Some)
        };
        let tls = settings.tls.clone().map(Tls::load).transpose();
        let tls =
            tls.map_err(|error| Failure::failed("loading the certificate of the HTTP listener", &error))?;
        let http = bind("http", &listen.http, &connections)?.map(|listener| (listener, tls));
        let ssh = bind("ssh", &listen.ssh, &connections)?;
        let admin = bind_admin(listen, handed_over.take("admin"), settings, &own)?;
        let ssh = match ssh {
            None => None,
            Some(listener) => Some((listener, host_keys(dir, engines).await?)),
        };
        Ok(Self { http, ssh, admin, answered: Faces::All })
    }

    /// Chooses what is answered over HTTP.
    pub(super) fn answering(self, answered: Faces) -> Self {
        Self { answered, ..self }
    }

    /// Tells where they are.
    pub(super) fn addresses(&self) -> Addresses {
        let shown = |listener: &Listener| listener.local_address().to_string();
        Addresses {
            http: self.http.as_ref().map(|(listener, _)| shown(listener)),
            ssh: self.ssh.as_ref().map(|(listener, _)| shown(listener)),
            admin: self.admin.as_ref().map(shown),
            ..Addresses::default()
        }
    }

    /// Tells where those who come by SSH find LFS over HTTP, as far as that is known: listening everywhere is no address.
    fn lfs_url(&self, settings: &Settings) -> LfsUrl {
        if let Some(url) = &settings.public.http {
            return LfsUrl::Everywhere(url.clone());
        }
        let Some((listener, tls)) = &self.http else { return LfsUrl::Nowhere };
        let address = listener.local_address().tcp().filter(|address| !address.ip().is_unspecified());
        let Some(address) = address else { return LfsUrl::Nowhere };
        let url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        if address.ip().is_loopback() { LfsUrl::Loopback(url) } else { LfsUrl::Everywhere(url) }
    }

    /// Begins to answer: `faces` owns Git's connections, `engines_tasks` those of metrics and health, which are still
    /// answered while the faces drain.
    pub(super) fn serve(
        self,
        settings: &Settings,
        engines: &Engines,
        faces: &Tasks,
        engines_tasks: &Tasks,
        shutdown: &Shutdown,
        ids: Option<&Running>,
    ) {
        let lfs_url = self.lfs_url(settings);
        if let Some((listener, tls)) = self.http {
            let http = Arc::new(Http {
                faces: self.answered,
                git: SmartHttp::new(engines.forge.clone(), settings.smart_http.clone()),
                lfs: LfsHttp::new(engines.forge.clone(), settings.lfs.clone()),
                mute: MutePage::new(engines.forge.clone()),
            });
            let handler = move |request, facts| respond(http.clone(), request, facts);
            let mut server = Server::new("http", settings.http.clone(), handler);
            if let Some(tls) = tls {
                server = server.with_tls(tls.clone());
                reload::follow(&tls, "http", faces, shutdown);
            }
            accept("http_accept", listener, server, faces);
        }
        if let Some((listener, keys)) = self.ssh {
            let lfs = LfsSsh::new(engines.forge.clone(), settings.lfs.clone());
            let settings = hakata_ssh::Settings { lfs_url, ..settings.ssh.clone() };
            let server =
                hakata_ssh::Server::with_lfs(engines.forge.clone(), &keys, settings, lfs_over_ssh(lfs));
            let tasks = faces.clone();
            faces.spawn("ssh_accept", async move {
                let group = tasks.clone();
                listener
                    .serve(&tasks, move |connection| server.clone().serve(connection, group.clone()))
                    .await;
            });
        }
        if let Some(listener) = self.admin {
            let db = engines.db.clone();
            let health = Health::new(shutdown.clone()).with("database", move || compose::ping(db.clone()));
            let health = match ids {
                Some(ids) => ids.ready_with(health),
                None => health,
            };
            serve_admin(listener, health, settings, engines_tasks);
        }
    }
}

/// Answers metrics and health.
pub(super) fn serve_admin(listener: Listener, health: Health, settings: &Settings, tasks: &Tasks) {
    let handler = move |request: Request<Body>, _| respond_admin(health.clone(), request.map(drop));
    accept("admin_accept", listener, Server::new("admin", settings.http.clone(), handler), tasks);
}

/// Serves the connections of a listener over HTTP, all as tasks of a group.
pub(super) fn accept<H, F>(name: TaskName, listener: Listener, server: Server<H>, tasks: &Tasks)
where
    H: Fn(Request<Body>, RequestFacts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (server, group, serving) = (Arc::new(server), tasks.clone(), tasks.clone());
    tasks.spawn(name, async move {
        listener.serve(&serving, move |connection| server.clone().serve(connection, group.clone())).await;
    });
}

pub(super) fn bind(
    name: &'static str,
    address: &Address,
    inherited: Option<Inherited>,
    settings: &Settings,
    connections: &Connections,
) -> Result<Listener, Failure> {
    let speaks_http = name == "http" && settings.tls.is_none();
    let last_word = if speaks_http { OVERLOADED } else { b"" };
    let sockets = listener::Settings { last_word, ..settings.sockets.clone() };
    let bound = match inherited {
        Some(socket) => Listener::adopt(name, socket, &sockets, connections.clone()),
        None => Listener::bind(name, address, &sockets, connections.clone()),
    };
    bound.map_err(|error| cannot_listen(name, &format!("{name}.address"), &error))
}

/// Binds the listener of metrics and health. Where nobody chose its address and another program has it, as a second
/// Hakata or a Prometheus, a free port will do: nothing that was asked for is missing then.
pub(super) fn bind_admin(
    listen: &Listen,
    inherited: Option<Inherited>,
    settings: &Settings,
    connections: &Connections,
) -> Result<Option<Listener>, Failure> {
    let Some(address) = &listen.admin else { return Ok(None) };
    let own = match address {
        Address::Tcp(own) if inherited.is_none() && !listen.is_admin_chosen => *own,
        _ => return bind("admin", address, inherited, settings, connections).map(Some),
    };
    let open = |address| Listener::bind("admin", &address, &settings.sockets, connections.clone());
    let bound = match open(Address::Tcp(own)) {
        Err(BindError::Bind { source, .. }) if source.kind() == ErrorKind::AddrInUse => {
            let free = open(Address::Tcp(SocketAddr::new(own.ip(), 0)));
            if let Ok(listener) = &free {
                let (address, taken) = (listener.local_address(), own);
                tracing::warn!(%address, %taken, "metrics and health are on another port: theirs is taken");
            }
            free
        }
        bound => bound,
    };
    bound.map(Some).map_err(|error| cannot_listen("admin", "admin.address", &error))
}

pub(super) fn cannot_listen(name: &str, key: &str, error: &BindError) -> Failure {
    Failure::failed(format!("listening for {name}"), error)
        .with_hint(format!("choose another address: {key}"))
}

/// Carries LFS over SSH.
fn lfs_over_ssh(lfs: LfsSsh) -> LfsTransfer {
    let lfs = Arc::new(lfs);
    Arc::new(move |session: LfsSession| {
        let lfs = Arc::clone(&lfs);
        let LfsSession { actor, address, path, operation, input, output, errors } = session;
        let opened = Opened { actor, address, path, operation };
        Box::pin(async move { lfs.serve(&opened, Duplex { input, output, errors }).await })
    })
}

/// Opens the host keys; the first start makes them, which takes seconds of computing.
async fn host_keys(dir: &DataDir, engines: &Engines) -> Result<HostKeys, Failure> {
    let keys = dir.path().join("ssh");
    let opened = engines.blocking.run(move || HostKeys::open(&keys)).await;
    let opened = opened.map_err(|error| Failure::failed("opening the host keys", &error))?;
    opened.map_err(|error| Failure::failed("opening the host keys", &error))
}

/// Answers Git, Git LFS and the links of letters, and says at the root what this is.
async fn respond(http: Arc<Http>, request: Request<Body>, facts: RequestFacts) -> Response<Body> {
    let request = match http.lfs.respond(request, &facts).await {
        Ok(response) => return response,
        Err(_) if http.faces == Faces::Lfs => return plain(StatusCode::NOT_FOUND, "not found\n"),
        Err(request) => request,
    };
    let request = match http.mute.respond(request, &facts).await {
        Ok(response) => return response,
        Err(request) => request,
    };
    let is_root = request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
    match http.git.respond(request, &facts).await {
        Some(response) => response,
        None if is_root => plain(StatusCode::OK, GREETING),
        None => plain(StatusCode::NOT_FOUND, "not found\n"),
    }
}

async fn respond_admin(health: Health, request: Request<()>) -> Response<Body> {
    let response = health.respond(&request).await;
    response.unwrap_or_else(|| {
        plain(StatusCode::NOT_FOUND, "not found; try /metrics, /health/live or /health/ready\n")
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::OVERLOADED;

    #[test]
    fn the_last_word_is_as_long_as_it_says() {
        let text = std::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let wanted = format!("\r\nContent-Length: {}", body.len());
        assert!(head.ends_with(&wanted), "{text:?}");
        assert!(head.split("\r\n").all(|line| line.trim() == line), "{text:?}");
    }
}
