//! The generator and the line of time in every order that two or three threads can run in.
//!
//! The very sources are built here with the model checker's atomics in place of those of std. Each run of the tests
//! tries all orders with up to two preemptions; `cargo xtask prove loom` allows more.
#![expect(unreachable_pub, dead_code, reason = "the sources are a crate's modules, not a test's")]

#[path = "../src/generator.rs"]
mod generator;
#[path = "../src/layout.rs"]
mod layout;
#[path = "../src/time_base/line.rs"]
mod line;

mod sync {
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU64, Ordering};
    pub(crate) use std::sync::PoisonError;
}

use std::collections::BTreeSet;
use std::time::Duration;

use generator::{Generator, Reservation};
use layout::{Layout, Parts, Slot, WorkerId};
use line::{Line, Stretch};
use loom::sync::Arc;
use loom::thread;

const LAYOUT: Layout = Layout::Standard;

/// Tries every order of the threads in `model`.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}

fn worker(n: u64) -> WorkerId {
    WorkerId::new(LAYOUT, n).expect("a worker id")
}

/// The first slot of a tick.
fn tick(n: u64) -> Slot {
    Slot::new(n * LAYOUT.ids_per_tick())
}

fn slot_of(id: u64) -> Slot {
    let parts: Parts = LAYOUT.parts(id).expect("an id");
    LAYOUT.slot_at(parts.unix_ms).expect("its time").plus(parts.sequence)
}

fn worker_of(id: u64) -> WorkerId {
    LAYOUT.parts(id).expect("an id").worker_id
}

/// Asks twice and returns what came, which must rise.
fn ask(generator: &Generator, now: Slot, n: u32) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..2 {
        if let Reservation::Ids(more) = generator.reserve(now, n) {
            ids.extend(more);
        }
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "ids rise for one caller: {ids:?}");
    ids
}

fn assert_unique(ids: &[u64]) {
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "no id comes twice: {ids:?}");
}

#[test]
fn threads_never_share_an_id() {
    explore(|| {
        let generator = Arc::new(Generator::new(LAYOUT));
        generator.start(worker(1), tick(5), tick(5).plus(4));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let generator = generator.clone();
                thread::spawn(move || ask(&generator, tick(5), 2))
            })
            .collect();
        let ids: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect();
        assert_unique(&ids);
        assert_eq!(ids.len(), 4, "every slot below the fence is issued");
    });
}

#[test]
fn nothing_is_issued_behind_what_stop_told() {
    explore(|| {
        let generator = Arc::new(Generator::new(LAYOUT));
        generator.start(worker(1), tick(5), tick(6));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let generator = generator.clone();
                thread::spawn(move || ask(&generator, tick(5), 1))
            })
            .collect();
        let (held, next) = generator.stop().expect("a term ran");
        assert_eq!(held, worker(1));
        assert_eq!(generator.stop(), None, "it ends once");
        for id in threads.into_iter().flat_map(|thread| thread.join().expect("a thread")) {
            assert!(slot_of(id) < next, "the fence is lowered to {next}, and somebody else starts there");
        }
    });
}

#[test]
fn each_term_keeps_to_its_own_fence() {
    explore(|| {
        let generator = Arc::new(Generator::new(LAYOUT));
        // The lesser worker id comes second: its ids must rise all the same.
        generator.start(worker(9), tick(5), tick(5).plus(1));
        let asking = generator.clone();
        let thread = thread::spawn(move || {
            let ids = ask(&asking, tick(5), 1);
            [ids, ask(&asking, tick(6), 1)].concat()
        });
        generator.start(worker(3), tick(5), tick(7));
        let ids = thread.join().expect("a thread");
        assert!(ids.is_sorted_by(|a, b| a < b), "ids rise over a change of worker: {ids:?}");
        for id in ids {
            if worker_of(id) == worker(9) {
                assert!(slot_of(id) < tick(5).plus(1), "the old term ends at its own fence");
            } else {
                assert_eq!(worker_of(id), worker(3));
                assert!(slot_of(id) >= tick(6), "the new term starts in a tick of its own");
            }
        }
    });
}

#[test]
fn what_is_borrowed_ends_at_the_bound_and_at_the_fence() {
    explore(|| {
        let borrow = Duration::from_millis(1);
        let generator = Arc::new(Generator::new(LAYOUT).borrowing(borrow));
        // Two slots are left in the tick, and the fence lies within the one that may be borrowed.
        generator.start(worker(1), tick(6).minus(2), tick(6).plus(3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let generator = generator.clone();
                thread::spawn(move || ask(&generator, tick(5), 2))
            })
            .collect();
        let (_, next) = generator.stop().expect("a term ran");
        let ids: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect();
        assert_unique(&ids);
        for id in ids {
            assert!(slot_of(id) < next, "the fence is lowered to {next}, however far was borrowed");
            assert!(slot_of(id) < tick(6).plus(3), "the fence holds for what is borrowed");
        }
    });
}

#[test]
fn a_raised_fence_lends_no_more_than_the_bound() {
    explore(|| {
        let generator = Arc::new(Generator::new(LAYOUT).borrowing(Duration::from_millis(1)));
        generator.start(worker(1), tick(7).minus(1), tick(7).minus(1));
        let raising = generator.clone();
        let raise = thread::spawn(move || raising.raise_fence(tick(9)));
        let asking = generator.clone();
        let other = thread::spawn(move || ask(&asking, tick(5), 1));
        let mut ids = ask(&generator, tick(5), 1);
        raise.join().expect("a thread");
        ids.extend(other.join().expect("a thread"));
        assert_unique(&ids);
        assert!(ids.iter().all(|id| slot_of(*id) < tick(7)), "a tick ahead of time at most: {ids:?}");
        assert!(ids.len() <= 1, "the bound leaves one slot");
    });
}

#[test]
fn a_raised_fence_does_not_revive_an_ended_term() {
    explore(|| {
        let generator = Arc::new(Generator::new(LAYOUT));
        generator.start(worker(1), tick(5), tick(5).plus(1));
        let raising = generator.clone();
        let raise = thread::spawn(move || raising.raise_fence(tick(6)));
        let asking = generator.clone();
        let issue = thread::spawn(move || ask(&asking, tick(5), 1));
        let (_, next) = generator.stop().expect("a term ran");
        raise.join().expect("a thread");
        assert_eq!(generator.fence(), Slot::ZERO, "it stays ended");
        assert_eq!(generator.reserve(tick(5), 1), Reservation::Fenced);
        for id in issue.join().expect("a thread") {
            assert!(slot_of(id) < next, "nothing is issued behind the end");
        }
    });
}

#[test]
fn time_is_never_read_half_changed() {
    explore(|| {
        let stretch = |n| Stretch { from: n, at: n, correction: n };
        let line = Arc::new(Line::new(stretch(0)));
        let reading = line.clone();
        let reader = thread::spawn(move || {
            let (first, second) = (reading.read(), reading.read());
            for seen in [first, second] {
                assert_eq!(seen, stretch(seen.from), "a stretch is read as it was published");
            }
            assert!(second.from >= first.from, "the line does not go back");
        });
        line.publish(stretch(1));
        line.publish(stretch(2));
        line.publish(stretch(3));
        reader.join().expect("a thread");
        assert_eq!(line.read(), stretch(3));
    });
}
