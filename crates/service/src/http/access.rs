//! One line for each request, at its end.

use super::facts::RequestFacts;
use crate::listener::Name;
use crate::log::ACCESS;
use ::http::{Method, StatusCode, Uri};
use hakata_runtime::metrics::{
    CounterCell, CounterFamily, GaugeCell, GaugeFamily, GaugeGuard, HistogramCell, HistogramFamily, Label,
    Metric, SECONDS,
};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static REQUESTS: CounterFamily<(Name, Outcome)> =
    CounterFamily::new("hakata_http_requests_total", "Requests by what became of them");
static RUNNING: GaugeFamily<Name> =
    GaugeFamily::new("hakata_http_requests_running", "Requests being answered");
static TOOK: HistogramFamily<Name> =
    HistogramFamily::new("hakata_http_request_seconds", "From the head to the end of the answer", SECONDS);
static BYTES_IN: CounterFamily<Name> =
    CounterFamily::new("hakata_http_received_bytes_total", "Bytes of request bodies");
static BYTES_OUT: CounterFamily<Name> =
    CounterFamily::new("hakata_http_sent_bytes_total", "Bytes of response bodies");

/// Longest path shown in a line.
const MAX_PATH: usize = 512;

/// Who sent a request, for its access line: a face puts this into the extensions of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub Arc<str>);

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Ok,
    Redirect,
    Refused,
    Failed,
    /// The client left or was cut before the end.
    Left,
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn value(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Redirect => "redirect",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Left => "left",
        }
    }
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Ok, Self::Redirect, Self::Refused, Self::Failed, Self::Left];
}

/// The metrics of one server, found once: every request counts in most of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// By [`Outcome`].
    requests: [&'static CounterCell; 5],
    running: &'static GaugeCell,
    took: &'static HistogramCell,
    bytes_in: &'static CounterCell,
    bytes_out: &'static CounterCell,
}

impl Counts {
    pub(super) fn of(server: Name) -> Self {
        Self {
            requests: Outcome::ALL.map(|outcome| REQUESTS.get((server, outcome))),
            running: RUNNING.get(server),
            took: TOOK.get(server),
            bytes_in: BYTES_IN.get(server),
            bytes_out: BYTES_OUT.get(server),
        }
    }
}

/// The line of a request; written when it is dropped.
#[derive(Debug)]
pub(super) struct AccessLine {
    pub(super) server: &'static str,
    counts: Arc<Counts>,
    pub(super) facts: RequestFacts,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) secret_prefix: &'static str,
    pub(super) status: Option<StatusCode>,
    pub(super) user: Option<User>,
    pub(super) bytes_in: Option<Arc<AtomicU64>>,
    pub(super) bytes_out: u64,
    /// Whether the answer was given to its end.
    pub(super) complete: bool,
    _running: GaugeGuard,
}

impl AccessLine {
    pub(super) fn new(
        (server, counts): (&'static str, &Arc<Counts>),
        facts: RequestFacts,
        method: Method,
        uri: Uri,
    ) -> Self {
        let running = counts.running.track();
        Self {
            server,
            counts: counts.clone(),
            facts,
            method,
            uri,
            secret_prefix: "",
            status: None,
            user: None,
            bytes_in: None,
            bytes_out: 0,
            complete: false,
            _running: running,
        }
    }

    fn outcome(&self) -> Outcome {
        match self.status {
            _ if !self.complete => Outcome::Left,
            Some(status) if status.is_server_error() => Outcome::Failed,
            Some(status) if status.is_client_error() => Outcome::Refused,
            Some(status) if status.is_redirection() => Outcome::Redirect,
            _ => Outcome::Ok,
        }
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let took = self.facts.received.elapsed();
        let outcome = self.outcome();
        let bytes_in = self.bytes_in.as_ref().map_or(0, |n| n.load(Ordering::Relaxed));
        let counts = &self.counts;
        counts.requests[outcome as usize].inc();
        counts.took.observe_duration(took);
        counts.bytes_in.add(bytes_in);
        counts.bytes_out.add(self.bytes_out);
        tracing::event!(
            target: ACCESS,
            tracing::Level::INFO,
            request.id = self.facts.id.as_str(),
            listener = self.server,
            method = self.method.as_str(),
            path = %Shown(&mask(self.uri.path(), self.secret_prefix)),
            status = self.status.map_or(0, |status| status.as_u16()),
            outcome = outcome.value(),
            received_bytes = bytes_in,
            sent_bytes = self.bytes_out,
            duration_ms = took.as_secs_f64() * 1e3,
            client.address = self.facts.client.map(tracing::field::display),
            user = self.user.as_ref().map(|user| &*user.0),
            "request"
        );
    }
}

/// What stands in a log for the secret part of a word.
const MASK: &str = "***";

/// Hides what follows `prefix` wherever it begins a word, in letters and digits as they are or percent-encoded.
fn mask<'a>(path: &'a str, prefix: &str) -> Cow<'a, str> {
    if prefix.is_empty() || !path.contains(prefix) {
        return Cow::Borrowed(path);
    }
    let is_secret = |c: char| c.is_ascii_alphanumeric() || "-_%".contains(c);
    let mut pieces = path.split(prefix);
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        shown.extend([prefix, MASK, piece.trim_start_matches(is_secret)]);
    }
    Cow::Owned(shown)
}

/// A path as a log may show it: cut, and control characters escaped. The query is not shown, it may hold secrets.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.floor_char_boundary(MAX_PATH);
        let shown = &self.0[..cut];
        if shown.chars().any(char::is_control) {
            write!(f, "{}", shown.escape_debug())?;
        } else {
            f.write_str(shown)?;
        }
        if cut < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&REQUESTS, &RUNNING, &TOOK, &BYTES_IN, &BYTES_OUT]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_paths_are_masked() {
        for (path, shown) in [
            ("/alice/tools", "/alice/tools"),
            ("/hkt_abcDEF-1_2/tools.git/info/refs", "/hkt_***/tools.git/info/refs"),
            ("/alice:hkt_abc@host/hkt_x%41", "/alice:hkt_***@host/hkt_***"),
            ("/hkt_hkt_a", "/hkt_***hkt_***"),
            ("/hkt_", "/hkt_***"),
        ] {
            assert_eq!(mask(path, "hkt_"), shown);
        }
        assert_eq!(mask("/hkt_abc", ""), "/hkt_abc", "nothing is secret where nothing is named");
    }

    #[test]
    fn paths_are_cut_and_escaped() {
        assert_eq!(Shown("/alice/tools").to_string(), "/alice/tools");
        assert_eq!(Shown("/a\u{1b}[2J\n").to_string(), "/a\\u{1b}[2J\\n");
        let long = "/é".repeat(400);
        let shown = Shown(&long).to_string();
        assert!(shown.len() <= MAX_PATH + "…".len() && shown.ends_with('…'));
    }
}
