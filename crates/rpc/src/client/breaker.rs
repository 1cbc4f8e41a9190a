//! When a route is given a rest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Settings;
use crate::metrics::{RESTING, RESTS};
use crate::route::Route;
use crate::v1::Operation;

/// One for each operation and route.
#[derive(Debug)]
pub(super) struct Breakers(Vec<Breaker>);

/// Counts how a route does for one operation.
#[derive(Debug)]
pub(super) struct Breaker {
    operation: Operation,
    route: Route,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    n_failures: u32,
    until: Option<Instant>,
}

impl Default for Breakers {
    fn default() -> Self {
        let each = |operation: &Operation| Route::ALL.map(|route| Breaker::new(*operation, route));
        Self(Operation::ALL.iter().flat_map(each).collect())
    }
}

impl Breakers {
    pub(super) fn get(&self, operation: Operation, route: Route) -> &Breaker {
        &self.0[operation as usize * Route::ALL.len() + route as usize]
    }
}

impl Breaker {
    fn new(operation: Operation, route: Route) -> Self {
        Self { operation, route, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the route rests. After the rest one caller is let through; if that fails, it rests again.
    pub(super) fn rests(&self, rest: Duration) -> bool {
        let mut state = self.lock();
        match state.until {
            Some(until) if Instant::now() < until => true,
            Some(_) => {
                state.until = Some(Instant::now() + rest);
                false
            }
            None => false,
        }
    }

    /// Says whether it rests, without a try.
    pub(super) fn is_open(&self) -> bool {
        self.lock().until.is_some()
    }

    /// The route answered.
    pub(super) fn answered(&self) {
        let before = std::mem::take(&mut *self.lock());
        if before.until.is_some() {
            RESTING.get(self.route).add(-1);
            tracing::info!(operation = self.operation.key(), route = %self.route, "rpc route answers again");
        }
    }

    /// The route did not. Only where another can stand in does it get a rest.
    pub(super) fn failed(&self, settings: &Settings, is_replaced: bool) {
        let mut state = self.lock();
        state.n_failures = state.n_failures.saturating_add(1);
        if is_replaced && state.n_failures >= settings.max_failures {
            if state.until.is_none() {
                RESTS.get((self.operation, self.route)).inc();
                RESTING.get(self.route).add(1);
            }
            state.until = Some(Instant::now() + settings.rest);
        }
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if self.lock().until.is_some() {
            RESTING.get(self.route).add(-1);
        }
    }
}
