//! When a route is given a rest.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Errors of the transport in a row after which the route rests.
const MAX_FAILURES: u32 = 3;

/// How long it rests before one call tries it again.
const REST: Duration = Duration::from_secs(5);

/// Counts how a route does for one operation.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    n_failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Says whether the route rests. After the rest one caller is let through; if that fails, it rests again.
    pub(super) fn is_open(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.until {
            Some(until) if Instant::now() < until => true,
            Some(_) => {
                state.until = Some(Instant::now() + REST);
                false
            }
            None => false,
        }
    }

    /// The route answered.
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The route did not.
    pub(super) fn failed(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.n_failures += 1;
        if state.n_failures >= MAX_FAILURES {
            state.until = Some(Instant::now() + REST);
        }
    }
}
