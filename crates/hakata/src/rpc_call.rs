//! `hakata rpc call`: one operation, by any route, for people and scripts.

use crate::administer;
use crate::cli::{CallArgs, Place, RouteName};
use crate::compose::{self, Engines};
use crate::config::{Layers, Settings};
use crate::output::{Answer, Exit, Failure};
use futures_util::StreamExt;
use hakata_rpc::{Call, Code, Operation, Operations, Status, StreamRpc, UnaryRpc, Visitor, grpc, msgpack};
use hakata_runtime::tasks::Tasks;
use hakata_service::listener::Address;
use serde::Serialize;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a server may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the tasks of this process may take to finish after the call.
const AFTERWARDS: Duration = Duration::from_secs(10);

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
    let settings = layers.settings(layers.data());
    let runtime = compose::runtime(&settings.server)?;
    let called = match args.route {
        RouteName::Local => {
            let (lock, dir) = administer::claim(layers.data())?;
            let settings = layers.settings(dir.path());
            let called = runtime.block_on(here(operation, args, &settings));
            drop(lock);
            called
        }
        RouteName::Grpc | RouteName::Msgpack => runtime.block_on(there(operation, args, &settings)),
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    called.map(|()| Answer::Silent)
}

/// Asks the repositories of this process.
async fn here(operation: Operation, args: &CallArgs, settings: &Settings) -> Result<(), Failure> {
    let tasks = Tasks::new();
    let engines = Engines::start(settings, &tasks).await?;
    let local: Arc<dyn Operations> = Arc::new(engines.operations(&settings.rpc.server));
    let called = call(operation, args, local).await;
    engines.stop().await;
    tasks.drain(AFTERWARDS).await;
    called
}

/// Asks a server.
async fn there(operation: Operation, args: &CallArgs, settings: &Settings) -> Result<(), Failure> {
    let tasks = Tasks::new();
    let token = settings.rpc.tokens.first().cloned();
    let to: Arc<dyn Operations> = match args.route {
        RouteName::Msgpack => Arc::new(msgpack::Msgpack::lazy(
            msgpack::Endpoint {
                address: address(args, &settings.rpc.msgpack, "rpc.msgpack")?,
                token,
                connect_timeout: CONNECT,
                n_connections: 1,
                max_answer_bytes: settings.rpc.server.max_answer_bytes.saturating_add(1 << 20),
            },
            tasks.clone(),
        )),
        _ => {
            let address = address(args, &settings.rpc.grpc, "rpc.grpc")?;
            let endpoint = grpc::Endpoint {
                url: format!("http://{address}"),
                token,
                tls: None,
                connect_timeout: CONNECT,
                keepalive: CONNECT,
            };
            Arc::new(
                grpc::Grpc::lazy(&endpoint)
                    .map_err(|error| Failure::failed("reaching the server", &error))?,
            )
        }
    };
    let called = call(operation, args, to).await;
    tasks.cut().await;
    called
}

fn address(args: &CallArgs, configured: &Option<Address>, key: &str) -> Result<String, Failure> {
    match (&args.to, configured) {
        (Some(to), _) => Ok(to.clone()),
        (None, Some(address)) => Ok(address.to_string()),
        (None, None) => Err(Failure::usage(format!("{key} is off, and --to says nothing else"))),
    }
}

async fn call(operation: Operation, args: &CallArgs, to: Arc<dyn Operations>) -> Result<(), Failure> {
    let call = Call { actor: args.actor, ..Call::default() };
    operation.visit(Print { to, call, request: &args.request })?.await
}

/// Prints what comes.
struct Print<'a> {
    to: Arc<dyn Operations>,
    call: Call,
    request: &'a str,
}

type Printing = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

impl Visitor for Print<'_> {
    type Output = Result<Printing, Failure>;

    fn unary<R: UnaryRpc>(self) -> Self::Output {
        let request = read::<R::Request>(self.request)?;
        let answer = R::invoke(&*self.to, self.call, request);
        Ok(Box::pin(async move { print(&answer.await.map_err(|status| refused(&status))?) }))
    }

    fn stream<R: StreamRpc>(self) -> Self::Output {
        let request = read::<R::Request>(self.request)?;
        let answers = R::invoke(&*self.to, self.call, request);
        Ok(Box::pin(async move {
            let mut answers = answers;
            while let Some(part) = answers.next().await {
                print(&part.map_err(|status| refused(&status))?)?;
            }
            Ok(())
        }))
    }
}

fn read<T: serde::de::DeserializeOwned>(request: &str) -> Result<T, Failure> {
    serde_json::from_str(request).map_err(|error| Failure::usage(format!("reading the request: {error}")))
}

fn print(part: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(part).map_err(|error| Failure::failed("writing the answer", &error))?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).map_err(|error| Failure::failed("writing the answer", &error))
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
