//! The one number that makes ids unique within a process.

use std::time::Duration;

use crate::layout::{Layout, Slot, WorkerId};
use crate::sync::{AtomicU64, Mutex, Ordering, PoisonError};

/// Hands out slots, each once, in rising order, below a fence; has neither clock nor IO.
///
/// One atomic number holds the worker id and the next slot, so that a change of lease is one step for those who reserve:
///
/// ```text
/// state = worker_id << (slot_bits + 1) | next_slot      (10 + 54 or 6 + 48 bits)
/// fence = first slot that may not be issued; 0 is "no lease"
/// ```
///
/// `next_slot` never falls, whatever the clock or the leases do. It may run ahead of time, by the bound of
/// [`Generator::borrowing`] and never to the fence or behind it:
///
/// ```text
///        now          now + borrow       fence
///   ======|=============|- - - - - - - - -|
///   issued by time      the last tick      nothing, whatever the clock says
///                       that is lent
/// ```
#[derive(Debug)]
pub struct Generator {
    layout: Layout,
    /// How far ahead of time ids may lie, in slots; whole ticks.
    borrow: u64,
    state: AtomicU64,
    fence: AtomicU64,
    /// Held by the calls that change the lease, so that one of them cannot undo half of another.
    lease: Mutex<()>,
}

/// What [`Generator::reserve`] answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reservation {
    /// These are the caller's; at least one, at most as many as were asked for, rising.
    Ids(Ids),
    /// The tick is used up and what may be borrowed, or time lies behind what was issued: ask again when it reaches
    /// this slot.
    Wait(Slot),
    /// There is no lease, or its fence is reached.
    Fenced,
    /// The range of the layout has come to its end.
    Exhausted,
}

/// A run of ids of one worker and tick.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ids {
    next: u64,
    left: u32,
    is_borrowed: bool,
}

impl Ids {
    /// Tells whether their tick has not begun yet.
    pub fn is_borrowed(&self) -> bool {
        self.is_borrowed
    }
}

