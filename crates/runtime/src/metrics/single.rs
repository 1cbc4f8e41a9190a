//! Counters and gauges without labels, and the cells that families are made of.

use super::{Kind, Metric};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct CounterCell(AtomicU64);

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct GaugeCell(AtomicI64);

/// A declared counter; its methods are those of [`CounterCell`].
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    doc: &'static str,
    cell: CounterCell,
}

/// A declared gauge; its methods are those of [`GaugeCell`].
#[derive(Debug)]
pub struct Gauge {
    name: &'static str,
    doc: &'static str,
    cell: GaugeCell,
}

/// A gauge that is read when it is shown.
#[derive(Debug)]
pub struct GaugeFn {
    name: &'static str,
    doc: &'static str,
    read: fn() -> f64,
}

/// A counter that somebody else keeps, such as the kernel, read when it is shown.
#[derive(Debug)]
pub struct CounterFn {
    name: &'static str,
    doc: &'static str,
    read: fn() -> f64,
}

/// One unit of a gauge, given back when dropped.
#[derive(Debug)]
pub struct GaugeGuard(&'static GaugeCell);

impl CounterCell {
    /// Starts at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads the count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl GaugeCell {
    /// Starts at zero.
    pub const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads the value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds one until the guard is dropped.
    pub fn track(&'static self) -> GaugeGuard {
        self.add(1);
        GaugeGuard(self)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Counter {
    /// Declares a counter; the name ends in `_total`.
    pub const fn new(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, cell: CounterCell::new() }
    }
}

impl Gauge {
    /// Declares a gauge.
    pub const fn new(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, cell: GaugeCell::new() }
    }
}

impl GaugeFn {
    /// Declares a gauge that `read` answers.
    pub const fn new(name: &'static str, doc: &'static str, read: fn() -> f64) -> Self {
        Self { name, doc, read }
    }
}

impl CounterFn {
    /// Declares a counter that `read` answers; the name ends in `_total`.
    pub const fn new(name: &'static str, doc: &'static str, read: fn() -> f64) -> Self {
        Self { name, doc, read }
    }
}

impl Deref for Counter {
    type Target = CounterCell;

    fn deref(&self) -> &CounterCell {
        &self.cell
    }
}

impl Deref for Gauge {
    type Target = GaugeCell;

    fn deref(&self) -> &GaugeCell {
        &self.cell
    }
}

/// What a family needs from its cells.
pub(super) trait Encode {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result;
}

impl Encode for CounterCell {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter::<NoLabelSet, u64, u64>(&self.get(), None)
    }
}

impl Encode for GaugeCell {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.get())
    }
}

impl Encode for super::HistogramCell {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        EncodeMetric::encode(self.inner(), encoder)
    }
}

macro_rules! single {
    ($type:ty, $kind:expr, |$self:ident, $encoder:ident| $encode:expr) => {
        impl Metric for $type {
            fn name(&self) -> &'static str {
                self.name
            }

            fn doc(&self) -> &'static str {
                self.doc
            }

            fn kind(&self) -> Kind {
                $kind
            }

            fn labels(&self) -> &'static [&'static str] {
                &[]
            }

            #[allow(unused_mut, reason = "one of the forms passes the encoder on by value")]
            fn encode(&$self, mut $encoder: MetricEncoder<'_>) -> fmt::Result {
                $encode
            }
        }
    };
}

single!(Counter, Kind::Counter, |self, encoder| Encode::encode(&self.cell, encoder));
single!(Gauge, Kind::Gauge, |self, encoder| Encode::encode(&self.cell, encoder));
single!(GaugeFn, Kind::Gauge, |self, encoder| encoder.encode_gauge(&(self.read)()));
single!(CounterFn, Kind::Counter, |self, encoder| {
    encoder.encode_counter::<NoLabelSet, f64, u64>(&(self.read)(), None)
});
