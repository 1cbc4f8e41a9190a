//! The client that callers hold: it chooses a route for each call.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use hakata_runtime::secret::random_bytes;
use hakata_runtime::tasks::Tasks;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::call::{Answers, Call, Pending};
use crate::grpc::Grpc;
use crate::metrics::{CALLS, FALLBACKS, Outcome, RETRIES, SECONDS};
use crate::msgpack::Msgpack;
use crate::operation::{Rpc, StreamRpc, Transport, UnaryRpc};
use crate::route::{Plan, Route, Routes, RoutesError, Table};
use crate::status::{Code, Origin, Status};
use crate::v1::{Operation, Operations};

mod breaker;
mod shadow;

use breaker::Breaker;
use shadow::Tee;

/// Calls that a reader makes at most before it gives up or falls back.
const MAX_ATTEMPTS: u32 = 3;

/// The pause before the second attempt; each further one waits twice as long, up to half as much more by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

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

/// Answers operations by asking whom the configuration names; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ends: Ends,
    table: RwLock<Arc<Table>>,
    breakers: Vec<Breaker>,
    tasks: Tasks,
    shadows: Arc<Semaphore>,
}

impl Client {
    /// Makes a client. Comparisons with second routes run in `tasks`.
    ///
    /// # Errors
    /// If the routes are wrong.
    pub fn new(ends: Ends, routes: &Routes, tasks: Tasks) -> Result<Self, RoutesError> {
        let table = RwLock::new(Arc::new(Table::new(routes, &ends.configured())?));
        let breakers = Operation::ALL.iter().map(|_| Breaker::default()).collect();
        let shadows = Arc::new(Semaphore::new(MAX_SHADOWS));
        Ok(Self(Arc::new(Inner { ends, table, breakers, tasks, shadows })))
    }

    /// Lets all further calls take these routes; calls on their way are not disturbed.
    ///
    /// # Errors
    /// If the routes are wrong; then those before stay.
    pub fn set_routes(&self, routes: &Routes) -> Result<(), RoutesError> {
        let table = Arc::new(Table::new(routes, &self.0.ends.configured())?);
        *self.0.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        Ok(())
    }

    fn plan(&self, operation: Operation) -> Plan {
        self.0.table.read().unwrap_or_else(PoisonError::into_inner).plan(operation)
    }

    fn breaker(&self, operation: Operation) -> &Breaker {
        &self.0.breakers[operation as usize]
    }

    /// Asks until somebody answers: the planned route some times, then the one that stands in. `ask` says what came of
    /// one attempt.
    async fn attempts<T, F: Future<Output = Result<T, Status>>>(
        &self,
        of: Operation,
        call: &Call,
        ask: impl Fn(Route) -> F,
    ) -> Result<T, Status> {
        let plan = self.plan(of);
        let route = picked(plan);
        let stand_in = plan.fallback.filter(|fallback| *fallback != route);
        if let Some(stand_in) = stand_in
            && self.breaker(of).is_open()
        {
            FALLBACKS.get(of).inc();
            return counted(of, stand_in, ask(stand_in)).await;
        }
        let n_attempts = if of.reads() { MAX_ATTEMPTS } else { 1 };
        let mut n = 1;
        let failed = loop {
            match counted(of, route, ask(route)).await {
                Err(status) if status.origin == Origin::Transport => {
                    self.breaker(of).failed();
                    let pause = pause(n);
                    let late = call.deadline.is_some_and(|deadline| Instant::now() + pause > deadline);
                    if n == n_attempts || late {
                        break status;
                    }
                    tokio::time::sleep(pause).await;
                    RETRIES.get(of).inc();
                    n += 1;
                }
                answer => {
                    self.breaker(of).answered();
                    return answer;
                }
            }
        };
        match stand_in {
            Some(stand_in) => {
                tracing::warn!(operation = of.key(), %route, %stand_in, error = %failed, "rpc route is broken");
                FALLBACKS.get(of).inc();
                counted(of, stand_in, ask(stand_in)).await
            }
            None => Err(failed),
        }
    }
}

/// Counts one attempt.
async fn counted<T>(
    of: Operation,
    route: Route,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let begun = Instant::now();
    let answer = answer.await;
    SECONDS.get(route).observe_duration(begun.elapsed());
    CALLS.get((of, route, answer.as_ref().map_or_else(Outcome::of, |_| Outcome::OK))).inc();
    answer
}

/// Chooses one route for a call.
fn picked(plan: Plan) -> Route {
    match plan.canary {
        Some(canary) if u32::from_le_bytes(random_bytes()) % 100 < u32::from(canary.percent) => canary.to,
        _ => plan.route,
    }
}

/// The pause before another attempt.
fn pause(n: u32) -> Duration {
    let pause = FIRST_PAUSE * 2u32.pow(n - 1);
    pause + pause * u32::from(random_bytes::<1>()[0]) / 512
}

impl Ends {
    fn configured(&self) -> Vec<Route> {
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

/// The beginning of an answer in parts, and what follows.
type Begun<T> = (Option<T>, Answers<T>);

impl Transport for Client {
    fn unary<R: UnaryRpc>(&self, call: Call, request: R::Request) -> Pending<R::Response> {
        let client = self.clone();
        Box::pin(async move {
            let of = R::OPERATION;
            let ask = |route| client.0.ends.unary::<R>(route, call.clone(), request.clone());
            let answer = client.attempts(of, &call, ask).await;
            if let Some(second) = client.plan(of).shadow {
                let mut tee = Tee::new(&client.0, second);
                tee.saw(&answer);
                tee.compare_unary::<R>(call, request);
            }
            answer
        })
    }

    fn stream<R: StreamRpc>(&self, call: Call, request: R::Request) -> Answers<R::Response> {
        let client = self.clone();
        let answers = stream::once(async move {
            let of = R::OPERATION;
            let ask = |route| begin(client.0.ends.stream::<R>(route, call.clone(), request.clone()));
            let begun = client.attempts(of, &call, ask).await;
            let answers: Answers<R::Response> = match begun {
                Ok((first, rest)) => Box::pin(stream::iter(first.map(Ok)).chain(rest)),
                Err(status) => Box::pin(stream::iter([Err(status)])),
            };
            match client.plan(of).shadow {
                Some(second) => Tee::new(&client.0, second).follow::<R>(answers, call, request),
                None => answers,
            }
        });
        Box::pin(answers.flatten())
    }
}

/// Waits for the first part: until it came, another route can still be taken.
async fn begin<T: Send + 'static>(mut answers: Answers<T>) -> Result<Begun<T>, Status> {
    let first = answers.next().await.transpose()?;
    Ok((first, answers))
}

/// Says which operation a type is, for log lines.
pub(crate) fn key<R: Rpc>() -> &'static str {
    R::OPERATION.key()
}

#[cfg(test)]
mod tests;
