//! What an operator may set about the way out.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Allow, Resolver};

/// How long each part of a request may take; none goes on behind `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Resolving the name.
    pub resolve: Duration,
    /// Connecting, over all addresses.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// Everything, to the last byte of the answer.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let five = Duration::from_secs(5);
        Self { resolve: five, connect: five, tls: five, total: Duration::from_secs(10) }
    }
}

/// Ports that may be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

/// Why an entry is no port or range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} is no port (443) or range of ports (1024-65535)")]
pub struct ParsePortsError {
    /// The entry as written.
    pub entry: String,
}

impl Ports {
    /// Reads entries: `443`, `1024-65535`.
    ///
    /// # Errors
    /// The first entry that is neither.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, ParsePortsError> {
        let read = |entry: &str| {
            let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
            let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
            (first <= last).then_some(first..=last)
        };
        let ranges = entries.into_iter().map(|entry| {
            let entry = entry.as_ref().trim();
            read(entry).ok_or_else(|| ParsePortsError { entry: entry.to_owned() })
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn has(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl Default for Ports {
    /// 80, 443, and those that need no privilege: mail and remote shells are not among them.
    fn default() -> Self {
        Self(vec![80..=80, 443..=443, 1_024..=u16::MAX])
    }
}

/// The settings; every field but the resolver has a key in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What may be reached although it is not public.
    pub allow: Allow,
    /// Ports that may be connected to.
    pub ports: Ports,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Authorities in PEM that are trusted beside those of the machine.
    pub roots: Option<PathBuf>,
    /// Who resolves names.
    pub resolver: Resolver,
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn ports_are_ranges() {
        let ports = Ports::parse(["443", "8000-8999"]).unwrap();
        assert!(ports.has(443) && ports.has(8_000) && ports.has(8_999));
        assert!(!ports.has(80) && !ports.has(9_000));
        assert!(!Ports::default().has(25) && !Ports::default().has(22) && Ports::default().has(8_080));
        for entry in ["", "x", "70000", "9-8", "-5"] {
            assert_eq!(Ports::parse([entry]).unwrap_err().entry, entry);
        }
    }
}
