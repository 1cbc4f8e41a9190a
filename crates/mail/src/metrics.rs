//! What is counted about letters.

use hakata_runtime::metrics::{Counter, CounterFamily, Gauge, Histogram, Label, Metric, SECONDS};

use crate::Class;

pub(crate) static TAKEN: Counter =
    Counter::new("hakata_mails_sent_total", "Letters that the mail server, folder or log took");
pub(crate) static FAILED: CounterFamily<Class> = CounterFamily::new(
    "hakata_mail_failures_total",
    "Tries to send a letter that failed, by what that means for the next one",
);
pub(crate) static TOOK: Histogram = Histogram::new(
    "hakata_mail_seconds",
    "Time of one try to send a letter, waiting for a connection included",
    SECONDS,
);
pub(crate) static CONNECTIONS: Gauge =
    Gauge::new("hakata_mail_connections", "Open connections to the mail server");
pub(crate) static OPENED: Counter =
    Counter::new("hakata_mail_connections_opened_total", "Connections to the mail server that were opened");

impl Label for Class {
    const KEY: &'static str = "class";

    fn value(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Temporary => "temporary",
            Self::Configuration => "configuration",
            Self::Refused => "refused",
        }
    }
}

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn Metric> {
    vec![&TAKEN, &FAILED, &TOOK, &CONNECTIONS, &OPENED]
}
