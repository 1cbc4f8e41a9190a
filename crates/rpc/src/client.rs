//! The client that callers hold: it chooses a route for each call.
//!
//! What goes wrong on the way is its business, what the operation says is not: an error of the transport is met by
//! asking again, then by the route that stands in; a refusal is an answer. A change is asked again only under the
//! same idempotency key, and only where it was asked first, so that it happens once.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::stream;
use hakata_runtime::secret::random_bytes;
use hakata_runtime::tasks::Tasks;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::call::{Answers, Call, Pending, Requests};
use crate::grpc::Grpc;
use crate::metrics::{CONFIGURED, Configured};
use crate::msgpack::Msgpack;
use crate::operation::{Rpc, StreamRpc, Transport, UnaryRpc, UploadRpc};
use crate::route::{Plan, Route, Routes, RoutesError, Table};
use crate::status::{Code, Status};
use crate::v1::{Operation, Operations};

mod attempts;
mod breaker;
mod lent;
mod resume;
mod shadow;

use breaker::Breakers;
use lent::{Lent, Loan};
use shadow::Tee;

/// Comparisons with a second route that run at once; more are skipped and counted.
const MAX_SHADOWS: usize = 32;

/// Those who can answer.
#[derive(Clone, Default)]
pub struct Ends {
    /// In this process.
    pub local: Option<Arc<dyn Operations>>,
    /// Over gRPC.
    pub grpc: Option<Grpc>,
    /// Over MessagePack-RPC.
    pub msgpack: Option<Msgpack>,
}

/// How hard a client tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a call may take whose caller says nothing else.
    pub deadline: Duration,
    /// Calls of one route at most, before the client gives up or another route stands in.
    pub max_attempts: u32,
    /// The pause before the second attempt; each further one waits twice as long, up to half as much more by chance.
    pub first_pause: Duration,
    /// Errors of the transport in a row after which a route has a rest, if another can stand in.
    pub max_failures: u32,
    /// How long it rests before one call tries it again.
    pub rest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(120),
            max_attempts: 3,
            first_pause: Duration::from_millis(20),
            max_failures: 3,
            rest: Duration::from_secs(5),
        }
    }
}

/// Answers operations by asking whom the configuration names; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: RwLock<Arc<State>>,
    breakers: Breakers,
    tasks: Tasks,
    shadows: Arc<Semaphore>,
}

/// What one call goes by from its beginning to its end.
#[derive(Debug)]
struct State {
    ends: Ends,
    table: Table,
    settings: Settings,
}

impl State {
    fn new(ends: Ends, routes: &Routes, settings: Settings) -> Result<Arc<Self>, RoutesError> {
        let table = Table::new(routes, &ends.configured())?;
        Ok(Arc::new(Self { ends, table, settings }))
    }

    fn plan(&self, operation: Operation) -> Plan {
        self.table.plan(operation)
    }
}

impl Client {
    /// Returns it as the contract; all operations are compiled here, not where it is called.
    pub fn operations(&self) -> Arc<dyn Operations> {
        Arc::new(self.clone())
    }

    /// Makes a client. Comparisons with second routes run in `tasks`.
    ///
    /// # Errors
    /// If the routes are wrong.
    pub fn new(ends: Ends, routes: &Routes, settings: Settings, tasks: Tasks) -> Result<Self, RoutesError> {
        let state = RwLock::new(State::new(ends, routes, settings)?);
        let shadows = Arc::new(Semaphore::new(MAX_SHADOWS));
        Ok(Self(Arc::new(Inner { state, breakers: Breakers::default(), tasks, shadows })))
    }

    /// Lets all further calls ask these by these routes; calls on their way are not disturbed.
    ///
    /// # Errors
    /// If the routes are wrong; then everything stays as it was.
    pub fn configure(&self, ends: Ends, routes: &Routes, settings: Settings) -> Result<(), RoutesError> {
        let state = State::new(ends, routes, settings);
        let outcome = if state.is_ok() { Configured::Applied } else { Configured::Refused };
        CONFIGURED.get(outcome).inc();
        *self.0.state.write().unwrap_or_else(PoisonError::into_inner) = state?;
        Ok(())
    }

    /// Lets all further calls take these routes, to those who answered before.
    ///
    /// # Errors
    /// If the routes are wrong; then those before stay.
    pub fn set_routes(&self, routes: &Routes) -> Result<(), RoutesError> {
        let state = self.state();
        self.configure(state.ends.clone(), routes, state.settings)
    }

    /// Counts a configuration that could not even be read; everything stays as it was.
    pub fn keep(&self) {
        CONFIGURED.get(Configured::Refused).inc();
    }