impl Iterator for Ids {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let id = self.next;
        self.next = id.saturating_add(1);
        Some(id)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Ids {}

impl Generator {
    /// Makes a generator that issues nothing until [`Generator::start`].
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            borrow: 0,
            state: AtomicU64::new(layout.ids_per_tick()),
            fence: AtomicU64::new(0),
            lease: Mutex::new(()),
        }
    }

    /// Lets it issue ids of ticks that have not begun, up to `ahead` of time and always below the fence, when those of
    /// the current tick are used up. What is less than a tick is no use.
    #[must_use]
    pub fn borrowing(self, ahead: Duration) -> Self {
        Self { borrow: self.layout.slots_within(ahead), ..self }
    }

    /// How far ahead of time its ids may lie, in milliseconds.
    pub fn borrow_ms(&self) -> u64 {
        self.borrow / self.layout.ids_per_tick() * self.layout.tick_ms()
    }

    /// The layout of its ids.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Takes up to `n` slots of one tick: that of `now`, or one that may be borrowed. Costs one compare-and-swap.
    pub fn reserve(&self, now: Slot, n: u32) -> Reservation {
        let tick_end = self.layout.next_tick(now).get();
        let reach = tick_end.saturating_add(self.borrow).min(self.layout.end().get());
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            // After the state: whoever changes the lease lowers the fence before the state that comes with it.
            let fence = self.fence.load(Ordering::Acquire);
            let (worker, next) = self.unpack(state);
            let base = next.max(now.get());
            let limit = fence.min(reach).min(self.layout.next_tick(Slot::new(base)).get());
            let Some(room) = limit.checked_sub(base).filter(|room| *room > 0) else {
                return self.refuse(base, fence);
            };
            let Some(first) = self.layout.id(Slot::new(base), worker) else { return Reservation::Exhausted };
            let taken = room.min(u64::from(n.max(1)));
            let after = self.pack(worker, base + taken);
            match self.state.compare_exchange_weak(state, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let left = u32::try_from(taken).unwrap_or(n);
                    return Reservation::Ids(Ids { next: first, left, is_borrowed: base >= tick_end });
                }
                Err(now_there) => state = now_there,
            }
        }
    }

    /// Starts a term: ids of `worker` from `from` on, and above everything issued here before, up to `fence`.
    ///
    /// It begins a tick of its own, so that ids rise for a caller even if the new worker id is the lesser.
    pub fn start(&self, worker: WorkerId, from: Slot, fence: Slot) {
        let _held = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        self.fence.store(0, Ordering::Release);
        self.replace(|_, next| (worker, self.layout.next_tick(Slot::new(next)).get().max(from.get())));
        self.fence.store(fence.get(), Ordering::Release);
    }

    /// Lets the running term issue up to `to`; a fence never falls, and without a term nothing happens.
    pub fn raise_fence(&self, to: Slot) {
        let _held = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let fence = self.fence.load(Ordering::Relaxed);
        if fence != 0 && fence < to.get() {
            self.fence.store(to.get(), Ordering::Release);
        }
    }

    /// Ends the term; when this returns nothing more of it will be issued, by any thread.
    ///
    /// Returns its worker id and the first slot that was not issued, which a release may lower the fence to; `None` if
    /// no term ran.
    pub fn stop(&self) -> Option<(WorkerId, Slot)> {
        let _held = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let fence = self.fence.swap(0, Ordering::AcqRel);
        // One slot is burned: those who read the old fence then miss their compare-and-swap, and see the new one.
        let (worker, next) = self.replace(|worker, next| (worker, next + 1));
        (fence != 0).then_some((worker, Slot::new(next)))
    }

    /// Tells whose ids it issues, while it issues.
    pub fn worker_id(&self) -> Option<WorkerId> {
        let (worker, _) = self.unpack(self.state.load(Ordering::Acquire));
        self.is_issuing().then_some(worker)
    }

    /// Tells the first slot that is certainly not issued.
    pub fn next_slot(&self) -> Slot {
        Slot::new(self.unpack(self.state.load(Ordering::Acquire)).1)
    }

    /// Tells the first slot that the term may not issue; [`Slot::ZERO`] without a term.
    pub fn fence(&self) -> Slot {
        Slot::new(self.fence.load(Ordering::Acquire))
    }

    /// Tells whether a term runs.
    pub fn is_issuing(&self) -> bool {
        self.fence() != Slot::ZERO
    }

    /// Tells whether a term runs and everything below its fence is issued.
    pub fn is_used_up(&self) -> bool {
        let fence = self.fence();
        fence != Slot::ZERO && self.next_slot() >= fence
    }

    /// Names why nothing could be taken at `base`.
    fn refuse(&self, base: u64, fence: u64) -> Reservation {
        if fence != 0 && base >= self.layout.end().get() {
            Reservation::Exhausted
        } else if base >= fence {
            Reservation::Fenced
        } else {
            Reservation::Wait(self.layout.tick_start(Slot::new(base)).minus(self.borrow))
        }
    }

    /// Replaces the state by what `to` makes of it, and returns the one before.
    fn replace(&self, to: impl Fn(WorkerId, u64) -> (WorkerId, u64)) -> (WorkerId, u64) {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let (worker, next) = self.unpack(state);
            let (new_worker, new_next) = to(worker, next);
            // At the end of the range nothing can be taken any more, so the state may stay as it is.
            let after = self.pack(new_worker, new_next.min(self.layout.end().get()));
            match self.state.compare_exchange_weak(state, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return (worker, next),
                Err(now_there) => state = now_there,
            }
        }
    }

    fn pack(&self, worker: WorkerId, next: u64) -> u64 {
        (u64::from(worker.get()) << (self.layout.slot_bits() + 1)) | next
    }

    fn unpack(&self, state: u64) -> (WorkerId, u64) {
        let bits = self.layout.slot_bits() + 1;
        (WorkerId::from_bits(state >> bits), state & ((1 << bits) - 1))
    }
}
