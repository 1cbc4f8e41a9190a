//! Why hands could not be shaken.

use crate::listener::Name;
use hakata_runtime::metrics::{CounterFamily, Label, Metric};
use std::io;

static FAILED: CounterFamily<(Name, Failure)> =
    CounterFamily::new("hakata_tls_handshakes_failed_total", "TLS handshakes that failed, by reason");

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// The client showed no certificate and must.
    NoCertificate,
    /// Its certificate is expired, of an unknown authority, or otherwise not good.
    Certificate,
    /// The client does not accept ours, or something else about us.
    Refused,
    /// What came was no TLS, or none that we speak.
    Malformed,
    /// It took too long.
    Late,
    /// The client left.
    Gone,
}

impl Failure {
    pub(super) fn of(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (tls, error.kind()) {
            (Some(rustls::Error::NoCertificatesPresented), _) => Self::NoCertificate,
            (Some(rustls::Error::InvalidCertificate(_)), _) => Self::Certificate,
            (Some(rustls::Error::AlertReceived(_)), _) => Self::Refused,
            (Some(_), _) | (None, io::ErrorKind::InvalidData) => Self::Malformed,
            (None, io::ErrorKind::TimedOut) => Self::Late,
            (None, _) => Self::Gone,
        }
    }
}

/// Whether the client is to be told that its certificate is not good.
pub(super) fn is_of_certificate(error: &io::Error) -> bool {
    matches!(Failure::of(error), Failure::NoCertificate | Failure::Certificate)
}

/// Counts a failure; what an operator can act on is logged.
pub(super) fn count(listener: &'static str, error: &io::Error) {
    let failure = Failure::of(error);
    FAILED.get((Name(listener), failure)).inc();
    match failure {
        Failure::NoCertificate | Failure::Certificate | Failure::Refused => {
            tracing::info!(listener, failure = failure.value(), %error, "TLS handshake failed");
        }
        _ => tracing::debug!(listener, failure = failure.value(), %error, "TLS handshake failed"),
    }
}

impl Label for Failure {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Certificate => "certificate",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Late => "late",
            Self::Gone => "gone",
        }
    }
}

/// Lists the metrics of TLS.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&FAILED]
}
