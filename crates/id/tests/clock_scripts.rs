//! Ids under any script of clocks and leases: none twice, rising, below the fence, positive.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hakata_id::{Generator, Hands, Issuer, Layout, Refusal, Slot, TimeBase, WorkerId};
use proptest::prelude::*;

/// 2026-11-22T01:02:03.456Z.
const START: i64 = 1_795_309_323_456;

/// How far the durable fence is kept ahead of now.
const AHEAD: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
enum Act {
    /// Asks for ids.
    Issue(u32),
    /// Lets time pass, in microseconds.
    Advance(u64),
    /// Steps the machine's time of day, in milliseconds.
    Step(i64),
    /// What the keeper does each second.
    Keep,
    /// The process dies and another starts, with what is durable.
    Crash,
    /// The lease is released and another worker id is taken in the same process.
    Move(u16),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let year = 365 * 86_400_000_i64;
    let act = prop_oneof![
        6 => (1_u32..6_000).prop_map(Act::Issue),
        4 => (0_u64..3_000).prop_map(Act::Advance),
        2 => (0_u64..4_000_000).prop_map(Act::Advance),
        2 => (-20_i64..20).prop_map(Act::Step),
        1 => (-3_600_000_i64..3_600_000).prop_map(Act::Step),
        1 => (-12 * year..60 * year).prop_map(Act::Step),
        3 => Just(Act::Keep),
        1 => Just(Act::Crash),
        1 => (0_u16..4).prop_map(Act::Move),
    ];
    prop::collection::vec(act, 1..120)
}

/// One process, and what outlives it.
struct World {
    layout: Layout,
    /// How far ahead of time a process may issue.
    borrow: Duration,
    hands: Arc<Hands>,
    issuer: Issuer,
    /// The durable fence of each worker id.
    fences: [Slot; 4],
    issued: BTreeSet<u64>,
    /// The greatest id of this process.
    last: u64,
}

impl World {
    fn new(layout: Layout, borrow: Duration) -> Self {
        let hands = Hands::new(START);
        let issuer = process(layout, borrow, &hands);
        let (fences, issued) = ([Slot::ZERO; 4], BTreeSet::new());
        let mut world = Self { layout, borrow, hands, issuer, fences, issued, last: 0 };
        world.acquire(1);
        world
    }

    fn ahead(&self, from: Slot) -> Slot {
        from.plus(self.layout.slots_in(AHEAD))
    }

    fn acquire(&mut self, worker: u16) {
        let stored = &mut self.fences[usize::from(worker)];
        let from = self.issuer.time().now().max(*stored);
        *stored = from.plus(self.layout.slots_in(AHEAD));
        let worker = WorkerId::new(self.layout, u64::from(worker)).expect("a small worker id");
        self.issuer.generator().start(worker, from, *stored);
    }

    fn play(&mut self, act: Act) -> Result<(), TestCaseError> {
        match act {
            Act::Issue(n) => return self.issue(n),
            Act::Advance(us) => self.hands.advance(Duration::from_micros(us)),
            Act::Step(by_ms) => self.hands.step_real(by_ms),
            Act::Keep => {
                self.issuer.time().observe();
                let Some(worker) = self.issuer.generator().worker_id() else { return Ok(()) };
                let want = self.ahead(self.issuer.time().now());
                let stored = &mut self.fences[usize::from(worker.get())];
                *stored = want.max(*stored);
                self.issuer.generator().raise_fence(*stored);
            }
            Act::Crash => {
                let worker = self.issuer.generator().worker_id().expect("a term runs");
                self.issuer = process(self.layout, self.borrow, &self.hands);
                self.last = 0;
                self.acquire(worker.get());
            }
            Act::Move(worker) => {
                let (old, next) = self.issuer.generator().stop().expect("a term runs");
                self.fences[usize::from(old.get())] = next;
                prop_assert_eq!(self.issuer.try_issue(1, |_| ()), Err(Refusal::NoLease));
                self.acquire(worker);
            }
        }
        Ok(())
    }

    fn issue(&mut self, n: u32) -> Result<(), TestCaseError> {
        let mut ids = Vec::new();
        let answer = self.issuer.try_issue(n, |id| ids.push(id));
        prop_assert_eq!(ids.len(), answer.unwrap_or(0) as usize);
        let worker = self.issuer.generator().worker_id().expect("a term runs");
        let fence = self.fences[usize::from(worker.get())];
        let now = self.layout.next_tick(self.issuer.time().now());
        let reach = now.plus(self.layout.slots_within(self.borrow));
        for id in ids {
            prop_assert!(i64::try_from(id).is_ok_and(|id| id > 0), "{id} is not positive");
            prop_assert!(id > self.last, "{id} does not rise above {}", self.last);
            self.last = id;
            let parts = self.layout.parts(id).expect("an id of the layout");
            prop_assert_eq!(parts.worker_id, worker);
            let slot = self.layout.slot_at(parts.unix_ms).expect("its time").plus(parts.sequence);
            prop_assert!(slot < fence, "{slot} is not below the fence {fence}");
            prop_assert!(slot < reach, "{slot} is further ahead than {:?}: {reach}", self.borrow);
            prop_assert!(self.issued.insert(id), "{id} was issued twice");
        }
        Ok(())
    }
}

