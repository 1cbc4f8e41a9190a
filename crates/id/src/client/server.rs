//! One server as its client sees it: connections kept for it, and whether it is left alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{AttemptError, Connection, Endpoint, Settings};

/// A server, its kept connections and its failures.
#[derive(Debug)]
pub(super) struct Server {
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Unused connections, the latest used last. Each was made under a turn, so they are as few as turns.
    kept: VecDeque<(Instant, Connection)>,
    /// Left alone until then.
    rests_until: Option<Instant>,
    /// How long the last rest was.
    rest: Duration,
}

impl Server {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, state: Mutex::new(State::default()) }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the server failed lately.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.state().rests_until.is_some_and(|until| now < until)
    }

    /// Takes the connection used last, if any is young enough and was not cut or written to meanwhile.
    pub(super) fn take(&self, max_idle: Duration) -> Option<Connection> {
        let mut state = self.state();
        let oldest = Instant::now().checked_sub(max_idle);
        state.kept.retain(|(used, _)| oldest.is_none_or(|oldest| *used >= oldest));
        std::iter::from_fn(|| state.kept.pop_back()).map(|(_, kept)| kept).find(Connection::is_quiet)
    }

    /// Takes a connection back after a whole reply: the server is well.
    pub(super) fn keep(&self, connection: Connection) {
        let mut state = self.state();
        if state.rests_until.take().is_some() {
            tracing::info!(server = %self.endpoint, "id server answers again");
        }
        state.rest = Duration::ZERO;
        state.kept.push_back((Instant::now(), connection));
    }

    /// Closes what is kept: after a restart of the server all of it is cut.
    pub(super) fn forget_kept(&self) {
        self.state().kept.clear();
    }

    /// Leaves the server alone, twice as long as the last time.
    pub(super) fn rest(&self, settings: &Settings, error: &AttemptError) {
        let (first, longest) = settings.back_off;
        let mut state = self.state();
        let now = Instant::now();
        state.kept.clear();
        // Requests that were under way together fail together: that is one failure.
        if state.rests_until.is_some_and(|until| now < until) {
            return;
        }
        if state.rest.is_zero() {
            tracing::warn!(server = %self.endpoint, error = %Chain(error), "id server left alone for a while");
        }
        state.rest = if state.rest.is_zero() { first } else { state.rest * 2 }.min(longest);
        state.rests_until = Some(now + state.rest);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error and its causes in one line.
struct Chain<'a>(&'a AttemptError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = std::error::Error::source(self.0);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