    fn state(&self) -> Arc<State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    /// Sees to what every call has: a deadline, and a name if it changes something.
    fn complete(&self, of: Operation, mut call: Call) -> Call {
        call.deadline.get_or_insert_with(|| Instant::now() + self.settings.deadline);
        if !of.reads() {
            call.idempotency_key.get_or_insert_with(new_key);
        }
        call
    }
}

/// Makes a name for a change that its caller gave none.
fn new_key() -> String {
    format!("{:032x}", u128::from_le_bytes(random_bytes()))
}

impl Ends {
    /// Lists the routes that lead to somebody.
    pub fn configured(&self) -> Vec<Route> {
        let there = [
            self.local.as_ref().map(|_| Route::Local),
            self.grpc.as_ref().map(|_| Route::Grpc),
            self.msgpack.as_ref().map(|_| Route::Msgpack),
        ];
        there.into_iter().flatten().collect()
    }

    pub(crate) fn unary<R: UnaryRpc>(
        &self,
        to: Route,
        call: Call,
        request: R::Request,
    ) -> Pending<R::Response> {
        let answer = match to {
            Route::Local => self.local.as_ref().map(|end| R::invoke(&**end, call, request)),
            Route::Grpc => self.grpc.as_ref().map(|end| end.unary::<R>(call, request)),
            Route::Msgpack => self.msgpack.as_ref().map(|end| end.unary::<R>(call, request)),
        };
        answer.unwrap_or_else(|| Box::pin(async move { Err(unconfigured(to)) }))
    }

    pub(crate) fn stream<R: StreamRpc>(
        &self,
        to: Route,
        call: Call,
        request: R::Request,
    ) -> Answers<R::Response> {
        let answer = match to {
            Route::Local => self.local.as_ref().map(|end| R::invoke(&**end, call, request)),
            Route::Grpc => self.grpc.as_ref().map(|end| end.stream::<R>(call, request)),
            Route::Msgpack => self.msgpack.as_ref().map(|end| end.stream::<R>(call, request)),
        };
        answer.unwrap_or_else(|| Box::pin(stream::once(async move { Err(unconfigured(to)) })))
    }

    pub(crate) fn upload<R: UploadRpc>(
        &self,
        to: Route,
        call: Call,
        request: Requests<R::Request>,
    ) -> Pending<R::Response> {
        let answer = match to {
            Route::Local => self.local.as_ref().map(|end| R::invoke(&**end, call, request)),
            Route::Grpc => self.grpc.as_ref().map(|end| end.upload::<R>(call, request)),
            Route::Msgpack => self.msgpack.as_ref().map(|end| end.upload::<R>(call, request)),
        };
        answer.unwrap_or_else(|| Box::pin(async move { Err(unconfigured(to)) }))
    }
}

/// Cannot come up: tables only name ends that are there.
fn unconfigured(route: Route) -> Status {
    Status::new(Code::Internal, format!("nothing is configured for the route {route}"))
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.configured()).finish()
    }
}

impl Transport for Client {
    fn unary<R: UnaryRpc>(&self, call: Call, request: R::Request) -> Pending<R::Response> {
        let (client, state) = (self.clone(), self.state());
        let call = state.complete(R::OPERATION, call);
        Box::pin(async move {
            let of = R::OPERATION;
            let ask = |route| state.ends.unary::<R>(route, call.clone(), request.clone());
            let answer = client.attempts(&state, of, &call, ask).await;
            if let Some(second) = state.plan(of).shadow {
                let mut tee = Tee::new(&client.0, &state, second);
                tee.saw(&answer);
                tee.compare_unary::<R>(call, request);
            }
            answer
        })
    }

    fn stream<R: StreamRpc>(&self, call: Call, request: R::Request) -> Answers<R::Response> {
        let (client, state) = (self.clone(), self.state());
        let call = state.complete(R::OPERATION, call);
        let second = state.plan(R::OPERATION).shadow;
        let answers = resume::resumed::<R>(client.clone(), state.clone(), call.clone(), request.clone());
        match second {
            Some(second) => Tee::new(&client.0, &state, second).follow::<R>(answers, call, request),
            None => answers,
        }
    }

    fn upload<R: UploadRpc>(&self, call: Call, request: Requests<R::Request>) -> Pending<R::Response> {
        let (client, state) = (self.clone(), self.state());
        let call = state.complete(R::OPERATION, call);
        Box::pin(async move {
            let parts = Lent::new(request).await?;
            let ask = |route| {
                let Loan { requests, extent } = parts.lend();
                let answer = state.ends.upload::<R>(route, call.clone(), requests);
                async move { answer.await.map_err(|status| extent.explain(status)) }
            };
            client.attempts(&state, R::OPERATION, &call, ask).await
        })
    }
}

/// Says which operation a type is, for log lines.
pub(crate) fn key<R: Rpc>() -> &'static str {
    R::OPERATION.key()
}

#[cfg(test)]
mod tests;
