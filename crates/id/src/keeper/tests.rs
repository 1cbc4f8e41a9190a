//! A keeper on clocks that the test moves: the fence is raised, a loss stops at once, a pause refuses.

use super::*;
use crate::generator::Reservation;
use crate::layout::Layout;
use crate::lease::memory::{MemoryLease, MemoryPlace};
use crate::time_base::Hands;
use hakata_runtime::clock::Clock;
use std::collections::HashSet;

const START: i64 = 1_763_740_800_000;
const SETTINGS: Settings =
    Settings { fence_ahead: Duration::from_secs(10), renew_every: Duration::from_secs(1) };
const TTL: Duration = Duration::from_secs(60);

/// A place and its clock.
struct World {
    place: MemoryPlace,
    clock: Clock,
}

/// A process: its clocks, and what it issues.
struct Process {
    hands: Arc<Hands>,
    issuer: Issuer,
    tasks: Tasks,
    keeper: Keeper,
}

fn worker(n: u64) -> WorkerId {
    WorkerId::new(Layout::Standard, n).unwrap()
}

impl World {
    fn new() -> Self {
        let clock = Clock::manual(START);
        Self { place: MemoryPlace::new(clock.clone()), clock }
    }

    fn lease(&self, least: u64, most: u64) -> MemoryLease {
        self.place.lease(worker(least), worker(most), TTL)
    }

    /// Starts a process on the world's time.
    async fn start(&self, lease: MemoryLease) -> Process {
        let hands = Hands::new(self.clock.now_ms());
        let time = Arc::new(TimeBase::scripted(Layout::Standard, hands.clone()));
        let generator = Arc::new(Generator::new(Layout::Standard));
        let issuer = Issuer::new(generator, time, Duration::from_secs(1));
        let tasks = Tasks::new();
        let keeper = Keeper::spawn(&tasks, lease, &issuer, SETTINGS);
        settle().await;
        Process { hands, issuer, tasks, keeper }
    }

    /// Lets time pass for the place and these processes; the keepers run meanwhile.
    async fn pass(&self, span: Duration, processes: &[&Process]) {
        let step = Duration::from_millis(50);
        let mut left = span;
        while !left.is_zero() {
            let by = step.min(left);
            left -= by;
            self.clock.advance(by);
            for process in processes {
                process.hands.advance(by);
            }
            tokio::time::advance(by).await;
            settle().await;
        }
    }
}

/// Lets every task come to its next wait.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

impl Process {
    fn standing(&self) -> Standing {
        self.keeper.standing().borrow().clone()
    }

    fn held(&self) -> WorkerId {
        match self.standing() {
            Standing::Held { worker_id, .. } => worker_id,
            other => panic!("a lease must be held, and it stands: {other:?}"),
        }
    }

    fn id(&self) -> Option<u64> {
        let mut issued = None;
        let _ = self.issuer.try_issue(1, |id| issued = Some(id));
        issued
    }

    fn fence_ms(&self) -> i64 {
        Layout::Standard.unix_ms(self.issuer.generator().fence())
    }
}

