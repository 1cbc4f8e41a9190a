//! Families: one metric with a series per combination of labels.

use super::label::LabelSet;
use super::single::{CounterCell, Encode, GaugeCell};
use super::{HistogramCell, Kind, Metric};
use prometheus_client::encoding::MetricEncoder;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// The series of a family. Label sets are closed, so a series is made once and never freed.
#[derive(Debug)]
struct Series<L, C: 'static>(RwLock<BTreeMap<L, &'static C>>);

impl<L: LabelSet, C> Series<L, C> {
    const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    fn get(&self, labels: L, make: impl FnOnce() -> C) -> &'static C {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&labels).copied();
        known.unwrap_or_else(|| {
            let mut series = self.0.write().unwrap_or_else(PoisonError::into_inner);
            series.entry(labels).or_insert_with(|| Box::leak(Box::new(make())))
        })
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result
    where
        C: Encode,
    {
        for (labels, cell) in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            cell.encode(encoder.encode_family(&labels.pairs())?)?;
        }
        Ok(())
    }
}

/// Counters that differ in their labels.
#[derive(Debug)]
pub struct CounterFamily<L> {
    name: &'static str,
    doc: &'static str,
    series: Series<L, CounterCell>,
}

/// Gauges that differ in their labels.
#[derive(Debug)]
pub struct GaugeFamily<L> {
    name: &'static str,
    doc: &'static str,
    series: Series<L, GaugeCell>,
}

/// Histograms that differ in their labels.
#[derive(Debug)]
pub struct HistogramFamily<L> {
    name: &'static str,
    doc: &'static str,
    bounds: &'static [f64],
    series: Series<L, HistogramCell>,
}

impl<L: LabelSet> CounterFamily<L> {
    /// Declares a family of counters; the name ends in `_total`.
    pub const fn new(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, series: Series::new() }
    }

    /// Gives the counter with these labels.
    pub fn get(&self, labels: L) -> &'static CounterCell {
        self.series.get(labels, CounterCell::new)
    }
}

impl<L: LabelSet> GaugeFamily<L> {
    /// Declares a family of gauges.
    pub const fn new(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, series: Series::new() }
    }

    /// Gives the gauge with these labels.
    pub fn get(&self, labels: L) -> &'static GaugeCell {
        self.series.get(labels, GaugeCell::new)
    }
}

impl<L: LabelSet> HistogramFamily<L> {
    /// Declares a family of histograms with these upper bounds.
    pub const fn new(name: &'static str, doc: &'static str, bounds: &'static [f64]) -> Self {
        Self { name, doc, bounds, series: Series::new() }
    }

    /// Gives the histogram with these labels.
    pub fn get(&self, labels: L) -> &'static HistogramCell {
        self.series.get(labels, || HistogramCell::new(self.bounds))
    }
}

macro_rules! family {
    ($type:ident, $kind:expr) => {
        impl<L: LabelSet> Metric for $type<L> {
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
                L::KEYS
            }

            fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
                self.series.encode(encoder)
            }
        }
    };
}

family!(CounterFamily, Kind::Counter);
family!(GaugeFamily, Kind::Gauge);
family!(HistogramFamily, Kind::Histogram);
