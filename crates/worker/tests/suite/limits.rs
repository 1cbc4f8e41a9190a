//! Limits hold over all nodes, and lanes keep their order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hakata_forge::jobs::{Job, Outcome, Rules};
use hakata_store::jobs::{Lane, NewJob};
use hakata_store::{JobState, on_every_engine};

use crate::fixture::{Brokers, Ledger, QUICK, TABLE, World, new_job, settings};

/// Counts who is inside, and the most there ever were.
#[derive(Clone, Default)]
struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

impl Gauge {
    async fn inside(self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// Three nodes together never run more than the limit, and a target never has more than its own.
pub(crate) async fn limits_hold(world: &World, brokers: Brokers<'_>) {
    const TARGETS: [&str; 3] = ["a.example.org", "b.example.org", "c.example.org"];
    let all = Gauge::default();
    let by_target: Arc<Mutex<BTreeMap<String, Gauge>>> = Arc::default();
    let mut nodes = Vec::new();
    for name in ["one", "two", "three"] {
        let (all, by_target) = (all.clone(), by_target.clone());
        let run = move |job: Job| {
            let of_target = by_target.lock().unwrap().entry(job.target.unwrap()).or_default().clone();
            let all = all.clone();
            async move {
                tokio::join!(all.inside(), of_target.inside());
                Outcome::Finish
            }
        };
        let rules = Rules { per_target: 2, ..QUICK };
        nodes.push(world.node_of(name, settings(name, 5), rules, brokers(), run).await);
    }
    let job = |id: i64| {
        let target = Some(TARGETS[usize::try_from(id).unwrap() % 3]);
        NewJob { target, ..new_job(id) }
    };
    world.enqueue_all((1..=90).map(job).collect()).await;
    world.until(JobState::Done, 90).await;
    assert!((2..=5).contains(&all.most()), "{} at once", all.most());
    let most: Vec<usize> = by_target.lock().unwrap().values().map(Gauge::most).collect();
    assert!(most.len() == 3 && most.iter().all(|most| *most <= 2), "{most:?} at once");
}

/// A lane's jobs run in their order on two nodes, also when one of them fails a few times.
pub(crate) async fn lanes_keep_their_order(world: &World, brokers: Brokers<'_>) {
    let ledger = Ledger::default();
    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let ledger = ledger.clone();
        let run = move |job: Job| {
            let ledger = ledger.clone();
            async move {
                if job.id.get() == 20 && job.attempts < 3 {
                    return Outcome::Retry { why: "503".to_owned(), after: Some(Duration::ZERO) };
                }
                ledger.write(&job);
                Outcome::Finish
            }
        };
        nodes.push(world.node_of(name, settings(name, 4), QUICK, brokers(), run).await);
    }
    // Later ones have lower ids, as those of another node may.
    let job = |id: i64| NewJob { lane: Some(Lane { name: "hook:1", sequence: 100 - id }), ..new_job(id) };
    world.enqueue_all((1..=30).map(job).collect()).await;
    world.until(JobState::Done, 30).await;
    assert_eq!(ledger.read(), (1..=30).rev().collect::<Vec<i64>>());
}

on_every_engine! {
    /// By looking into the table.
    async fn limits_hold_over_all_nodes(database: TestDatabase) {
        limits_hold(&World::new(database).await, TABLE).await;
    }

    /// By looking into the table.
    async fn lanes_keep_their_order_over_nodes(database: TestDatabase) {
        lanes_keep_their_order(&World::new(database).await, TABLE).await;
    }
}