#[tokio::test(start_paused = true)]
async fn the_fence_is_raised_each_second_and_lowered_at_the_end() {
    let world = World::new();
    let process = world.start(world.lease(5, 5)).await;
    assert_eq!((process.held(), process.fence_ms()), (worker(5), START + 10_000), "one id is range enough");
    assert!(process.id().is_some());
    world.pass(Duration::from_secs(3), &[&process]).await;
    assert_eq!(process.fence_ms(), START + 13_000);
    assert_eq!(world.place.book().fence_ms(5), Some(START + 13_000), "what may be issued is durable first");
    let last = Layout::Standard.to_time(process.id().unwrap()).unwrap();
    process.tasks.cancel();
    process.keeper.stopped().await;
    assert_eq!(
        process.issuer.try_issue(1, |_| ()),
        Err(crate::Refusal::NoLease),
        "nothing after the farewell"
    );
    assert_eq!(world.place.book().fence_ms(5), Some(last + 1), "a successor need not wait");
    assert_eq!(world.place.book().holder(5, world.clock.now_ms()), None);
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_stops_at_once_and_another_id_is_taken() {
    let world = World::new();
    let process = world.start(world.lease(1, 2)).await;
    let (lost, before) = (process.held(), process.id().unwrap());
    let thief = crate::lease::memory::Act {
        worker_id: lost.get(),
        place_ms: START,
        asked_ms: START,
        patience_ms: 0,
        ttl_ms: 600_000,
        now_ms: START,
        fence_ms: START + 1,
        after_loss_ms: START,
    };
    let thief_from = {
        let mut book = world.place.book();
        book.delete_lease(lost.get());
        book.acquire("thief".to_owned(), thief).map(|(from, _)| from)
    };
    assert_eq!(thief_from, Some(START + 10_000), "the thief starts above all that was promised");
    world.pass(Duration::from_secs(1), &[&process]).await;
    assert_ne!(process.held(), lost, "the other id of the range");
    assert_eq!(
        world.place.book().holder(lost.get(), START + 1_000),
        Some(&"thief".to_owned()),
        "nobody is robbed back"
    );
    let after = process.id().unwrap();
    assert!(after > before, "ids rise over a change of worker id");
}

#[tokio::test(start_paused = true)]
async fn an_outage_issues_up_to_the_fence_and_heals() {
    let world = World::new();
    let process = world.start(world.lease(1, 1)).await;
    world.place.set_outage(true);
    world.pass(Duration::from_millis(9_950), &[&process]).await;
    assert!(process.id().is_some(), "the place may be away for as long as the fence lies ahead");
    world.pass(Duration::from_millis(100), &[&process]).await;
    assert_eq!(process.issuer.try_issue(1, |_| ()), Err(crate::Refusal::NoLease), "and not for longer");
    assert!(!process.standing().is_serving(START + 10_050, START + 10_050), "health knows");
    world.place.set_outage(false);
    world.pass(Duration::from_secs(4), &[&process]).await;
    assert!(process.id().is_some(), "the lease was still ours");
    let now_ms = world.clock.now_ms();
    assert!(process.standing().is_serving(now_ms, now_ms));
}

/// SIGSTOP for longer than the lease lasts, then SIGCONT.
#[tokio::test(start_paused = true)]
async fn a_stopped_process_refuses_until_it_has_a_lease_again() {
    let world = World::new();
    let stopped = world.start(world.lease(1, 2)).await;
    let (first, mut issued) = (stopped.held(), HashSet::from([stopped.id().unwrap()]));
    // Only the place and the machine's clocks go on.
    let pause = TTL + Duration::from_secs(1);
    world.clock.advance(pause);
    stopped.hands.advance(pause);
    let other = world.start(world.lease(u64::from(first.get()), u64::from(first.get()))).await;
    assert_eq!(other.held(), first, "its id is free");
    assert!(issued.insert(other.id().unwrap()));
    assert_eq!(
        stopped.issuer.try_issue(1, |_| ()),
        Err(crate::Refusal::NoLease),
        "before its keeper has run at all"
    );
    world.pass(Duration::from_secs(1), &[&stopped, &other]).await;
    assert_ne!(stopped.held(), first);
    assert!(issued.insert(stopped.id().unwrap()) && issued.insert(other.id().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_crash_hands_the_fence_over() {
    let world = World::new();
    let crashed = world.start(world.lease(1, 1)).await;
    let last = crashed.id().unwrap();
    // Out of reach, so that it cannot say good-bye.
    world.place.set_outage(true);
    crashed.tasks.cut().await;
    world.place.set_outage(false);
    world.place.book().delete_lease(1);
    let next = world.start(world.lease(1, 1)).await;
    let refused = next.issuer.try_issue(1, |_| ()).unwrap_err();
    assert!(matches!(refused, crate::Refusal::Behind { .. } | crate::Refusal::NoLease), "{refused}");
    world.pass(Duration::from_secs(10), &[&next]).await;
    assert!(next.id().unwrap() > last, "issuing begins at the fence");
}

#[tokio::test(start_paused = true)]
async fn all_ids_taken_is_said_and_tried_again() {
    let world = World::new();
    let first = world.start(world.lease(1, 1)).await;
    let second = world.start(world.lease(1, 1)).await;
    let why = "every worker id from 1 to 1 is held by somebody else".to_owned();
    assert_eq!(second.standing(), Standing::Seeking { why: Some(why) });
    first.tasks.cancel();
    first.keeper.stopped().await;
    world.pass(Duration::from_secs(5), &[&second]).await;
    assert_eq!(second.held(), worker(1), "it did not give up");
}

#[tokio::test(start_paused = true)]
async fn fences_lost_make_everybody_wait() {
    let world = World::new();
    let process = world.start(world.lease(1, 1)).await;
    world.place.book().lose();
    world.pass(Duration::from_secs(1), &[&process]).await;
    assert!(process.id().is_none(), "an unknown holder may still issue");
    world.pass(Duration::from_secs(19), &[&process]).await;
    assert!(process.id().is_none(), "twice the distance");
    world.pass(Duration::from_secs(2), &[&process]).await;
    assert!(process.id().is_some(), "whatever was lost has passed");
}

/// The generator refuses by itself: this is the same pause with a keeper that never runs again.
#[test]
fn a_fence_holds_without_a_keeper() {
    let generator = Generator::new(Layout::Standard);
    let at = |ms| Layout::Standard.slot_at(START + ms).unwrap();
    generator.start(worker(1), at(0), at(10_000));
    assert!(matches!(generator.reserve(at(9_999), 1), Reservation::Ids(_)));
    assert_eq!(generator.reserve(at(10_000), 1), Reservation::Fenced);
}
