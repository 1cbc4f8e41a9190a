//! What a connection is doing, shared between its bytes and its requests.
//!
//! A deadline on bytes cannot tell a client that waits for a long answer from one that has gone to sleep. So the bytes
//! ask here what they are waiting for: the first head, the rest of a head, the next request, or a client that takes
//! nothing of a response.

use super::Settings;
use crate::stream::{Late, Meter, Patience};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How an HTTP/2 connection begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Kept capacity for the bytes of a head between requests.
const KEPT_BYTES: usize = 1_024;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    header: Duration,
    patience: Patience,
    max_head: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    n_running: usize,
    /// Between two requests.
    idle: Duration,
    /// Since when no request runs.
    quiet_since: Instant,
    /// When the first byte of the present head came.
    head_since: Option<Instant>,
    /// The bytes of the present head, for [`super::strict`].
    head: Vec<u8>,
    is_http2: bool,
    served: bool,
    /// Responses of which a piece was given out and the next not asked for. Kept for HTTP/2 only, where one client that
    /// takes nothing does not block the writes of the connection. Few: the streams of one connection.
    handed: Vec<Handed>,
    next: u64,
}

/// What a response gave out.
#[derive(Debug)]
struct Handed {
    id: u64,
    meter: Meter,
    /// Bytes of the last piece, which the client has not taken before the next is asked for.
    n_bytes: usize,
}

impl State {
    /// Finds what a response gave out.
    fn at(&self, id: u64) -> Option<usize> {
        self.handed.iter().position(|handed| handed.id == id)
    }
}

/// A request that runs; the connection is quiet again when the last one is dropped.
#[derive(Debug)]
pub(super) struct Running {
    activity: Arc<Activity>,
    id: u64,
    is_http2: bool,
}

impl Activity {
    pub(super) fn new(settings: &Settings) -> Self {
        let state = State {
            n_running: 0,
            idle: settings.idle,
            quiet_since: Instant::now(),
            head_since: None,
            head: Vec::new(),
            is_http2: false,
            served: false,
            handed: Vec::new(),
            next: 0,
        };
        Self {
            header: settings.header,
            patience: settings.patience,
            max_head: usize::try_from(settings.max_head_bytes).unwrap_or(usize::MAX),
            state: Mutex::new(state),
        }
    }

    /// Notes bytes from the client: outside a request they belong to a head.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut state = self.state();
        if state.n_running > 0 || state.is_http2 {
            return;
        }
        state.head_since.get_or_insert_with(Instant::now);
        let room = self.max_head.saturating_sub(state.head.len()).min(bytes.len());
        state.head.extend_from_slice(&bytes[..room]);
        if !state.served && state.head.starts_with(PREFACE) {
            state.is_http2 = true;
            state.head = Vec::new();
        }
    }

    /// Starts a request, showing its head as it was sent to `examine`. Pipelined heads are not seen.
    pub(super) fn begin<T>(self: &Arc<Self>, examine: impl FnOnce(&[u8]) -> T) -> (Running, T) {
        let mut state = self.state();
        let examined = examine(&state.head);
        state.head.clear();
        state.head.shrink_to(KEPT_BYTES);
        state.head_since = None;
        state.served = true;
        state.n_running += 1;
        state.next += 1;
        let running = Running { activity: self.clone(), id: state.next, is_http2: state.is_http2 };
        (running, examined)
    }

    /// When the wait for the client is over; `None` while it is our turn.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        if state.n_running > 0 {
            return state.handed.iter().filter_map(|handed| handed.meter.deadline()).min();
        }
        if !state.served {
            return Some(state.quiet_since + self.header);
        }
        Some(state.head_since.map_or(state.quiet_since + state.idle, |at| at + self.header))
    }

    /// Counts the responses of which the client has taken too little until now.
    pub(super) fn count_late(&self) {
        self.state().handed.iter().filter_map(|handed| handed.meter.late()).for_each(Late::count);
    }

    /// Tells whether a request runs.
    pub(super) fn is_running(&self) -> bool {
        self.state().n_running > 0
    }

    /// How long nothing needs to be looked at while it is our turn.
    pub(super) fn nap(&self) -> Duration {
        self.patience.stall
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Lets the connection be silent for so long between requests, if that is longer than it may now.
    pub(super) fn allow_idle(&self, idle: Duration) {
        let mut state = self.activity.state();
        state.idle = state.idle.max(idle);
    }

    /// Notes that a piece of the response was given out.
    pub(super) fn gave(&self, n_bytes: usize) {
        if self.is_http2 {
            let patience = self.activity.patience;
            let mut state = self.activity.state();
            let at = state.at(self.id).unwrap_or_else(|| {
                state.handed.push(Handed { id: self.id, meter: Meter::new(patience), n_bytes: 0 });
                state.handed.len() - 1
            });
            let handed = &mut state.handed[at];
            handed.n_bytes = n_bytes;
            handed.meter.wait();
        }
    }

    /// Notes that the next piece is asked for.
    pub(super) fn asked(&self) {
        if self.is_http2 {
            let mut state = self.activity.state();
            if let Some(at) = state.at(self.id) {
                let handed = &mut state.handed[at];
                handed.meter.took(std::mem::take(&mut handed.n_bytes));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        if let Some(at) = state.at(self.id) {
            state.handed.swap_remove(at);
        }
        state.n_running -= 1;
        if state.n_running == 0 {
            state.quiet_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_follows_what_is_waited_for() {
        let settings = Settings::default();
        let activity = Arc::new(Activity::new(&settings));
        let start = Instant::now();
        let after = |activity: &Activity| activity.deadline().map(|at| (at - start).as_secs());
        assert_eq!(after(&activity), Some(30), "the first head");
        activity.received(b"GET / HTT");
        tokio::time::advance(Duration::from_secs(5)).await;
        let (running, seen) = activity.begin(<[u8]>::len);
        assert_eq!((seen, after(&activity)), (9, None), "our turn has no deadline");
        drop(running);
        assert_eq!(after(&activity), Some(65), "the next request");
        tokio::time::advance(Duration::from_secs(10)).await;
        activity.received(b"G");
        assert_eq!(after(&activity), Some(45), "the rest of a head");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_can_ask_for_a_longer_silence() {
        let activity = Arc::new(Activity::new(&Settings::default()));
        let (running, _) = activity.begin(<[u8]>::len);
        running.allow_idle(Duration::from_secs(300));
        running.allow_idle(Duration::from_secs(1));
        drop(running);
        assert_eq!(activity.deadline(), Some(Instant::now() + Duration::from_secs(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_nobody_takes_is_noticed_over_http2() {
        let activity = Arc::new(Activity::new(&Settings::default()));
        activity.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let (running, seen) = activity.begin(<[u8]>::len);
        assert_eq!(seen, 0, "frames are no head");
        running.gave(1);
        assert_eq!(activity.deadline(), Some(Instant::now() + Duration::from_secs(60)));
        running.asked();
        assert_eq!(activity.deadline(), None);
    }
}
