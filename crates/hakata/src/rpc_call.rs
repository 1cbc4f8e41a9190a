//! `hakata rpc call`: operations, by any route, for people and scripts.

use crate::administer;
use crate::cli::{CallArgs, Place, RouteName};
use crate::compose::{self, Engines};
use crate::config::{Layers, Settings};
use crate::data_dir::Lock;
use crate::output::{Answer, Exit, Failure};
use crate::rpc_client::{self, Follow};
use futures_util::StreamExt;
use hakata_rpc::{Call, Code, Operation, Operations, Route, Routes, Status, json};
use hakata_runtime::tasks::Tasks;
use hakata_runtime::thread::Thread;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the tasks of this process may take to finish after the call.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// What stands for a request that is read from standard input.
const FROM_INPUT: &str = "-";

/// Calls an operation and prints its answer.
pub(crate) fn run(args: &CallArgs, place: &Place) -> Result<Answer, Failure> {
    let Some(name) = &args.operation else {
        let keys: Vec<_> = Operation::ALL.iter().map(|operation| operation.key()).collect();
        return Ok(Answer::Text(keys.join("\n"), serde_json::json!({ "operations": keys })));
    };
    let operation = Operation::find(name).ok_or_else(|| {
        Failure::usage(format!("there is no operation {name:?}")).with_hint("hakata rpc call lists them")
    })?;
    let layers = Layers::read(place, &[])?;
    let mut settings = layers.settings(layers.data());
    choose(args, &mut settings);
    // One call says all there is to say by its answer.
    let is_many = args.request == FROM_INPUT;
    let _log = is_many.then(|| compose::start_log(&settings.log)).transpose()?;
    let runtime = compose::runtime(&settings.server)?;
    let here = Here::find(&settings, operation, args.route, &layers)?;
    let settings = match &here {
        Here::Claimed { settings, .. } => settings.as_ref(),
        _ => &settings,
    };
    let called = runtime.block_on(ask(operation, args, settings, &here, (place, &layers)));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(here);
    called.map(|()| Answer::Silent)
}

/// Lets flags win over the configuration.
fn choose(args: &CallArgs, settings: &mut Settings) {
    if let Some(to) = &args.to {
        settings.rpc_client.ask_at(to);
    }
    let route = args.route.or(args.to.as_ref().map(|_| RouteName::Grpc));
    if let Some(route) = route {
        settings.rpc_client.routes = Routes { default: route.into(), ..Routes::default() };
    }
}

/// Who answers for the repositories of the data directory.
enum Here {
    /// Nobody needs to.
    Elsewhere,
    /// This process, which claimed the directory; the settings say where it is.
    Claimed { _lock: Lock, settings: Box<Settings> },
    /// The server that owns the directory.
    Server,
}

impl Here {
    /// Claims the data directory if the operation may need it.
    fn find(
        settings: &Settings,
        operation: Operation,
        asked: Option<RouteName>,
        layers: &Layers,
    ) -> Result<Self, Failure> {
        if !settings.rpc_client.routes.of(operation).contains(&Route::Local) {
            return Ok(Self::Elsewhere);
        }
        match administer::claim(layers.data()) {
            Ok((lock, dir)) => {
                let mut own = layers.settings(dir.path());
                own.rpc_client = settings.rpc_client.clone();
                Ok(Self::Claimed { _lock: lock, settings: Box::new(own) })
            }
            Err(refused) if refused.exit == Exit::Refused && asked.is_none() && settings.rpc.is_on() => {
                Ok(Self::Server)
            }
            Err(failure) => Err(failure),
        }
    }
}

async fn ask(
    operation: Operation,
    args: &CallArgs,
    settings: &Settings,
    here: &Here,
    (place, layers): (&Place, &Layers),
) -> Result<(), Failure> {
    let tasks = Tasks::new();
    let mut engines = None;
    let local: Option<Arc<dyn Operations>> = match here {
        Here::Elsewhere => None,
        Here::Claimed { .. } => {
            let started = Engines::start(settings, &tasks).await?;
            let local = started.operations(&settings.rpc.server);
            engines = Some(started);
            Some(Arc::new(local))
        }
        Here::Server => Some(rpc_client::owner(&settings.rpc_client, &tasks)?),
    };
    let client = rpc_client::connect(&settings.rpc_client, local.clone(), &tasks)?;
    let is_configured = args.route.is_none() && args.to.is_none();
    if is_configured && args.request == FROM_INPUT {
        tasks.spawn("rpc.follow", Follow::new(&client, local, place, layers, &tasks).run());
    }
    let called = match args.request.as_str() {
        FROM_INPUT => each(operation, args, &*client.operations()).await,
        request => call(operation, args, request, &*client.operations()).await,
    };
    if let Some(engines) = engines {
        engines.stop().await;
    }
    tasks.drain(AFTERWARDS).await;
    called
}

/// Asks what each line of standard input says, in order; what is refused is printed among the answers.
async fn each(operation: Operation, args: &CallArgs, to: &dyn Operations) -> Result<(), Failure> {
    let mut n_failed = 0;
    let mut lines = input().map_err(|error| Failure::failed("reading standard input", &error))?;
    while let Some(line) = lines.recv().await {
        let request = line.map_err(|error| Failure::failed("reading standard input", &error))?;
        if let Err(failure) = call(operation, args, &request, to).await {
            n_failed += 1;
            print(&failure.to_json().to_string())?;
        }
    }
    match n_failed {
        0 => Ok(()),
        n => Err(Failure::new(Exit::Failed, "failed", format!("{n} of the calls failed"))),
    }
}

/// Reads lines on a thread of its own, which ends with the input or with the process.
fn input() -> std::io::Result<mpsc::Receiver<std::io::Result<String>>> {
    let (lines, read) = mpsc::channel(1);
    Thread::spawn("rpc_input", move || {
        for line in std::io::stdin().lock().lines() {
            if line.as_ref().is_ok_and(|line| line.trim().is_empty()) {
                continue;
            }
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(read)
}

async fn call(
    operation: Operation,
    args: &CallArgs,
    request: &str,
    to: &dyn Operations,
) -> Result<(), Failure> {
    let call = Call { actor: args.actor, ..Call::default() };
    let asked = json::ask(to, operation, call, request);
    let mut parts = asked.map_err(|error| Failure::usage(format!("reading the request: {error}")))?;
    while let Some(part) = parts.next().await {
        print(&part.map_err(|status| refused(&status))?)?;
    }
    Ok(())
}

impl From<RouteName> for Route {
    fn from(name: RouteName) -> Self {
        match name {
            RouteName::Local => Self::Local,
            RouteName::Grpc => Self::Grpc,
            RouteName::Msgpack => Self::Msgpack,
        }
    }
}

fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    written.map_err(|error| Failure::failed("writing the answer", &error))
}

fn refused(status: &Status) -> Failure {
    let exit = match status.code {
        Code::NotFound => Exit::NotFound,
        Code::InvalidArgument => Exit::Usage,
        Code::Unauthenticated | Code::PermissionDenied | Code::Aborted | Code::FailedPrecondition => {
            Exit::Refused
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, status.code.name(), status.message.clone())
}
