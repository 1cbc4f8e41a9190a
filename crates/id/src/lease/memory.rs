//! The rules of a place as code without IO, and a place in memory for tests.
//!
//! [`Book`] is the reference: the scripts for Redis and the statements for SQL must answer as it does, and the model in
//! `tests/lease` explores it. Behind the feature `testing`, for dev-dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hakata_runtime::clock::Clock;

use super::{Because, Candidate, Lease, LeaseError, Renewed, Term, Token, Wish, in_order};
use crate::layout::WorkerId;

/// What a place keeps. `T` is the kind of token.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Book<T> {
    ids: BTreeMap<u16, Entry<T>>,
    /// The run of the place for which the floor was set, and the fence that every id has at least.
    floor: Option<(u8, i64)>,
    /// Which ids had a fence since the floor was set, so that one that is missing was lost.
    known: BTreeSet<u16>,
    /// Which run of the place this is: another one may have lost what was written in the one before.
    run: u8,
    expiry: Expiry,
}

/// What a place does with a lease whose time has passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expiry {
    /// It is gone, as in Redis.
    Forgets,
    /// It stays until somebody takes the id, as in SQL.
    Remembers,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Entry<T> {
    lease: Option<(T, i64)>,
    fence_ms: Option<i64>,
}

/// An act of a holder, at the place's own time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Act {
    /// The worker id.
    pub worker_id: u16,
    /// The place's clock.
    pub place_ms: i64,
    /// The place's clock before the holder read its own.
    pub asked_ms: i64,
    /// How much later than `asked_ms` an id is still given.
    pub patience_ms: i64,
    /// The time to live asked for.
    pub ttl_ms: i64,
    /// The holder's clock.
    pub now_ms: i64,
    /// The least fence wanted.
    pub fence_ms: i64,
    /// Where to begin if fences were lost.
    pub after_loss_ms: i64,
}

impl<T: Clone + PartialEq> Book<T> {
    /// Makes an empty book, in which nobody has issued anything.
    pub fn new(expiry: Expiry) -> Self {
        Self { ids: BTreeMap::new(), floor: None, known: BTreeSet::new(), run: 0, expiry }
    }

    /// Makes an empty book of a place that loses nothing, so that a missing fence was never there.
    pub fn durable(expiry: Expiry) -> Self {
        Self { floor: Some((0, i64::MIN)), ..Self::new(expiry) }
    }

    /// Gives a worker id to who asks, unless somebody holds it: where to begin, and the fence.
    ///
    /// Whoever asks tells its time, from which the wait after a loss is counted, so a question that comes late is not
    /// answered: holders may have raised their fences since, before the loss.
    pub fn acquire(&mut self, token: T, act: Act) -> Option<(i64, i64)> {
        if act.place_ms - act.asked_ms > act.patience_ms {
            return None;
        }
        if self.holder(act.worker_id, act.place_ms).is_some() {
            return None;
        }
        let floor = match self.floor {
            Some((run, floor)) if run == self.run => floor,
            floor => floor.map_or(act.after_loss_ms, |(_, floor)| floor.max(act.after_loss_ms)),
        };
        self.floor = Some((self.run, floor));
        let entry = self.ids.entry(act.worker_id).or_insert(Entry { lease: None, fence_ms: None });
        let had_one = !self.known.insert(act.worker_id);
        let missing = if had_one { act.after_loss_ms } else { i64::MIN };
        let from = act.now_ms.max(floor).max(entry.fence_ms.unwrap_or(missing));
        let fence = entry.fence_ms.unwrap_or(i64::MIN).max(act.fence_ms);
        *entry = Entry { lease: Some((token, act.place_ms + act.ttl_ms)), fence_ms: Some(fence) };
        Some((from, fence))
    }

