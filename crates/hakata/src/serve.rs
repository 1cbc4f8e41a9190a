//! `hakata serve`, `http`, `ssh`, `rpc` and `worker`: from the lock to the last task.
//!
//! Two groups of tasks: *faces* hold listeners, connections and administrative commands and are drained by a signal;
//! *engines* hold what these stand on, and follow when the faces are gone.

mod bare;
mod first_user;
mod handed_over;
mod ids;
mod jobs;
mod listeners;
mod reload;
mod rpc;
mod status;
mod transcript;

pub(crate) use bare::run as run_bare;
pub(crate) use ids::run as run_ids;

use crate::admin_socket::{Request, server as admin_socket};
use crate::cli::{Place, ServeArgs};
use crate::compose::{self, Engines};
use crate::config::{IdListen, Layers, Listen, Setting, Settings, environment};
use crate::data_dir::{DataDir, Lock, LockError, ReadyFile, SocketPath};
use crate::output::{self, Answer, Failure, Format, note};
use hakata_runtime::{fault, tasks::Tasks};
use hakata_service::shutdown::{Shutdown, Signals};
use hakata_service::{log::Log, process};
use handed_over::HandedOver;
use listeners::{Faces, Listeners};
use serde_json::json;
use status::Status;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use transcript::Transcript;

/// How long a server waits for a command that holds the data directory.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the engines' own tasks may take when the faces are gone.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Which faces a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// All of them.
    Everything,
    /// Git and Git LFS over HTTP.
    Http,
    /// Git LFS.
    Lfs,
    /// Git over SSH.
    Ssh,
    /// Repository operations for other programs.
    Rpc,
    /// Jobs.
    Worker,
}

/// What is decided before the runtime starts.
struct Start {
    settings: Settings,
    listen: Listen,
    dir: DataDir,
    lock: Lock,
    ready_file: Option<PathBuf>,
    format: Format,
    layers: Layers,
    flags: Vec<Setting>,
    place: Place,
    faces: Faces,
    is_new: bool,
}

/// Arms the fault point that a test asks for.
fn arm(fault: Option<&str>) -> Result<(), Failure> {
    fault.map_or(Ok(()), fault::arm).map_err(|error| Failure::usage(error.to_string()))
}

/// Serves until a signal, then drains.
pub(crate) fn run(service: Service, args: &ServeArgs, place: &Place) -> Result<Answer, Failure> {
    arm(args.fault.as_deref())?;
    let flags = args.settings();
    let layers = Layers::read(place, &flags)?;
    let dir = DataDir::open_or_create(layers.data()).map_err(|error| {
        Failure::failed(format!("opening the data directory {}", layers.data().display()), &error)
    })?;
    let lock = Lock::take_for_server(&dir, PATIENCE).map_err(|error| refused(&error))?;
    let mut settings = layers.settings(dir.path());
    if service != Service::Everything {
        settings.id.listen = IdListen::default();
    }
    service.choose_rpc(&mut settings)?;
    settings.works = service.works(settings.works);
    let log = compose::start_log(&settings.log)?;
    compose::register_metrics();
    let runtime = compose::runtime(&settings.server)?;
    let start = Start {
        listen: service.choose(&settings.listen)?,
        is_new: dir.is_new(),
        ready_file: args.ready_file.clone(),
        format: if place.json { Format::Json } else { Format::Text },
        place: place.clone(),
        faces: service.faces(),
        layers,
        flags,
        settings,
        dir,
        lock,
    };
    let served = runtime.block_on(serve(start, &log));
    // What still blocks a thread holds nothing that the next start would miss.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(mut start: Start, log: &Log) -> Result<Answer, Failure> {
    let signals = Signals::listen().map_err(|error| Failure::failed("listening for signals", &error))?;
    process::raise_descriptor_limit();
    let (faces, tasks) = (Tasks::new(), Tasks::new());
    let shutdown = Shutdown::new(faces.clone(), start.settings.server.drain);
    let engines = Engines::start(&start.settings, &tasks).await?;
    compose::start_warden(&engines.git);
    let mut handed_over = HandedOver::receive()?;
    let listeners =
        Listeners::bind(&start.settings, &start.listen, &start.dir, &engines, &mut handed_over).await?;
    let ids = ids::Ids::bind(&start.settings, &start.dir, Some(&engines.db), &mut handed_over)?;
    let rpc = rpc::Rpc::bind(&start.settings)?;
    handed_over.end()?;
    let has_users = first_user::exists_or_made(&engines.forge).await?;
    let mut addresses = listeners.addresses();
    if let Some(ids) = &ids {
        ids.tell(&mut addresses);
    }
    rpc.tell(&mut addresses);
    let ids = match ids {
        Some(ids) => Some(ids.serve(&start.settings, &faces, &tasks).await),
        None => None,
    };
    rpc.serve(&start.settings, &engines, &faces, &shutdown);
    let jobs = jobs::start(&start.settings, &engines, &faces)?;
    engines.forge.sweep_lfs_periodically();
    let listeners = listeners.answering(start.faces);
    listeners.serve(&start.settings, &engines, &faces, &tasks, &shutdown, ids.as_ref());
    let status =
        Arc::new(Status::new(&start.dir, &addresses, &engines, jobs.broker.clone(), &faces, &shutdown));
    let socket = answer_commands(&mut start, &engines, &faces, status)?;
    let ready = start.ready_file.as_deref().map(|path| ReadyFile::write(path, &addresses)).transpose();
    let ready = ready.map_err(|error| Failure::failed("writing the ready file", &error))?;
    let transcript = Transcript::new(&start, &engines, &addresses, has_users);
    let greeting = Answer::Text(transcript.to_string(), json!({ "listening": addresses }));
    output::print(&greeting, start.format)
        .map_err(|error| Failure::failed("writing to standard output", &error))?;
    let (layers, place, flags) = (start.layers, start.place, start.flags);
    shutdown.on_reload(move || reload::reload(&layers, &place, &flags));
    let drained =
        tokio::join!(shutdown.run(signals), announce_drain(&shutdown, &faces, start.settings.server.drain)).0;
    drop(ready);
    if let Some(ids) = ids {
        ids.stop().await;
    }
    jobs.stop().await;
    engines.stop().await;
    tasks.drain(AFTERWARDS).await;
    drop(socket);
    drop(start.lock);
    log.flush();
    note(&match drained.cut {
        0 => "stopped: everything was finished".to_owned(),
        n => format!("stopped: {n} cut"),
    });
    Ok(Answer::Silent)
}

