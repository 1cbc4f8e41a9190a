//! What an operator lets through although it is not on the public internet.

use std::net::IpAddr;

use crate::address::{in_v4, in_v6};

/// The one allow-list: networks, addresses and host names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    networks: Vec<(IpAddr, u32)>,
    hosts: Vec<Host>,
}

/// A host name of the list, in lower case and ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Exactly(String),
    /// `*.internal`: every name below it; with the dot.
    Below(String),
}

/// Why an entry of the allow-list cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} is no network (10.0.0.0/8), address or host name (hooks.internal, *.internal)")]
pub struct ParseAllowError {
    /// The entry as written.
    pub entry: String,
}

impl Allow {
    /// Reads entries: `10.0.0.0/8`, `fd00::/8`, `10.1.2.3`, `hooks.internal`, `*.internal`.
    ///
    /// # Errors
    /// The first entry that is none of these.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, ParseAllowError> {
        let mut allow = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            allow.add(entry).ok_or_else(|| ParseAllowError { entry: entry.to_owned() })?;
        }
        Ok(allow)
    }

    fn add(&mut self, entry: &str) -> Option<()> {
        if let Some((address, length)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let length: u32 = length.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            if length > most {
                return None;
            }
            self.networks.push((address, length));
        } else if let Ok(address) = entry.parse::<IpAddr>() {
            self.networks.push((address, if address.is_ipv4() { 32 } else { 128 }));
        } else {
            let (name, is_below) = match entry.strip_prefix("*.") {
                Some(name) => (name, true),
                None => (entry, false),
            };
            let url::Host::Domain(name) = url::Host::parse(name).ok()? else { return None };
            let name = name.trim_end_matches('.').to_owned();
            self.hosts.push(if is_below { Host::Below(format!(".{name}")) } else { Host::Exactly(name) });
        }
        Some(())
    }

    /// Tells whether a name is on the list: then every address that it resolves to may be used.
    pub(crate) fn has_host(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        self.hosts.iter().any(|host| match host {
            Host::Exactly(exactly) => name == exactly,
            Host::Below(below) => name.ends_with(below.as_str()),
        })
    }

    /// Tells whether an address is on the list.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|(first, length)| match (address, *first) {
            (IpAddr::V4(address), IpAddr::V4(first)) => in_v4(address, first, *length),
            (IpAddr::V6(address), IpAddr::V6(first)) => in_v6(address, first, *length),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Allow;

    #[test]
    fn networks_addresses_and_names_are_found_again() {
        let allow =
            Allow::parse(["10.0.0.0/8", "fd00::/8", "192.168.1.7", "Hooks.Internal", "*.lan"]).unwrap();
        for address in ["10.0.0.1", "10.255.255.255", "::ffff:10.0.0.1", "fdab::1", "192.168.1.7"] {
            assert!(allow.has_address(address.parse().unwrap()), "{address}");
        }
        for address in ["11.0.0.1", "127.0.0.1", "192.168.1.8", "fe80::1", "64:ff9b::10.0.0.1"] {
            assert!(!allow.has_address(address.parse().unwrap()), "{address}");
        }
        assert!(
            allow.has_host("hooks.internal")
                && allow.has_host("hooks.internal.")
                && allow.has_host("a.b.lan")
        );
        assert!(!allow.has_host("lan") && !allow.has_host("x.hooks.internal") && !allow.has_host("evillan"));
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for entry in ["10.0.0.0/33", "::/129", "10.0.0/8x", "a b", "", "*.", "http://x/"] {
            let error = Allow::parse([entry]).unwrap_err();
            assert_eq!(error.entry, entry);
        }
    }
}