    /// Extends a lease if it is under one of the two tokens; otherwise only `mine_ms`, the fence that its former holder
    /// knows, is written back in case it was lost.
    pub fn renew(&mut self, current: &T, next: T, mine_ms: i64, act: Act) -> Option<i64> {
        self.expire(act.worker_id, act.place_ms);
        let entry = self.ids.entry(act.worker_id).or_insert(Entry { lease: None, fence_ms: None });
        let is_ours = entry.lease.as_ref().is_some_and(|(token, _)| token == current || *token == next);
        let least = if is_ours { act.fence_ms.max(mine_ms) } else { mine_ms };
        let fence = entry.fence_ms.map_or(least, |fence| fence.max(least));
        entry.fence_ms = Some(fence);
        if !is_ours {
            return None;
        }
        entry.lease = Some((next, act.place_ms + act.ttl_ms));
        Some(fence)
    }

    /// Ends a lease if it is under one of the two tokens, and lowers its fence.
    pub fn release(&mut self, worker_id: u16, tokens: [&T; 2], next_ms: i64) -> bool {
        let Some(entry) = self.ids.get_mut(&worker_id) else { return false };
        let is_ours = entry.lease.as_ref().is_some_and(|(token, _)| tokens.contains(&token));
        if is_ours {
            *entry = Entry { lease: None, fence_ms: Some(next_ms) };
        }
        is_ours
    }

    /// Tells under which token a worker id is held.
    pub fn holder(&self, worker_id: u16, place_ms: i64) -> Option<&T> {
        let (token, until) = self.ids.get(&worker_id)?.lease.as_ref()?;
        (*until > place_ms).then_some(token)
    }

    /// Tells the fence of a worker id, if it has one.
    pub fn fence_ms(&self, worker_id: u16) -> Option<i64> {
        self.ids.get(&worker_id)?.fence_ms
    }

    /// Takes a lease away, as an operator or an outage would.
    pub fn delete_lease(&mut self, worker_id: u16) {
        if let Some(entry) = self.ids.get_mut(&worker_id) {
            entry.lease = None;
        }
    }

    /// Loses one fence, as a Redis that evicts keys.
    pub fn delete_fence(&mut self, worker_id: u16) {
        if let Some(entry) = self.ids.get_mut(&worker_id) {
            entry.fence_ms = None;
        }
    }

    /// Loses everything, as a Redis that was restarted without its file.
    pub fn lose(&mut self) {
        self.ids.clear();
        self.known.clear();
        self.floor = None;
        self.run += 1;
    }

    /// Returns to what was written at an earlier time, as a Redis that was restarted from an old file.
    pub fn restore(&mut self, earlier: Self) {
        let run = self.run + 1;
        *self = Self { run, ..earlier };
    }

    fn expire(&mut self, worker_id: u16, place_ms: i64) {
        if self.expiry == Expiry::Forgets
            && let Some(entry) = self.ids.get_mut(&worker_id)
        {
            entry.lease.take_if(|(_, until)| *until <= place_ms);
        }
    }
}

/// A place in memory; clones are holders that share it.
#[derive(Clone, Debug)]
pub struct MemoryPlace {
    book: Arc<Mutex<Book<String>>>,
    clock: Clock,
    patience: Duration,
    outage: Arc<Mutex<bool>>,
}

impl MemoryPlace {
    /// Makes an empty place with its own clock, in which no fence was ever lost: its first holder need not wait.
    pub fn new(clock: Clock) -> Self {
        Self::with_book(clock, Book::durable(Expiry::Forgets), Duration::ZERO)
    }

    /// Makes a place around a book; `patience` is how late it may read a question.
    pub fn with_book(clock: Clock, book: Book<String>, patience: Duration) -> Self {
        Self { book: Arc::new(Mutex::new(book)), clock, patience, outage: Arc::default() }
    }

    /// Opens the book, to look or to do harm.
    pub fn book(&self) -> MutexGuard<'_, Book<String>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the place unreachable, or reachable again.
    pub fn set_outage(&self, is_out: bool) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = is_out;
    }

    /// Tells the place's own time.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Makes a holder of worker ids from `least` to `most`.
    pub fn lease(&self, least: WorkerId, most: WorkerId, ttl: Duration) -> MemoryLease {
        MemoryLease { place: self.clone(), least, most, ttl, held: None }
    }

    fn open(&self) -> Result<MutexGuard<'_, Book<String>>, LeaseError> {
        if *self.outage.lock().unwrap_or_else(PoisonError::into_inner) {
            let source = Box::new(Because("it is out for a test".to_owned()));
            return Err(LeaseError::Unreachable { place: "memory", source });
        }
        Ok(self.book())
    }
}