/// Opens the admin socket and names it in the lock.
fn answer_commands(
    start: &mut Start,
    engines: &Engines,
    faces: &Tasks,
    status: Arc<Status>,
) -> Result<SocketPath, Failure> {
    let failed = |error: std::io::Error| Failure::failed("opening the admin socket", &error);
    let runtime_dir = environment::runtime_directory();
    let socket =
        SocketPath::choose(&start.dir, runtime_dir.as_deref(), start.lock.former()).map_err(failed)?;
    let listener = admin_socket::bind(socket.path()).map_err(failed)?;
    start.lock.publish_socket(socket.path()).map_err(failed)?;
    let forge = engines.forge.clone();
    let run = move |request, steps| {
        let (forge, status) = (forge.clone(), status.clone());
        async move {
            match request {
                Request::Run { command } => crate::administer::run_on(&forge, command, steps).await,
                Request::Status => Ok(status.answer()),
            }
        }
    };
    faces.spawn("admin_socket_accept", admin_socket::serve(listener, faces.clone(), run));
    Ok(socket)
}

/// Says, when the end was asked for, what is still running and how long it may go on.
async fn announce_drain(shutdown: &Shutdown, faces: &Tasks, limit: Duration) {
    shutdown.draining().await;
    let asked = Instant::now();
    // Listeners and idle connections leave at once; what is left is work.
    let _ = tokio::time::timeout(Duration::from_millis(100), faces.empty()).await;
    let n_running = faces.live();
    if n_running > 0 {
        let left = limit.saturating_sub(asked.elapsed()).as_secs();
        note(&format!("stopping: {n_running} running, up to {left} s to finish (a second signal cuts them)"));
    }
}

fn refused(error: &LockError) -> Failure {
    match error {
        LockError::Held(_) => Failure::refused(error.to_string()).with_hint(
            "hakata status asks it how it does; another server needs its own --data and a shared PostgreSQL or MySQL",
        ),
        LockError::Io(_) => Failure::failed("starting", error),
    }
}

impl Service {
    /// Takes the listeners of this service.
    fn choose(self, listen: &Listen) -> Result<Listen, Failure> {
        let mut listen = listen.clone();
        if matches!(self, Self::Rpc | Self::Worker) {
            listen.http = None;
            listen.ssh = None;
            return Ok(listen);
        }
        if self == Self::Ssh {
            listen.http = None;
        }
        if matches!(self, Self::Http | Self::Lfs) {
            listen.ssh = None;
        }
        match (&listen.http, &listen.ssh) {
            (None, None) => Err(Failure::usage("every listener of this service is off")
                .with_hint("set http.address or ssh.address")),
            _ => Ok(listen),
        }
    }
}

impl Service {
    /// Tells what is answered over HTTP.
    fn faces(self) -> Faces {
        if self == Self::Lfs { Faces::Lfs } else { Faces::All }
    }

    /// Tells whether a process works at jobs; `run` is what the configuration says of one that serves everything.
    fn works(self, run: bool) -> bool {
        match self {
            Self::Everything => run,
            Self::Worker => true,
            Self::Http | Self::Lfs | Self::Ssh | Self::Rpc => false,
        }
    }

    /// Takes the listeners for other programs, if this service has them.
    fn choose_rpc(self, settings: &mut Settings) -> Result<(), Failure> {
        match self {
            Self::Everything => Ok(()),
            Self::Rpc if settings.rpc.is_on() => Ok(()),
            Self::Rpc => Err(Failure::usage("every listener of this service is off")
                .with_hint("set rpc.grpc or rpc.msgpack, and rpc.tokens")),
            Self::Http | Self::Lfs | Self::Ssh | Self::Worker => {
                settings.rpc.grpc = None;
                settings.rpc.msgpack = None;
                Ok(())
            }
        }
    }
}

impl ServeArgs {
    /// The flags that are keys of the configuration.
    fn settings(&self) -> Vec<Setting> {
        let flags = [
            ("http.address", "--http", &self.http),
            ("ssh.address", "--ssh", &self.ssh),
            ("admin.address", "--admin", &self.admin),
        ];
        let given = flags.into_iter().filter_map(|(key, flag, address)| Some((key, flag, address.as_ref()?)));
        given
            .map(|(key, flag, address)| Setting { key: key.to_owned(), value: address.to_string(), flag })
            .collect()
    }
}
