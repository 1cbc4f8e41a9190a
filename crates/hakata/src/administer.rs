//! Administrative commands: in this process when the data directory is free, else by the server that owns it.

mod answer;

pub(crate) use answer::{answer, failure, step};

use crate::admin_socket::server::Steps;
use crate::admin_socket::{Request, client};
use crate::cli::Place;
use crate::compose::Engines;
use crate::config::Layers;
use crate::data_dir::{DataDir, Holder, Lock, LockError, Role, SocketPath};
use crate::output::{Answer, Exit, Failure, Progress};
use hakata_forge::{Forge, admin};
use hakata_runtime::tasks::Tasks;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a command waits for another command, or for a server that is still starting.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a waiting command looks again.
const PAUSE: Duration = Duration::from_millis(25);
/// How long the tasks of a command in this process may take to finish after it.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// Who carries a command out.
enum Door {
    /// This process: nobody else is there.
    Ours(Lock),
    /// The server at the other end.
    Server(UnixStream),
}

/// Runs an administrative command.
pub(crate) fn run(command: admin::Command, place: &Place) -> Result<Answer, Failure> {
    let layers = Layers::read(place, &[])?;
    let dir = open_data(layers.data(), &command)?;
    let is_path = matches!(command, admin::Command::Repo(admin::RepoCommand::Path { .. }));
    let answer = match knock(&dir)? {
        Door::Server(stream) => client::ask(stream, &Request::Run { command }, &mut Progress::new()),
        Door::Ours(_lock) => run_here(command, &layers, &dir),
    }?;
    match answer {
        // For scripts: `cd "$(hakata repo path o/n)"`.
        Answer::Text(text, object) if is_path => {
            let alone = object["directory"].as_str().map_or(text, str::to_owned);
            Ok(Answer::Text(alone, object))
        }
        answer => Ok(answer),
    }
}

/// Asks a running server how it does.
pub(crate) fn status(place: &Place) -> Result<Answer, Failure> {
    let layers = Layers::read(place, &[])?;
    let stopped = || {
        let message = format!("no server runs on {}", layers.data().display());
        Failure::new(Exit::NotFound, "not_found", message).with_hint("hakata serve starts one")
    };
    let dir = DataDir::open(layers.data()).map_err(|_| stopped())?;
    match knock(&dir)? {
        Door::Server(stream) => client::ask(stream, &Request::Status, &mut Progress::new()),
        Door::Ours(_) => Err(stopped()),
    }
}

/// Takes a data directory for this process, unless a server has it.
pub(crate) fn claim(path: &Path) -> Result<(Lock, DataDir), Failure> {
    let act = || format!("opening the data directory {}", path.display());
    let dir = DataDir::open(path).map_err(|error| Failure::failed(act(), &error))?;
    match knock(&dir)? {
        Door::Ours(lock) => Ok((lock, dir)),
        Door::Server(_) => Err(Failure::refused(format!("a server runs on {}", path.display()))
            .with_hint("ask it instead: --route grpc or --route msgpack")),
    }
}

/// Runs a command against the engines of this process; `steps` is told how far it is.
pub(crate) async fn run_on(forge: &Forge, command: admin::Command, steps: Steps) -> Result<Answer, Failure> {
    // A reader too slow for a step gets the next one: each says all there is to say.
    let mut note = |note: admin::Note| drop(steps.try_send(step(note)));
    admin::run(forge, command, &mut note).await.map(answer).map_err(|error| failure(&error))
}

/// Only the first account is made in a directory that does not exist yet: elsewhere its name is a slip of the pen.
fn open_data(path: &Path, command: &admin::Command) -> Result<DataDir, Failure> {
    let act = || format!("opening the data directory {}", path.display());
    if matches!(command, admin::Command::User(admin::UserCommand::Add { .. })) {
        return DataDir::open_or_create(path).map_err(|error| Failure::failed(act(), &error));
    }
    match DataDir::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("there is no data directory {}", path.display());
            Err(Failure::new(Exit::NotFound, "not_found", message)
                .with_hint("name it by --data DIR; hakata serve makes a new one"))
        }
        opened => opened.map_err(|error| Failure::failed(act(), &error)),
    }
}

/// Takes the lock, or reaches the server that has it; waits for what will soon be over.
fn knock(dir: &DataDir) -> Result<Door, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let holder = match Lock::try_take(dir, Role::Command) {
            Ok(lock) => {
                if let Some(former) = lock.former() {
                    SocketPath::remove_left_by(dir, former);
                }
                return Ok(Door::Ours(lock));
            }
            Err(LockError::Held(holder)) => holder,
            Err(error) => return Err(Failure::failed("starting the command", &error)),
        };
        if let Some(Holder { socket: Some(socket), role: Role::Server, .. }) = &holder
            && let Ok(stream) = UnixStream::connect(socket)
        {
            return Ok(Door::Server(stream));
        }
        if Instant::now() >= until {
            let failure = Failure::refused(LockError::Held(holder).to_string());
            return Err(failure.with_hint("wait until it is done, or look why it does not answer"));
        }
        std::thread::sleep(PAUSE);
    }
}

fn run_here(command: admin::Command, layers: &Layers, dir: &DataDir) -> Result<Answer, Failure> {
    let settings = layers.settings(dir.path());
    let runtime = crate::compose::runtime(&settings.server)?;
    let mut progress = Progress::new();
    runtime.block_on(async {
        let tasks = Tasks::new();
        let engines = Engines::start(&settings, &tasks).await?;
        let (steps, mut reports) = tokio::sync::mpsc::channel(16);
        let work = run_on(&engines.forge, command, steps);
        tokio::pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                Some(step) = reports.recv() => progress.show(&step),
                done = &mut work => break done,
            }
        };
        engines.stop().await;
        tasks.drain(AFTERWARDS).await;
        done
    })
}