/// A lease in memory.
#[derive(Debug)]
pub struct MemoryLease {
    place: MemoryPlace,
    least: WorkerId,
    most: WorkerId,
    ttl: Duration,
    held: Option<(WorkerId, Token, i64)>,
}

impl MemoryLease {
    /// Ends whatever lease there is of the first worker id, as if its time had passed.
    pub fn expire(&self) {
        self.place.book().delete_lease(self.least.get());
    }

    fn act(&self, worker_id: WorkerId, wish: Wish) -> Act {
        Act {
            worker_id: worker_id.get(),
            place_ms: self.place.now_ms(),
            asked_ms: self.place.now_ms(),
            patience_ms: i64::try_from(self.place.patience.as_millis()).unwrap_or(i64::MAX),
            ttl_ms: i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX),
            now_ms: wish.now_ms,
            fence_ms: wish.fence_ms(),
            after_loss_ms: wish.after_loss_ms(self.place.patience),
        }
    }

    fn acquire_now(&mut self, wish: Wish) -> Result<Term, LeaseError> {
        self.held = None;
        let mut book = self.place.open()?;
        let place_ms = self.place.now_ms();
        let ids = (self.least.get()..=self.most.get()).map(|n| WorkerId::from_bits(u64::from(n)));
        let free = ids.filter(|id| book.holder(id.get(), place_ms).is_none());
        let free = free.map(|worker_id| Candidate { worker_id, fence_ms: book.fence_ms(worker_id.get()) });
        let free: Vec<Candidate> = free.collect();
        for worker_id in in_order(free, wish.now_ms) {
            let token = Token::fresh();
            let taken = book.acquire(token.current().to_owned(), self.act(worker_id, wish));
            if let Some((from_ms, fence_ms)) = taken {
                drop(book);
                self.held = Some((worker_id, token, fence_ms));
                return Ok(Term { worker_id, from_ms, fence_ms, place_ms: Some(place_ms), lost: None });
            }
        }
        Err(LeaseError::Taken { least: self.least, most: self.most })
    }

    fn renew_now(&mut self, wish: Wish) -> Result<Renewed, LeaseError> {
        let nobody = LeaseError::Lost(self.least);
        let (worker_id, token, mine_ms) = self.held.as_ref().ok_or(nobody)?;
        let (act, next) = (self.act(*worker_id, wish), token.next().to_owned());
        let renewed = self.place.open()?.renew(&token.current().to_owned(), next, *mine_ms, act);
        let Some(fence_ms) = renewed else {
            let lost = LeaseError::Lost(*worker_id);
            self.held = None;
            return Err(lost);
        };
        if let Some((_, token, mine_ms)) = &mut self.held {
            token.confirm();
            *mine_ms = fence_ms;
        }
        Ok(Renewed { fence_ms, place_ms: Some(self.place.now_ms()) })
    }

    fn release_now(&mut self, next_ms: i64) -> Result<(), LeaseError> {
        if let Some((worker_id, token, _)) = self.held.take() {
            let tokens = [&token.current().to_owned(), &token.next().to_owned()];
            self.place.open()?.release(worker_id.get(), tokens, next_ms);
        }
        Ok(())
    }
}

impl Lease for MemoryLease {
    fn acquire(
        &mut self,
        wish: impl Fn() -> Wish + Send + Sync,
    ) -> impl Future<Output = Result<Term, LeaseError>> + Send {
        ready(self.acquire_now(wish()))
    }

    fn renew(&mut self, wish: Wish) -> impl Future<Output = Result<Renewed, LeaseError>> + Send {
        ready(self.renew_now(wish))
    }

    fn release(&mut self, next_ms: i64) -> impl Future<Output = Result<(), LeaseError>> + Send {
        ready(self.release_now(next_ms))
    }
}
