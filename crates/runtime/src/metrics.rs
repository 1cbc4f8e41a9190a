//! Metrics as statics, declared once beside the code that moves them.
//!
//! A static works from the first line of `main` and costs an atomic; [`register`] only says that it appears in
//! [`render`]. Each crate lists its statics in a function `metrics()`, the binary registers them all at start, so a
//! metric that never moved is shown too. Labels come from closed sets ([`Label`]); their values are never user data.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

mod family;
mod histogram;
mod label;
mod single;

pub use family::{CounterFamily, GaugeFamily, HistogramFamily};
pub use histogram::{BYTES, Histogram, HistogramCell, SECONDS};
pub use label::{Label, LabelSet};
pub use single::{Counter, CounterCell, CounterFn, Gauge, GaugeCell, GaugeFn, GaugeGuard};

/// The media type of what [`render`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

static REGISTERED: Mutex<BTreeMap<&'static str, &'static dyn Metric>> = Mutex::new(BTreeMap::new());

/// A declared metric of any shape.
pub trait Metric: Send + Sync {
    /// The full name, `hakata_<noun>_<unit>[_total]`.
    fn name(&self) -> &'static str;

    /// One sentence without a full stop.
    fn doc(&self) -> &'static str;

    /// What kind of number it is.
    fn kind(&self) -> Kind;

    /// The keys of its labels.
    fn labels(&self) -> &'static [&'static str];

    /// Writes every series of this metric.
    ///
    /// # Errors
    /// When the writer refuses.
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result;
}

/// The kinds of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; its name ends in `_total`.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

impl Kind {
    /// The kind as documentation writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One line of the generated list of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The full name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The keys of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub doc: &'static str,
}

/// Makes metrics appear in [`render`]; registering one again changes nothing.
///
/// # Panics
/// When two different statics have one name, or a name breaks the rule for counters: both are bugs seen at start.
pub fn register(metrics: &[&'static dyn Metric]) {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    for &metric in metrics {
        let name = metric.name();
        assert_eq!(
            name.ends_with("_total"),
            metric.kind() == Kind::Counter,
            "{name}: only counters end in _total"
        );
        let known = *registered.entry(name).or_insert(metric);
        assert!(std::ptr::addr_eq(known, metric), "two metrics are called {name}");
    }
}

/// Writes every registered metric as OpenMetrics text, by name and then by labels, so that equal values give equal text.
pub fn render() -> String {
    let mut registry = Registry::default();
    for metric in snapshot() {
        // The encoder writes `_total` itself.
        let name = metric.name().strip_suffix("_total").unwrap_or(metric.name());
        registry.register(name, metric.doc(), Encoded(metric));
    }
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// Lists every registered metric by name.
pub fn catalogue() -> Vec<Entry> {
    let entry =
        |m: &'static dyn Metric| Entry { name: m.name(), kind: m.kind(), labels: m.labels(), doc: m.doc() };
    snapshot().into_iter().map(entry).collect()
}

fn snapshot() -> Vec<&'static dyn Metric> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
}

/// Dresses a metric of ours for the library's registry.
struct Encoded(&'static dyn Metric);

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl EncodeMetric for Encoded {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        match self.0.kind() {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Outcome {
        Ok,
        Refused,
    }

    impl Label for Outcome {
        const KEY: &'static str = "outcome";

        fn value(self) -> &'static str {
            match self {
                Outcome::Ok => "ok",
                Outcome::Refused => "refused",
            }
        }
    }

    static PLAIN: Counter = Counter::new("hakata_test_plain_total", "A plain counter");
    static UNTOUCHED: Counter = Counter::new("hakata_test_untouched_total", "A counter nobody moved");
    static BY: CounterFamily<(Outcome, Outcome)> = CounterFamily::new("hakata_test_by_total", "Two labels");
    static GAUGE: GaugeFamily<Outcome> = GaugeFamily::new("hakata_test_gauge", "A gauge");
    static TOOK: Histogram = Histogram::new("hakata_test_took_seconds", "A histogram", &[0.5, 1.0]);
    static FROM: GaugeFn = GaugeFn::new("hakata_test_from", "A reading", || 2.5);

    #[test]
    fn renders_by_name_and_label_with_untouched_statics() {
        register(&[&TOOK, &PLAIN, &BY, &UNTOUCHED, &GAUGE, &FROM]);
        register(&[&PLAIN]);
        PLAIN.add(3);
        BY.get((Outcome::Refused, Outcome::Ok)).inc();
        BY.get((Outcome::Ok, Outcome::Refused)).inc();
        let guard = GAUGE.get(Outcome::Ok).track();
        TOOK.observe(0.7);
        let text = render();
        let ours: Vec<_> = text.lines().filter(|l| l.starts_with("hakata_test")).collect();
        assert_eq!(
            ours,
            [
                r#"hakata_test_by_total{outcome="ok",outcome="refused"} 1"#,
                r#"hakata_test_by_total{outcome="refused",outcome="ok"} 1"#,
                "hakata_test_from 2.5",
                r#"hakata_test_gauge{outcome="ok"} 1"#,
                "hakata_test_plain_total 3",
                "hakata_test_took_seconds_sum 0.7",
                "hakata_test_took_seconds_count 1",
                r#"hakata_test_took_seconds_bucket{le="0.5"} 0"#,
                r#"hakata_test_took_seconds_bucket{le="1.0"} 1"#,
                r#"hakata_test_took_seconds_bucket{le="+Inf"} 1"#,
                "hakata_test_untouched_total 0",
            ]
        );
        assert!(text.ends_with("# EOF\n") && text.contains("# HELP hakata_test_plain A plain counter."));
        drop(guard);
        assert_eq!(GAUGE.get(Outcome::Ok).get(), 0, "a tracked gauge falls when the guard goes");
        let entry = catalogue().into_iter().find(|e| e.name == "hakata_test_by_total");
        assert_eq!(entry.map(|e| (e.kind, e.labels.len())), Some((Kind::Counter, 2)));
    }

    #[test]
    #[should_panic(expected = "two metrics are called")]
    fn one_name_for_two_statics_is_a_bug() {
        static ONE: Counter = Counter::new("hakata_test_twice_total", "One");
        static TWO: Counter = Counter::new("hakata_test_twice_total", "Two");
        register(&[&ONE, &TWO]);
    }
}
