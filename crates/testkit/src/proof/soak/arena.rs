//! The servers of a soak, the Redis they share, and what is known about them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{FakeClock, IdNode, RedisServer, Sandbox, ServerOptions, wait_until};

/// How long a server may take until it issues again after a fault.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// The namespace of the leases.
const NAMESPACE: &str = "soak";

/// First worker id of the range, which has as many as there are servers: who loses one waits for another's.
const FIRST_WORKER_ID: u64 = 10;

/// How long a lease lasts, as configured below.
pub(super) const TTL: Duration = Duration::from_secs(2);

/// How far clocks may differ, in milliseconds: less than the fence lies ahead, or Redis could not lose its data safely.
const MAX_SKEW_MS: u64 = 400;

/// A place for a server: the process changes, what clients saw of it adds up.
pub(super) struct Slot {
    pub(super) name: String,
    server: Mutex<Option<IdNode>>,
    pub(super) clock: FakeClock,
    n_ids: AtomicU64,
    n_refused: AtomicU64,
    last_id: AtomicU64,
}

/// Told to clients at the end.
#[derive(Default)]
pub(super) struct Stop(AtomicBool);

/// Everything that can be hurt.
pub(super) struct Arena<'a> {
    sandbox: &'a Sandbox,
    pub(super) redis: RedisServer,
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) stop: Arc<Stop>,
    random: u64,
}

