//! What a login remembers for a while, so that a push pays for its password once.
//!
//! Keys of the password cache are HMACs under a key of this process: neither a dump of the cache nor its
//! timing tells a password. An entry names the account's `credentials_version` of then; it counts only while
//! the account still has that version, so a changed password, second factor or state ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hakata_names::UserId;
use hakata_runtime::secret::random_bytes;
use hmac::{Hmac, KeyInit, Mac};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use sha2::Sha256;
use std::hash::Hash;

/// Most logins that are remembered.
const MAX_LOGINS: usize = 10_000;

/// Verified passwords, by keyed digest.
#[derive(Debug)]
pub(super) struct Logins {
    key: [u8; 32],
    live_for: Duration,
    verified: Cache<[u8; 32], Verified>,
}

/// That a password was right once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified {
    pub(super) user: UserId,
    pub(super) credentials_version: i64,
    until: Duration,
}

impl Logins {
    pub(super) fn new(live_for: Duration) -> Self {
        Self { key: random_bytes(), live_for, verified: Cache::new(MAX_LOGINS) }
    }

    /// Returns the key of a name (folded) and a password.
    pub(super) fn key(&self, name: &str, password: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name.as_bytes());
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Finds a login that was verified less than the time of life ago.
    pub(super) fn find(&self, key: &[u8; 32], now: Duration) -> Option<Verified> {
        self.verified.get(key).filter(|verified| now < verified.until)
    }

    pub(super) fn remember(&self, key: [u8; 32], user: UserId, credentials_version: i64, now: Duration) {
        if !self.live_for.is_zero() {
            let until = now + self.live_for;
            self.verified.insert(key, Verified { user, credentials_version, until });
        }
    }

    pub(super) fn drop_one(&self, key: &[u8; 32]) {
        self.verified.remove(key);
    }
}

/// Rows kept in memory as long as nothing that policy reads has changed; only for a process that writes all
/// rows itself.
#[derive(Debug)]
pub(super) struct Rows<K: Eq + Hash, T> {
    generation: AtomicU64,
    rows: Cache<K, (u64, Option<Arc<T>>)>,
}

/// The state of things before a row was read; a row is kept under it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Generation(u64);

impl<K: Eq + Hash, T> Rows<K, T> {
    pub(super) fn new(most: usize) -> Self {
        Self { generation: AtomicU64::new(0), rows: Cache::new(most) }
    }

    /// Tells the generation; to be asked before the row is read.
    pub(super) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::SeqCst))
    }

    /// Finds a kept answer; the inner `None` is "there is no such row".
    pub(super) fn find<Q>(&self, key: &Q) -> Option<Option<Arc<T>>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (of, row) = self.rows.get(key)?;
        (of == self.generation.load(Ordering::SeqCst)).then_some(row)
    }

    pub(super) fn keep(&self, key: K, read_at: Generation, row: Option<Arc<T>>) {
        self.rows.insert(key, (read_at.0, row));
    }

    /// Forgets all rows.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hakata_names::UserId;

    use super::{Logins, Rows};

    #[test]
    fn a_login_is_remembered_for_its_time_and_under_its_own_key() {
        let logins = Logins::new(Duration::from_secs(60));
        let key = logins.key("alice", "secret");
        assert_ne!(key, logins.key("alic", "esecret"), "the border between name and password counts");
        assert_ne!(key, Logins::new(Duration::ZERO).key("alice", "secret"), "another process, another key");
        logins.remember(key, UserId::new(1), 7, Duration::ZERO);
        assert_eq!(logins.find(&key, Duration::from_secs(59)).unwrap().credentials_version, 7);
        assert!(logins.find(&key, Duration::from_secs(60)).is_none());
    }

    #[test]
    fn a_row_read_before_a_change_is_not_used_after_it() {
        let rows = Rows::<String, u8>::new(10);
        let before = rows.generation();
        rows.forget();
        rows.keep("a".into(), before, Some(Arc::new(1)));
        assert!(rows.find("a").is_none());
        rows.keep("a".into(), rows.generation(), Some(Arc::new(2)));
        assert_eq!(rows.find("a").flatten().as_deref(), Some(&2));
    }
}
