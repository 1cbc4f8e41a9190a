//! Refused logins: all are counted, a bounded number a minute is written down.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hakata_runtime::metrics::{CounterFamily, Label};

use super::token::{TOKEN_PREFIX, looks_like};
use crate::{Actor, Forge};

/// Audit rows of refused logins a minute; a guessing attack must not fill the disk.
const MAX_ROWS_A_MINUTE: u32 = 30;

/// Refused logins by what was shown.
pub(crate) static REFUSED: CounterFamily<Proof> = CounterFamily::new(
    "hakata_logins_refused_total",
    "Logins that were refused, by the proof that was shown",
);

/// What was shown as proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proof {
    Password,
    Token,
    Key,
}

impl Label for Proof {
    const KEY: &'static str = "proof";

    fn value(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Token => "token",
            Self::Key => "key",
        }
    }
}

/// How many rows this minute has.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<(Duration, u32)>);

impl Refusals {
    /// Whether one more row may be written.
    fn take(&self, now: Duration) -> bool {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(minute.0) >= Duration::from_secs(60) {
            *minute = (now, 0);
        }
        minute.1 += 1;
        minute.1 <= MAX_ROWS_A_MINUTE
    }
}

impl Forge {
    /// Counts a refused login and writes it down, behind the request.
    pub(super) fn refused_login(&self, name: &str, proof: Proof, address: Option<IpAddr>) {
        REFUSED.get(proof).inc();
        if !self.inner.authenticator.refusals.take(self.clock().monotonic()) {
            return;
        }
        let forge = self.clone();
        let subject = subject(name);
        let detail = serde_json::json!({ "proof": proof.value() });
        drop(self.tasks().spawn("audit", async move {
            forge.audit_alone(&Actor::Anonymous, address, "login.refused", &subject, detail).await;
        }));
    }
}

/// Tells the name that was tried; not if it is a token that stands in the name's place.
fn subject(name: &str) -> String {
    if looks_like(name) {
        format!("{TOKEN_PREFIX}***")
    } else {
        hakata_names::escape_controls(name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_ROWS_A_MINUTE, Refusals, subject};

    #[test]
    fn a_token_in_the_names_place_is_not_written_down() {
        assert_eq!(subject("hkt_s3cret"), "hkt_***");
        assert_eq!(subject("alice"), "alice");
    }

    #[test]
    fn a_flood_writes_a_bounded_number_of_rows() {
        let refusals = Refusals::default();
        let written = (0..1_000).filter(|_| refusals.take(Duration::ZERO)).count();
        assert_eq!(written, MAX_ROWS_A_MINUTE as usize);
        assert!(refusals.take(Duration::from_secs(60)));
    }
}
