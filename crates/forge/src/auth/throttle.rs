//! How often a wrong password may be tried.
//!
//! Two counts, one per account name (known or not) and one per address (IPv6: per /64). A try is taken
//! before the work and given back when the password was right, so people who sign in are never counted.
//! Tokens and keys are not counted: they cannot be guessed. A login that is still in the cache is not
//! counted either, so somebody else's guesses do not lock out a running clone.
//!
//! Where an account signed in before, its own count does not hold, only the address's: guesses from all over the
//! world do not lock somebody out at home.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hakata_runtime::clock::Clock;
use quick_cache::sync::Cache;

use crate::{Error, Kind};

/// The time over which tries are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Most keys that are counted at once; the oldest are forgotten beyond it.
const MAX_KEYS: usize = 65_536;

/// Most pairs of account and address that are remembered to have signed in.
const MAX_HOMES: usize = 16_384;

/// Counts tries by account and by address.
#[derive(Debug)]
pub(crate) struct Throttle {
    clock: Clock,
    per_window: u32,
    accounts: Mutex<Counts<String>>,
    addresses: Mutex<Counts<IpAddr>>,
    /// Accounts and the addresses that they signed in from.
    homes: Cache<(String, IpAddr), ()>,
}

/// One try, taken.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    account: String,
    address: Option<IpAddr>,
    /// Whether it was counted for the account.
    is_of_account: bool,
}

impl Throttle {
    pub(crate) fn new(clock: Clock, per_window: u32) -> Self {
        Self {
            clock,
            per_window,
            accounts: Mutex::default(),
            addresses: Mutex::default(),
            homes: Cache::new(MAX_HOMES),
        }
    }

    /// Takes a try for the account (folded name) from the address.
    ///
    /// # Errors
    /// [`Kind::Limited`] with the time until the window ends.
    pub(crate) fn take(&self, account: &str, address: Option<IpAddr>) -> Result<Try, Error> {
        let now = self.clock.monotonic();
        let address = address.map(network);
        let account = account.to_owned();
        let is_home = address.is_some_and(|address| self.homes.get(&(account.clone(), address)).is_some());
        if !is_home {
            lock(&self.accounts).take(account.clone(), now, self.per_window).map_err(limited)?;
        }
        let taken = Try { account, address, is_of_account: !is_home };
        if let Some(address) = address {
            let by_address = lock(&self.addresses).take(address, now, self.per_window);
            if let Err(wait) = by_address {
                self.give_back_account(&taken);
                return Err(limited(wait));
            }
        }
        Ok(taken)
    }

    /// Gives a try back: the password was right.
    pub(crate) fn give_back(&self, taken: &Try) {
        self.give_back_account(taken);
        if let Some(address) = taken.address {
            lock(&self.addresses).give_back(&address);
            self.homes.insert((taken.account.clone(), address), ());
        }
    }

    fn give_back_account(&self, taken: &Try) {
        if taken.is_of_account {
            lock(&self.accounts).give_back(&taken.account);
        }
    }
}

fn lock<K>(counts: &Mutex<Counts<K>>) -> std::sync::MutexGuard<'_, Counts<K>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn limited(wait: Duration) -> Error {
    Error::new(Kind::Limited, "too many wrong passwords").with_retry_after(wait)
}

/// The network that counts as one address: a /64 of IPv6 belongs to one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Tries of each key in its present window.
#[derive(Debug)]
struct Counts<K>(HashMap<K, Window>);

#[derive(Debug)]
struct Window {
    opened: Duration,
    n_tries: u32,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    fn take(&mut self, key: K, now: Duration, most: u32) -> Result<(), Duration> {
        if self.0.len() >= MAX_KEYS && !self.0.contains_key(&key) {
            self.make_room(now);
        }
        let window = self.0.entry(key).or_insert(Window { opened: now, n_tries: 0 });
        if now.saturating_sub(window.opened) >= WINDOW {
            *window = Window { opened: now, n_tries: 0 };
        }
        if window.n_tries >= most {
            return Err((window.opened + WINDOW).saturating_sub(now));
        }
        window.n_tries += 1;
        Ok(())
    }

    fn give_back(&mut self, key: &K) {
        if let Some(window) = self.0.get_mut(key) {
            window.n_tries = window.n_tries.saturating_sub(1);
        }
    }

    /// Forgets windows that are over; if all are young, those with the fewest tries.
    fn make_room(&mut self, now: Duration) {
        self.0.retain(|_, window| now.saturating_sub(window.opened) < WINDOW && window.n_tries > 0);
        let mut least = 1;
        while self.0.len() >= MAX_KEYS {
            self.0.retain(|_, window| window.n_tries > least);
            least += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use hakata_runtime::clock::Clock;

    use super::{Counts, MAX_KEYS, Throttle};
    use crate::Kind;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_eleventh_try_waits_for_the_next_minute() {
        let clock = Clock::manual(0);
        let throttle = Throttle::new(clock.clone(), 10);
        for n in 0..10_u8 {
            throttle.take("alice", Some(IpAddr::from([10, 0, 0, n]))).unwrap();
        }
        clock.advance(Duration::from_secs(20));
        let error = throttle.take("alice", address("10.9.9.9")).unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (Kind::Limited, Some(Duration::from_secs(40))));
        throttle.take("bob", address("10.9.9.9")).unwrap();
        clock.advance(Duration::from_secs(40));
        throttle.take("alice", address("10.9.9.9")).unwrap();
    }

    #[test]
    fn an_address_is_counted_over_all_accounts_and_ipv6_by_network() {
        let throttle = Throttle::new(Clock::manual(0), 10);
        for n in 0..10 {
            throttle.take(&format!("user{n}"), address(&format!("2001:db8::{n:x}"))).unwrap();
        }
        assert!(throttle.take("fresh", address("2001:db8::ffff")).is_err());
        throttle.take("fresh", address("2001:db8:0:1::1")).unwrap();
        throttle.take("fresh", None).unwrap();
    }

    #[test]
    fn guesses_from_elsewhere_do_not_lock_out_at_home() {
        let throttle = Throttle::new(Clock::manual(0), 2);
        let home = address("2001:db8::1");
        throttle.give_back(&throttle.take("alice", home).unwrap());
        for n in 0..2 {
            throttle.take("alice", Some(IpAddr::from([10, 0, 0, n]))).unwrap();
        }
        assert!(throttle.take("alice", address("10.9.9.9")).is_err());
        throttle.take("alice", home).unwrap();
        throttle.take("alice", home).unwrap();
        assert!(throttle.take("alice", home).is_err(), "at home the address is counted");
    }

    #[test]
    fn right_passwords_are_not_counted() {
        let throttle = Throttle::new(Clock::manual(0), 2);
        for _ in 0..50 {
            let taken = throttle.take("alice", address("::1")).unwrap();
            throttle.give_back(&taken);
        }
    }

    #[test]
    fn a_flood_of_names_keeps_the_table_bounded_and_the_busiest_counted() {
        let mut counts = Counts::default();
        for _ in 0..10 {
            counts.take(usize::MAX, Duration::ZERO, 10).unwrap();
        }
        for key in 0..MAX_KEYS * 2 {
            counts.take(key, Duration::ZERO, 10).unwrap();
        }
        assert!(counts.0.len() <= MAX_KEYS);
        assert!(counts.take(usize::MAX, Duration::ZERO, 10).is_err(), "the attacked account stays counted");
    }
}
