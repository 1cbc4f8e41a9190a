//! Asking until somebody answers.

use hakata_runtime::secret::random_bytes;
use std::time::Duration;
use tokio::time::Instant;

use super::{Client, State};
use crate::call::Call;
use crate::metrics::{CALLS, FALLBACKS, Outcome, RETRIES, SECONDS};
use crate::route::{Plan, Route};
use crate::status::{Origin, Status};
use crate::v1::Operation;

impl Client {
    /// Asks until somebody answers: the planned route some times, then the one that stands in. `ask` says what came of
    /// one attempt.
    pub(super) async fn attempts<T, F: Future<Output = Result<T, Status>>>(
        &self,
        state: &State,
        of: Operation,
        call: &Call,
        ask: impl Fn(Route) -> F,
    ) -> Result<T, Status> {
        let plan = state.plan(of);
        let route = picked(plan);
        let stand_in = plan.fallback.filter(|fallback| *fallback != route);
        let breaker = self.0.breakers.get(of, route);
        if let Some(stand_in) = stand_in
            && breaker.rests(state.settings.rest)
        {
            FALLBACKS.get(of).inc();
            return counted(of, stand_in, ask(stand_in)).await;
        }
        let mut n = 1;
        let failed = loop {
            match counted(of, route, ask(route)).await {
                Err(status) if status.origin == Origin::Transport => {
                    breaker.failed(&state.settings, stand_in.is_some());
                    let pause = pause(state.settings.first_pause, n);
                    let late = call.deadline.is_some_and(|deadline| Instant::now() + pause > deadline);
                    let rests = stand_in.is_some() && breaker.is_open();
                    if n >= state.settings.max_attempts || late || rests {
                        break status;
                    }
                    tokio::time::sleep(pause).await;
                    RETRIES.get(of).inc();
                    n += 1;
                }
                answer => {
                    breaker.answered();
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
fn pause(first: Duration, n: u32) -> Duration {
    let pause = first.saturating_mul(2u32.saturating_pow(n - 1));
    pause.saturating_add(pause.saturating_mul(u32::from(random_bytes::<1>()[0])) / 512)
}
