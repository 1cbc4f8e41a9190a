//! How many connections there may be: in all, from one address, and from one address before login.

use super::network::{Network, client};
use hakata_runtime::metrics::{Gauge, GaugeGuard, Label, Metric};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static TAKEN: Gauge = Gauge::new("hakata_connection_slots_taken", "Connections that count against the limit");

/// The bounds on connections.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Over all listeners that share the [`Connections`].
    pub all: usize,
    /// From one address (an IPv6 /64 is one) before login. Over HTTP a complete request head counts as login.
    pub strangers_per_address: usize,
    /// From one address.
    pub per_address: usize,
    /// Addresses that speak for many, such as our own proxies; only the overall bound holds for them.
    pub exempt: Vec<Network>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { all: 4_096, strangers_per_address: 64, per_address: 1_024, exempt: Vec::new() }
    }
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// There are too many in all.
    Full,
    /// There are too many from this address.
    Address,
    /// Too many from this address have not logged in.
    Strangers,
}

impl Label for Refusal {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Refusal::Full => "full",
            Refusal::Address => "address",
            Refusal::Strangers => "strangers",
        }
    }
}

/// The connections of a process; cheap to clone, shared by its listeners.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    limits: ConnectionLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, Of>,
}

/// What one address has.
#[derive(Clone, Copy, Debug, Default)]
struct Of {
    all: usize,
    strangers: usize,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    connections: Connections,
    address: Option<IpAddr>,
    stranger: AtomicBool,
    _taken: GaugeGuard,
}

impl Connections {
    /// Starts with no connection.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Shared { limits, counts: Mutex::default() }))
    }

    /// Counts the connections that are open.
    pub fn open(&self) -> usize {
        self.counts().all
    }

    /// Takes a place for a connection from an address; a peer on this machine's own sockets has none.
    ///
    /// # Errors
    /// When a bound is reached.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<Slot, Refusal> {
        let limits = &self.0.limits;
        let exempt = |ip: &IpAddr| limits.exempt.iter().any(|network| network.contains(*ip));
        let address = address.filter(|ip| !exempt(ip)).map(client);
        let mut counts = self.counts();
        if counts.all >= limits.all {
            return Err(Refusal::Full);
        }
        if let Some(address) = address {
            let of = counts.by_address.get(&address).copied().unwrap_or_default();
            if of.all >= limits.per_address {
                return Err(Refusal::Address);
            }
            if of.strangers >= limits.strangers_per_address {
                return Err(Refusal::Strangers);
            }
            counts.by_address.insert(address, Of { all: of.all + 1, strangers: of.strangers + 1 });
        }
        counts.all += 1;
        drop(counts);
        let stranger = AtomicBool::new(address.is_some());
        Ok(Slot { connections: self.clone(), address, stranger, _taken: TAKEN.track() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Says that the peer has logged in. Calling it again changes nothing.
    pub fn authenticated(&self) {
        if self.stranger.load(Ordering::Relaxed) && self.stranger.swap(false, Ordering::SeqCst) {
            self.change(|of| of.strangers -= 1);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Of)) {
        let Some(address) = self.address else { return };
        let mut counts = self.connections.counts();
        if let Some(of) = counts.by_address.get_mut(&address) {
            change(of);
            if of.all == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.authenticated();
        self.change(|of| of.all -= 1);
        self.connections.counts().all -= 1;
    }
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&TAKEN]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn every_bound_holds_and_is_given_back() {
        let limits = ConnectionLimits {
            all: 5,
            strangers_per_address: 2,
            per_address: 3,
            exempt: vec!["127.0.0.0/8".parse().unwrap()],
        };
        let connections = Connections::new(limits);
        let admit = |address| connections.admit(address);
        let (a, b) = (admit(ip("192.0.2.1")).unwrap(), admit(ip("192.0.2.1")).unwrap());
        assert_eq!(admit(ip("::ffff:192.0.2.1")).unwrap_err(), Refusal::Strangers);
        a.authenticated();
        a.authenticated();
        let c = admit(ip("192.0.2.1")).unwrap();
        b.authenticated();
        assert_eq!(admit(ip("192.0.2.1")).unwrap_err(), Refusal::Address);
        let _local = (admit(None).unwrap(), admit(ip("127.0.0.1")).unwrap());
        assert_eq!(admit(ip("127.0.0.1")).unwrap_err(), Refusal::Full);
        drop((a, b, c));
        assert_eq!(connections.open(), 2);
        assert!(connections.counts().by_address.is_empty(), "an address without connections is forgotten");
    }

    #[test]
    fn one_ipv6_client_is_a_64() {
        let limits = ConnectionLimits { strangers_per_address: 1, ..ConnectionLimits::default() };
        let connections = Connections::new(limits);
        let _one = connections.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(connections.admit(ip("2001:db8::2")).unwrap_err(), Refusal::Strangers);
        assert!(connections.admit(ip("2001:db8:0:1::1")).is_ok());
    }
}