fn process(layout: Layout, borrow: Duration, hands: &Arc<Hands>) -> Issuer {
    let time = TimeBase::scripted(layout, hands.clone());
    let generator = Generator::new(layout).borrowing(borrow);
    Issuer::new(Arc::new(generator), Arc::new(time), Duration::from_secs(1))
}

proptest! {
    #[test]
    fn no_id_comes_twice(
        layout in prop_oneof![Just(Layout::Standard), Just(Layout::JsSafe)],
        // To the fence and behind it, too: the bound alone keeps nothing apart.
        borrow in prop_oneof![2 => Just(0), 2 => 1_u64..40, 1 => 500_u64..5_000],
        acts in acts(),
    ) {
        let mut world = World::new(layout, Duration::from_millis(borrow));
        for act in acts {
            world.play(act)?;
        }
    }
}

#[test]
fn scripts_do_issue_ids() {
    // The property above would hold for a generator that refuses everything.
    let mut world = World::new(Layout::Standard, Duration::ZERO);
    for act in [Act::Issue(5_000), Act::Advance(1_000), Act::Issue(10), Act::Crash, Act::Advance(3_001_000)] {
        world.play(act).expect("a script that holds");
    }
    world.play(Act::Issue(100)).expect("a script that holds");
    assert_eq!(world.issued.len(), 4_096 + 10 + 100);
}

#[test]
fn what_is_borrowed_outlives_a_stop_and_a_crash() {
    let mut world = World::new(Layout::Standard, Duration::from_millis(500));
    for _ in 0..300 {
        world.play(Act::Issue(5_000)).expect("a tick that has not begun");
    }
    assert_eq!(world.issued.len(), 300 * 4_096, "300 ms of ids within one moment");
    world.play(Act::Move(1)).expect("a stop in good order, and the same worker id again");
    world.play(Act::Issue(1)).expect("an id behind those that were borrowed");
    assert_eq!(world.issued.len(), 300 * 4_096 + 1, "whoever may borrow need not wait for what was borrowed");
    world.play(Act::Crash).expect("a restart");
    let wait = world.issuer.try_issue(1, |_| ()).expect_err("the fence of the process before lies ahead");
    assert!(matches!(wait, Refusal::Behind { by } if by > AHEAD - Duration::from_millis(500)), "{wait:?}");
    world.play(Act::Advance(3_000_000)).expect("three seconds");
    world.play(Act::Issue(1)).expect("an id behind the fence");
}

#[test]
fn a_start_behind_the_fence_waits_for_it() {
    let mut world = World::new(Layout::Standard, Duration::ZERO);
    world.play(Act::Issue(1)).expect("one id");
    world.play(Act::Crash).expect("a restart");
    let wait = world.issuer.try_issue(1, |_| ()).expect_err("the fence of the process before lies ahead");
    assert_eq!(wait, Refusal::Behind { by: AHEAD }, "all that it may have issued is left alone");
    world.play(Act::Advance(3_000_000)).expect("three seconds");
    assert_eq!(world.issuer.try_issue(1, |_| ()), Ok(1));
}

#[test]
fn the_end_of_the_range_is_refused_for_ever() {
    for layout in [Layout::Standard, Layout::JsSafe] {
        let generator = Generator::new(layout);
        let worker = layout.max_worker_id();
        let last = layout.tick_start(layout.end().minus(1));
        generator.start(worker, last, Slot::new(u64::MAX));
        let ids = match generator.reserve(last, u32::MAX) {
            hakata_id::Reservation::Ids(ids) => ids.collect::<Vec<_>>(),
            other => panic!("{layout:?}: the last tick can be used, not {other:?}"),
        };
        assert_eq!(ids.len() as u64, layout.ids_per_tick(), "{layout:?}");
        assert_eq!(ids.last(), Some(&layout.max_id()), "{layout:?}: the greatest id is the last");
        for now in [last, layout.end(), Slot::new(u64::MAX)] {
            assert_eq!(generator.reserve(now, 1), hakata_id::Reservation::Exhausted, "{layout:?} {now}");
        }
        assert_eq!(generator.stop(), Some((worker, layout.end())), "{layout:?}");
        generator.start(worker, Slot::ZERO, Slot::new(u64::MAX));
        assert_eq!(generator.reserve(last, 1), hakata_id::Reservation::Exhausted, "{layout:?}: no way back");
    }
}
