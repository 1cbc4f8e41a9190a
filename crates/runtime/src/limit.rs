//! Limits on what happens at once: permits, a bounded queue, and a longest wait.
//!
//! [`Limit`] is one pool of permits. [`Keyed`] adds a second, smaller bound per key, such as children of git overall
//! and for one repository. Whoever finds the queue full or waits too long gets [`Limited`] and a time to come again.

use crate::metrics::{CounterFamily, GaugeFamily, GaugeGuard, Label, Metric};
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

static IN_USE: GaugeFamily<Named> = GaugeFamily::new("hakata_limit_in_use", "Permits taken, by limit");
static WAITING: GaugeFamily<Named> = GaugeFamily::new("hakata_limit_waiting", "Callers waiting for a permit");
static REFUSED: CounterFamily<Named> = CounterFamily::new("hakata_limit_refused_total", "Callers sent away");

/// How much a limit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Permits that may be out at once.
    pub permits: usize,
    /// Callers that may wait; one more is refused at once.
    pub queue: usize,
    /// The longest wait.
    pub wait: Duration,
}

impl Default for Bounds {
    /// 16 permits, 1,024 waiting, 30 s.
    fn default() -> Self {
        Self { permits: 16, queue: 1_024, wait: Duration::from_secs(30) }
    }
}

/// A refusal: the limit is full, come again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} is at its limit; try again in {} s", .retry_after.as_secs().max(1))]
pub struct Limited {
    /// The limit's name.
    pub limit: &'static str,
    /// When it is sensible to come again.
    pub retry_after: Duration,
}

/// A right to go on, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _in_use: GaugeGuard,
    _global: OwnedSemaphorePermit,
}

/// One pool of permits with a bounded queue.
#[derive(Debug)]
pub struct Limit {
    name: &'static str,
    bounds: Bounds,
    permits: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Limit {
    /// Makes a limit; its name is a word in the code and a label of its metrics.
    pub fn new(name: &'static str, bounds: Bounds) -> Self {
        let permits = Arc::new(Semaphore::new(bounds.permits.min(Semaphore::MAX_PERMITS)));
        let queue = Arc::new(Semaphore::new(bounds.queue.min(Semaphore::MAX_PERMITS)));
        // Shown from the start, although nobody was refused yet.
        let _ = (IN_USE.get(Named(name)), WAITING.get(Named(name)), REFUSED.get(Named(name)));
        Self { name, bounds, permits, queue }
    }

    /// Takes a permit, waiting in turn if there is none.
    ///
    /// # Errors
    /// When the queue is full or the wait is over.
    pub async fn acquire(&self) -> Result<Permit, Limited> {
        self.acquire_on(&self.permits).await.map(|permit| self.permit(permit))
    }

    /// Takes a permit only if one is free now.
    ///
    /// # Errors
    /// When none is.
    pub fn try_acquire(&self) -> Result<Permit, Limited> {
        self.acquire_free().ok_or_else(|| self.refuse())
    }

    /// Takes a permit if one is free now, for what may as well be done later: nobody is refused.
    pub fn acquire_free(&self) -> Option<Permit> {
        self.permits.clone().try_acquire_owned().ok().map(|permit| self.permit(permit))
    }

    /// Counts the permits that are out.
    pub fn in_use(&self) -> usize {
        self.bounds.permits.saturating_sub(self.permits.available_permits())
    }

    async fn acquire_on(&self, permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Limited> {
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.queue.clone().try_acquire_owned().map_err(|_| self.refuse())?;
        let _waiting = WAITING.get(Named(self.name)).track();
        match tokio::time::timeout(self.bounds.wait, permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.refuse()),
        }
    }

    fn permit(&self, global: OwnedSemaphorePermit) -> Permit {
        Permit { _in_use: IN_USE.get(Named(self.name)).track(), _global: global }
    }

    fn refuse(&self) -> Limited {
        REFUSED.get(Named(self.name)).inc();
        Limited {
            limit: self.name,
            retry_after: self.bounds.wait.clamp(Duration::from_secs(1), Duration::from_secs(30)),
        }
    }
}

/// A limit overall and a smaller one for each key; cheap to clone.
#[derive(Debug)]
pub struct Keyed<K: Eq + Hash> {
    shared: Arc<Shared<K>>,
}

#[derive(Debug)]
struct Shared<K: Eq + Hash> {
    limit: Limit,
    per_key: usize,
    keys: Mutex<HashMap<K, Key>>,
}

/// The permits of one key and how many callers hold or await them.
#[derive(Debug)]
struct Key {
    permits: Arc<Semaphore>,
    n_users: usize,
}

/// A right to go on for one key, given back when dropped.
#[derive(Debug)]
pub struct KeyedPermit<K: Eq + Hash> {
    _global: Permit,
    _of_key: OwnedSemaphorePermit,
    _user: User<K>,
}

impl<K: Eq + Hash> Clone for Keyed<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K: Eq + Hash + Clone> Keyed<K> {
    /// Makes a limit of `bounds` overall and `per_key` permits for each key.
    pub fn new(name: &'static str, bounds: Bounds, per_key: usize) -> Self {
        let keys = Mutex::new(HashMap::new());
        Self { shared: Arc::new(Shared { limit: Limit::new(name, bounds), per_key, keys }) }
    }

