//! The client of repository operations that this program holds, and its configuration read again while it runs.

use crate::cli::Place;
use crate::config::{Layers, RpcClient};
use crate::output::Failure;
use hakata_rpc::{Client, Ends, Operations, grpc, msgpack};
use hakata_runtime::tasks::Tasks;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often the files are looked at; one system call each.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Makes a client of the configuration; `local` is who answers in this process, if anybody does. What the client does
/// beside calls runs in `tasks`.
///
/// # Errors
/// The address, certificate or route that is wrong.
pub(crate) fn connect(
    settings: &RpcClient,
    local: Option<Arc<dyn Operations>>,
    tasks: &Tasks,
) -> Result<Client, Failure> {
    let ends = ends(settings, local, tasks)?;
    Client::new(ends, &settings.routes, settings.client, tasks.clone()).map_err(|error| misrouted(&error))
}

fn ends(settings: &RpcClient, local: Option<Arc<dyn Operations>>, tasks: &Tasks) -> Result<Ends, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::failed("preparing to ask the server", error);
    let grpc = settings.grpc()?.map(|endpoint| grpc::Grpc::lazy(&endpoint));
    let grpc = grpc.transpose().map_err(|error| failed(&error))?;
    let msgpack = settings.msgpack()?.map(|endpoint| msgpack::Msgpack::lazy(endpoint, tasks.clone()));
    Ok(Ends { local, grpc, msgpack })
}

/// Makes who asks the server that owns the data directory, over whichever of its ports there is.
///
/// # Errors
/// If its ports are none that a client can find, such as free ones.
pub(crate) fn owner(settings: &RpcClient, tasks: &Tasks) -> Result<Arc<dyn Operations>, Failure> {
    let ends = ends(&settings.of_owner(), None, tasks)?;
    let found = ends.grpc.map(|end| end.operations());
    let found = found.or_else(|| ends.msgpack.map(|end| end.operations()));
    found.ok_or_else(|| {
        Failure::refused("a server owns the data directory, and its port is not known")
            .with_hint("say where it listens: --to HOST:PORT")
    })
}

fn misrouted(error: &hakata_rpc::RoutesError) -> Failure {
    Failure::usage(format!("rpc.client.{error}")).with_hint("hakata config check tells where it stands")
}

/// Gives a client new routes, servers and certificates when the configuration changes, or SIGHUP comes.
pub(crate) struct Follow {
    client: Client,
    local: Option<Arc<dyn Operations>>,
    place: Place,
    tasks: Tasks,
    files: Files,
}

impl Follow {
    /// Follows the configuration that a client was made of.
    pub(crate) fn new(
        client: &Client,
        local: Option<Arc<dyn Operations>>,
        place: &Place,
        layers: &Layers,
        tasks: &Tasks,
    ) -> Self {
        let files = Files::of(layers, &layers.settings(layers.data()).rpc_client);
        Self { client: client.clone(), local, place: place.clone(), tasks: tasks.clone(), files }
    }

    /// Follows until the tasks of the client are cancelled.
    pub(crate) async fn run(mut self) {
        let stop = self.tasks.cancel_token();
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                _ = hangup.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            if asked || self.files.have_changed() {
                self.read_again();
            }
        }
    }

    /// Reads everything again; what is wrong changes nothing.
    fn read_again(&mut self) {
        let applied = Layers::read(&self.place, &[]).and_then(|layers| {
            let settings = layers.settings(layers.data()).rpc_client;
            self.files = Files::of(&layers, &settings);
            let ends = ends(&settings, self.local.clone(), &self.tasks)?;
            let configured = self.client.configure(ends, &settings.routes, settings.client);
            configured.map_err(|error| misrouted(&error)).map(|()| settings)
        });
        match applied {
            Ok(settings) => tracing::info!(routes = ?settings.routes, "rpc routes were read again"),
            Err(failure) => {
                self.client.keep();
                self.files.note();
                tracing::error!(problems = %failure, "rpc routes read again are wrong; those before stay");
            }
        }
    }
}

/// Files as they were when they were read.
pub(crate) struct Files(Vec<(PathBuf, Option<Seen>)>);

/// What tells whether a file was written or replaced.
type Seen = (u64, u64, i64, i64);

impl Files {
    fn of(layers: &Layers, settings: &RpcClient) -> Self {
        Self::new(layers.file().map(Path::to_owned).into_iter().chain(settings.files()))
    }

    /// Looks at them now.
    pub(crate) fn new(paths: impl Iterator<Item = PathBuf>) -> Self {
        Self(paths.map(|path| (path.clone(), seen(&path))).collect())
    }

    /// Whether one was written or replaced since.
    pub(crate) fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, before)| seen(path) != *before)
    }

    /// Takes them as they are now.
    pub(crate) fn note(&mut self) {
        for (path, before) in &mut self.0 {
            *before = seen(path);
        }
    }
}

fn seen(path: &Path) -> Option<Seen> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}