impl Stop {
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Slot {
    /// Where its server listens, if it does.
    pub(super) fn address(&self) -> Option<String> {
        self.with(|server| server.as_ref().and_then(IdNode::address))
    }

    /// Notes ids that a client received.
    pub(super) fn note(&self, n: u64, last: u64) {
        self.n_ids.fetch_add(n, Ordering::Relaxed);
        self.last_id.store(last, Ordering::Relaxed);
    }

    pub(super) fn note_refusal(&self) {
        self.n_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn n_ids(&self) -> u64 {
        self.n_ids.load(Ordering::Relaxed)
    }

    pub(super) fn n_refused(&self) -> u64 {
        self.n_refused.load(Ordering::Relaxed)
    }

    /// The worker id of the id received last.
    pub(super) fn worker_id(&self) -> u64 {
        (self.last_id.load(Ordering::Relaxed) >> 12) & 0x3ff
    }

    /// Does something to its process.
    pub(super) fn act(&self, act: impl FnOnce(&mut IdNode) -> Result<()>) -> Result<()> {
        self.with(|server| act(server.as_mut().context("the place is empty")?))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<IdNode>) -> T) -> T {
        act(&mut self.server.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<'a> Arena<'a> {
    /// Starts Redis and the servers.
    pub(super) fn start(sandbox: &'a Sandbox, n_servers: usize) -> Result<Self> {
        let redis = RedisServer::start(&sandbox.path().join("redis"))?;
        let slot = |n: usize| -> Result<Arc<Slot>> {
            Ok(Arc::new(Slot {
                name: format!("server{n}"),
                server: Mutex::new(None),
                clock: FakeClock::new(&sandbox.path().join(format!("server{n}.clock")))?,
                n_ids: AtomicU64::new(0),
                n_refused: AtomicU64::new(0),
                last_id: AtomicU64::new(0),
            }))
        };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("asking for random bytes: {error}"))?;
        let random = u64::from_le_bytes(seed) | 1;
        let slots = (0..n_servers).map(slot).collect::<Result<_>>()?;
        let mut arena = Self { sandbox, redis, slots, stop: Arc::default(), random };
        for slot in arena.slots.clone() {
            arena.start_server(&slot)?;
        }
        Ok(arena)
    }

    /// Starts a server in an empty place or in that of one which has ended, its clock off by something new.
    pub(super) fn start_server(&mut self, slot: &Slot) -> Result<()> {
        let last = FIRST_WORKER_ID + self.slots.len() as u64 - 1;
        self.skew(slot)?;
        let settings = [
            ("id.redis", self.redis.url(NAMESPACE)),
            ("id.min_worker_id", FIRST_WORKER_ID.to_string()),
            ("id.max_worker_id", last.to_string()),
            ("id.lease_ttl", format!("{}s", TTL.as_secs())),
            ("id.lease_renew", "250ms".to_owned()),
            ("id.fence_ahead", "1s".to_owned()),
            ("id.lease_patience", "500ms".to_owned()),
            // With half of the starts the load empties ticks that have not begun.
            ("id.borrow", format!("{}ms", 400 * self.below(2))),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value)).to_vec();
        let options = ServerOptions { settings, ..ServerOptions::default() };
        let server = IdNode::spawn(self.sandbox, &slot.name, &options, Some(&slot.clock))?;
        slot.with(|place| *place = Some(server));
        Ok(())
    }

    /// Sets a server's clock to something near the truth.
    pub(super) fn skew(&mut self, slot: &Slot) -> Result<()> {
        slot.clock.set(self.below(2 * MAX_SKEW_MS + 1).cast_signed() - MAX_SKEW_MS.cast_signed())
    }

    /// A random server.
    pub(super) fn any(&mut self) -> Arc<Slot> {
        let n = self.below(self.slots.len() as u64);
        self.slots[usize::try_from(n).unwrap_or(0)].clone()
    }

    /// Two random servers.
    pub(super) fn any_two(&mut self) -> (Arc<Slot>, Arc<Slot>) {
        let first = self.any();
        loop {
            let second = self.any();
            if !Arc::ptr_eq(&first, &second) {
                return (first, second);
            }
        }
    }

    /// The key of a lease.
    pub(super) fn lease_key(worker_id: u64) -> String {
        format!("{NAMESPACE}:id:{worker_id}")
    }

    /// Ids received so far.
    pub(super) fn n_ids(&self) -> u64 {
        self.slots.iter().map(|slot| slot.n_ids()).sum()
    }

    /// Waits until every server has issued ids, from now on.
    pub(super) fn wait_for_all(&self, what: &str) -> Result<()> {
        let before: Vec<u64> = self.slots.iter().map(|slot| slot.n_ids()).collect();
        let waited = wait_until(what, RECOVERY_LIMIT, || {
            self.slots.iter().zip(&before).all(|(slot, before)| slot.n_ids() > *before)
        });
        waited.with_context(|| {
            let silent = self.slots.iter().zip(&before).filter(|(slot, before)| slot.n_ids() == **before);
            let silent: Vec<&str> = silent.map(|(slot, _)| slot.name.as_str()).collect();
            format!("{} issue nothing", silent.join(", "))
        })
    }

    /// Waits until every server refuses, from now on: its fence is reached.
    pub(super) fn wait_for_refusals(&self) -> Result<()> {
        let before: Vec<u64> = self.slots.iter().map(|slot| slot.n_refused()).collect();
        wait_until("refusals by every server", RECOVERY_LIMIT, || {
            self.slots.iter().zip(&before).all(|(slot, before)| slot.n_refused() > *before)
        })
    }

    /// Waits until the lease that somebody held is gone or another's.
    pub(super) fn wait_for_end_of_lease(&self, worker_id: u64) -> Result<()> {
        let key = Self::lease_key(worker_id);
        let holder = self.redis.call(&["GET", &key])?;
        wait_until("the end of a lease", RECOVERY_LIMIT, || {
            self.redis.call(&["GET", &key]).is_ok_and(|now| now.is_none() || now != holder)
        })
    }

    /// Waits until so many leases are held.
    pub(super) fn wait_for_leases(&self, n: usize) -> Result<()> {
        let keys: Vec<String> = (FIRST_WORKER_ID..).take(self.slots.len()).map(Self::lease_key).collect();
        let words: Vec<&str> = std::iter::once("EXISTS").chain(keys.iter().map(String::as_str)).collect();
        wait_until("leases", RECOVERY_LIMIT, || {
            let held = self.redis.call(&words).ok().flatten();
            held.and_then(|held| held.parse::<usize>().ok()).is_some_and(|held| held >= n)
        })
    }

    /// Gives a lease to somebody who is none of the servers.
    pub(super) fn steal(&self, worker_id: u64) -> Result<()> {
        let ttl = TTL.as_millis().to_string();
        let set = self.redis.call(&["SET", &Self::lease_key(worker_id), "thief", "PX", &ttl])?;
        ensure!(set.as_deref() == Some("OK"), "Redis set the lease: {set:?}");
        Ok(())
    }

    fn below(&mut self, n: u64) -> u64 {
        // xorshift64: enough to choose victims.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % n
    }
}
