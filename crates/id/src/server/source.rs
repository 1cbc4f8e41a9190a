//! What a session asks for ids, and where it leaves its counts.

use hakata_runtime::metrics::{CounterFamily, Label, Metric};

use crate::issue::{Issuer, Refusal, Turn};
use crate::memcached::{Event, Source};
use crate::stats::Stats;

static ODD: CounterFamily<Odd> =
    CounterFamily::new("hakata_id_odd_requests_total", "Memcached requests that an id server has no use for");

/// A request that an id server has no use for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Odd {
    Store,
    Malformed,
    Foreign,
}

/// The issuer and the counts of one server.
#[derive(Debug)]
pub(super) struct IssuerSource<'a> {
    issuer: &'a Issuer,
    stats: &'a Stats,
    /// What the requests of this turn came to, since counts that all threads share are dear.
    turn: Turn,
    hits: u64,
    misses: u64,
}

impl<'a> IssuerSource<'a> {
    pub(super) fn new(issuer: &'a Issuer, stats: &'a Stats) -> Self {
        Self { issuer, stats, turn: Turn::default(), hits: 0, misses: 0 }
    }
}

impl Source for IssuerSource<'_> {
    fn ids(&mut self, n: u32, each: &mut dyn FnMut(u64)) -> Result<u32, Refusal> {
        self.turn.try_issue(self.issuer, n, each)
    }

    fn stats(&mut self) -> Vec<(String, String)> {
        // What was answered before in the same turn counts.
        self.end_turn();
        let lines = self.stats.report().lines();
        lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn count(&mut self, what: Event) {
        match what {
            Event::Hits(n) => self.hits += u64::from(n),
            Event::Misses(n) => self.misses += u64::from(n),
            Event::Refused => ODD.get(Odd::Store).inc(),
            Event::Malformed => ODD.get(Odd::Malformed).inc(),
            Event::Foreign => ODD.get(Odd::Foreign).inc(),
        }
    }

    fn end_turn(&mut self) {
        self.turn.end();
        self.stats.count(std::mem::take(&mut self.hits), std::mem::take(&mut self.misses));
    }
}

impl Label for Odd {
    const KEY: &'static str = "what";

    fn value(self) -> &'static str {
        match self {
            Odd::Store => "store",
            Odd::Malformed => "malformed",
            Odd::Foreign => "foreign",
        }
    }
}

/// Lists the metrics of this module.
pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&ODD]
}