    /// Takes a permit of the key, then one overall: a busy key waits without keeping others out.
    ///
    /// # Errors
    /// When the queue is full or the wait is over.
    pub async fn acquire(&self, key: K) -> Result<KeyedPermit<K>, Limited> {
        let limit = &self.shared.limit;
        let (user, permits) = User::enter(&self.shared, key);
        let of_key = limit.acquire_on(&permits).await?;
        let global = limit.acquire().await?;
        Ok(KeyedPermit { _global: global, _of_key: of_key, _user: user })
    }

    /// Counts the permits that are out, all keys together.
    pub fn in_use(&self) -> usize {
        self.shared.limit.in_use()
    }

    /// Counts the keys that somebody holds or awaits.
    pub fn n_keys(&self) -> usize {
        self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Keeps a key's entry while somebody uses it.
#[derive(Debug)]
struct User<K: Eq + Hash> {
    shared: Arc<Shared<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> User<K> {
    fn enter(shared: &Arc<Shared<K>>, key: K) -> (Self, Arc<Semaphore>) {
        let mut keys = shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Key { permits: Arc::new(Semaphore::new(shared.per_key)), n_users: 0 };
        let entry = keys.entry(key.clone()).or_insert_with(fresh);
        entry.n_users += 1;
        (Self { shared: shared.clone(), key }, entry.permits.clone())
    }
}

impl<K: Eq + Hash> Drop for User<K> {
    fn drop(&mut self) {
        let mut keys = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = keys.get_mut(&self.key) {
            entry.n_users -= 1;
            if entry.n_users == 0 {
                keys.remove(&self.key);
            }
        }
    }
}

/// A limit's name as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named(&'static str);

impl Label for Named {
    const KEY: &'static str = "limit";

    fn value(self) -> &'static str {
        self.0
    }
}

/// Lists the metrics of limits.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&IN_USE, &WAITING, &REFUSED]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(permits: usize, queue: usize, wait_ms: u64) -> Bounds {
        Bounds { permits, queue, wait: Duration::from_millis(wait_ms) }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_in_turn_then_refuses() {
        let limit = Limit::new("test_turns", bounds(1, 1, 5_000));
        let held = limit.acquire().await.unwrap();
        let mut second = std::pin::pin!(limit.acquire());
        assert!(futures_util::poll!(&mut second).is_pending(), "one caller may wait");
        let refused = limit.acquire().await.unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(5), "a full queue refuses at once");
        drop(held);
        let second = second.await.unwrap();
        assert!(limit.acquire().await.is_err(), "the longest wait is kept");
        drop(second);
        assert_eq!((limit.in_use(), IN_USE.get(Named("test_turns")).get()), (0, 0));
        assert_eq!(WAITING.get(Named("test_turns")).get(), 0);
        assert_eq!(REFUSED.get(Named("test_turns")).get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_key_leaves_room_for_others() {
        let keyed = Keyed::new("test_keys", bounds(3, 10, 1_000), 2);
        let a1 = keyed.acquire("a").await.unwrap();
        let _a2 = keyed.acquire("a").await.unwrap();
        assert!(keyed.acquire("a").await.is_err(), "a key has only its own share");
        let b = keyed.acquire("b").await.unwrap();
        assert!(keyed.acquire("c").await.is_err(), "the overall bound holds too");
        assert_eq!(keyed.n_keys(), 2, "a refused key leaves no entry");
        drop((a1, b));
        assert_eq!((keyed.in_use(), keyed.n_keys()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn leaving_the_queue_frees_the_place() {
        let limit = Limit::new("test_leave", bounds(1, 1, 60_000));
        let _held = limit.acquire().await.unwrap();
        {
            let mut waiting = std::pin::pin!(limit.acquire());
            assert!(futures_util::poll!(&mut waiting).is_pending());
        }
        let mut next = std::pin::pin!(limit.acquire());
        assert!(futures_util::poll!(&mut next).is_pending(), "the dropped caller left its place");
    }
}
