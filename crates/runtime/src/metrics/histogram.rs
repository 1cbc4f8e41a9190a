//! Histograms: observations counted in fixed buckets.

use super::single::Encode;
use super::{Kind, Metric};
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::metrics::histogram::Histogram as Inner;
use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;
use std::time::Duration;

/// Bucket bounds for durations of requests and children, in seconds.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Bucket bounds for sizes, in bytes: powers of 16 from 256 B to 4 GiB.
pub const BYTES: &[f64] =
    &[256.0, 4096.0, 65_536.0, 1_048_576.0, 16_777_216.0, 268_435_456.0, 4_294_967_296.0];

/// Observations counted in buckets.
#[derive(Debug)]
pub struct HistogramCell {
    bounds: &'static [f64],
    inner: OnceLock<Inner>,
}

/// A declared histogram; its methods are those of [`HistogramCell`].
#[derive(Debug)]
pub struct Histogram {
    name: &'static str,
    doc: &'static str,
    cell: HistogramCell,
}

impl HistogramCell {
    pub(super) const fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, inner: OnceLock::new() }
    }

    pub(super) fn inner(&self) -> &Inner {
        self.inner.get_or_init(|| Inner::new(self.bounds.iter().copied()))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        self.inner().observe(value);
    }

    /// Counts one duration, in seconds.
    pub fn observe_duration(&self, took: Duration) {
        self.observe(took.as_secs_f64());
    }
}

impl Histogram {
    /// Declares a histogram with these upper bounds; one above them all is added.
    pub const fn new(name: &'static str, doc: &'static str, bounds: &'static [f64]) -> Self {
        Self { name, doc, cell: HistogramCell::new(bounds) }
    }
}

impl Deref for Histogram {
    type Target = HistogramCell;

    fn deref(&self) -> &HistogramCell {
        &self.cell
    }
}

impl Metric for Histogram {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn kind(&self) -> Kind {
        Kind::Histogram
    }

    fn labels(&self) -> &'static [&'static str] {
        &[]
    }

    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        Encode::encode(&self.cell, encoder)
    }
}
