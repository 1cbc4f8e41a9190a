//! Lines on their way to the end of the log.
//!
//! Whoever logs only appends to a buffer; a thread of its own writes what has come together. A server that answers
//! thousands of requests a second thus makes some fifty writes a second for all their lines, and a reader of the log
//! that has stopped holds up no request: what it does not take is dropped and counted, since a log that nobody takes
//! must not stop the serving of git.
//!
//! ```text
//! push ──> buffer ──(20 ms, or an error, or half full)──> thread ──> standard error
//! ```

use hakata_runtime::metrics::{Counter, Metric};
use std::io::Write;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static DROPPED: Counter =
    Counter::new("hakata_log_lines_dropped_total", "Log lines that found no room since nobody took the log");

/// How long lines gather.
const NAP: Duration = Duration::from_millis(20);

/// How long whoever logs an error, or panics, waits until it is written.
pub(super) const ERROR_TIME: Duration = Duration::from_millis(100);

/// What a buffer keeps of its memory after a burst.
const KEPT_BYTES: usize = 256 << 10;

/// How soon a line must be out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// With others.
    Soon,
    /// Before its writer goes on: the process may be about to end.
    Now,
}

/// The lines that wait, and where they go.
pub(super) struct Queue {
    max_bytes: usize,
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
    out: Mutex<Box<dyn Write + Send>>,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Bytes taken in and written since the start.
    n_in: u64,
    n_out: u64,
    /// Lines dropped of which nothing is told yet.
    n_dropped: u64,
    rest: Rest,
    is_urgent: bool,
    /// Somebody waited in vain; nobody waits again before the next write ends.
    is_stuck: bool,
    is_closed: bool,
}

/// What the thread does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// It waits for the first line.
    #[default]
    Idle,
    /// It lets lines gather.
    Napping,
    /// It writes, and will look again.
    Writing,
}

impl Queue {
    /// Makes an empty queue of at most `max_bytes`.
    pub(super) fn new(max_bytes: usize, out: impl Write + Send + 'static) -> Self {
        Self {
            max_bytes,
            state: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
            out: Mutex::new(Box::new(out)),
        }
    }

    /// Takes in one line. An urgent one is out when this returns, unless nobody takes the log.
    pub(super) fn push(&self, line: &[u8], urgency: Urgency) {
        let mut state = self.state();
        if state.is_closed {
            drop(state);
            return self.write(line);
        }
        if state.lines.len() + line.len() > self.max_bytes {
            DROPPED.inc();
            state.n_dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        state.n_in += line.len() as u64;
        let waits = urgency == Urgency::Now && !state.is_stuck;
        let wakes = match state.rest {
            Rest::Idle => true,
            Rest::Napping => self.is_half_full(&state),
            Rest::Writing => false,
        };
        if state.rest == Rest::Idle {
            state.rest = Rest::Napping;
        }
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
        if waits && !self.flush(ERROR_TIME) {
            self.state().is_stuck = true;
        }
    }

    /// Waits until everything taken in until now is written; tells whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let mut state = self.state();
        let until = state.n_in;
        if state.n_out >= until {
            return true;
        }
        state.is_urgent = true;
        self.filled.notify_one();
        let waited = self.written.wait_timeout_while(state, limit, |state| state.n_out < until);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Writes lines until the queue is closed and empty; the work of the thread.
    pub(super) fn run(&self) {
        let mut lines = Vec::new();
        while let Some(n_dropped) = self.gather(&mut lines) {
            self.write(&lines);
            let n_written = lines.len() as u64;
            lines.clear();
            lines.shrink_to(KEPT_BYTES);
            let mut state = self.state();
            state.n_out += n_written;
            state.is_stuck = false;
            drop(state);
            self.written.notify_all();
            if n_dropped > 0 {
                tracing::warn!(
                    lines.dropped = n_dropped,
                    "log lines were dropped: they were not taken fast enough"
                );
            }
        }
    }

    /// Takes what is pushed from now on straight to the end.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.filled.notify_one();
    }

    /// Waits for lines and takes them; tells how many were dropped meanwhile. `None` when there will be no more.
    fn gather(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let mut state = self.state();
        state.rest = Rest::Idle;
        while state.lines.is_empty() {
            if state.is_closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.rest = Rest::Napping;
        let naps = |state: &mut State| !(state.is_urgent || state.is_closed || self.is_half_full(state));
        let napped = self.filled.wait_timeout_while(state, NAP, naps);
        state = napped.unwrap_or_else(PoisonError::into_inner).0;
        state.rest = Rest::Writing;
        state.is_urgent = false;
        mem::swap(lines, &mut state.lines);
        Some(mem::take(&mut state.n_dropped))
    }

    fn is_half_full(&self, state: &State) -> bool {
        state.lines.len() > self.max_bytes / 2
    }

    fn write(&self, lines: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to say that the log cannot be written.
        let _ = out.write_all(lines).and_then(|()| out.flush());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lists the metrics of the log.
pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&DROPPED]
}

#[cfg(test)]
pub(super) mod tests;
