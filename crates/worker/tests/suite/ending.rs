//! How attempts end, and what becomes of jobs whose worker ends.

use std::sync::Arc;
use std::time::Duration;

use hakata_forge::jobs::{Outcome, Rules};
use hakata_runtime::tasks::Tasks;
use hakata_store::{JobState, jobs, on_every_engine};
use hakata_worker::Settings;
use tokio::sync::Semaphore;

use crate::fixture::{Brokers, Ledger, NEVER, QUICK, TABLE, World, new_job, settings, until};

fn retry(why: &str) -> Outcome {
    Outcome::Retry { why: why.to_owned(), after: None }
}

/// Each of many jobs runs exactly once on two nodes, and is done.
pub(crate) async fn each_runs_once(world: &World, brokers: Brokers<'_>) {
    let ledger = Ledger::default();
    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let ledger = ledger.clone();
        let run = move |job| {
            ledger.write(&job);
            async { Outcome::Finish }
        };
        nodes.push(world.node_of(name, settings(name, 8), QUICK, brokers(), run).await);
    }
    world.enqueue(300).await;
    world.until(JobState::Done, 300).await;
    let mut ran = ledger.read();
    ran.sort_unstable();
    assert_eq!(ran, (1..=300).collect::<Vec<i64>>());
}

/// Jobs of a node that dies are run by another when their claims lapse; an attempt whose claim was lost is cut. The jobs
/// are four from `first` on, and all before it are done.
pub(crate) async fn another_runs_a_dead_nodes_jobs(
    world: &World,
    brokers: Brokers<'_>,
    rules: Rules,
    first: i64,
) {
    let begun = Ledger::default();
    let written = begun.clone();
    let hang = move |job| {
        written.write(&job);
        std::future::pending()
    };
    let short = |node| Settings { lease: Duration::from_secs(1), ..settings(node, 4) };
    let dying = world.node_of("dying", short("dying"), rules, brokers(), hang).await;
    world.enqueue_all((first..first + 4).map(new_job).collect()).await;
    until(async || begun.read().len() == 4, "four jobs run").await;
    // As a killed process: its tasks are gone, and it gives nothing back.
    dying.tasks.cut().await;
    let ledger = Ledger::default();
    let written = ledger.clone();
    let run = move |job| {
        written.write(&job);
        async { Outcome::Finish }
    };
    let heir = world.node_of("heir", short("heir"), rules, brokers(), run).await;
    world.until(JobState::Done, first + 3).await;
    assert_eq!(world.find(first).await.attempts, 2);
    let mut ran = ledger.read();
    ran.sort_unstable();
    assert_eq!(ran, (first..first + 4).collect::<Vec<i64>>());
    heir.tasks.cut().await;
}

on_every_engine! {
    /// By looking into the table.
    async fn every_job_runs_once(database: TestDatabase) {
        each_runs_once(&World::new(database).await, TABLE).await;
    }

    /// Jobs start when they are committed: nobody looks at the queue.
    async fn an_idle_worker_starts_at_once(database: TestDatabase) {
        let world = World::new(database).await;
        let ledger = Ledger::default();
        let written = ledger.clone();
        let run = move |job| {
            written.write(&job);
            async { Outcome::Finish }
        };
        let settings = Settings { poll: NEVER, look: NEVER, ..settings("one", 1) };
        let node = world.node("one", settings, QUICK, run).await;
        for id in 1..=5 {
            // By the worker's own process, so that the channel tells it on every engine.
            let is_enqueued = jobs::enqueue(&mut node.db.write().await.unwrap(), &new_job(id)).await.unwrap();
            assert!(is_enqueued);
            world.until(JobState::Done, id).await;
        }
        assert_eq!(ledger.read(), [1, 2, 3, 4, 5]);
    }

    /// A poisonous job is buried after its attempts, with what it said, and stops nobody.
    async fn what_never_works_is_buried(database: TestDatabase) {
        let world = World::new(database).await;
        let ledger = Ledger::default();
        let written = ledger.clone();
        let run = move |job: hakata_forge::jobs::Job| {
            written.write(&job);
            async move {
                match job.id.get() {
                    1 => panic!("poison"),
                    2 => retry("the host is away"),
                    3 => Outcome::Bury { why: "410".to_owned() },
                    4 => std::future::pending().await,
                    _ => Outcome::Finish,
                }
            }
        };
        let rules = Rules { time: Duration::from_millis(200), ..QUICK };
        let _node = world.node("one", settings("one", 2), rules, run).await;
        world.enqueue(20).await;
        world.until(JobState::Buried, 4).await;
        world.until(JobState::Done, 16).await;
        for (id, attempts, words) in
            [(1, 3, "panicked; the log says where"), (2, 3, "the host is away"), (3, 1, "410"), (4, 3, "took longer than 0 s")]
        {
            let job = world.find(id).await;
            assert_eq!((job.attempts, job.last_error.as_deref()), (attempts, Some(words)), "job {id}");
            assert_eq!(ledger.read().iter().filter(|ran| **ran == id).count(), usize::try_from(attempts).unwrap());
        }
    }

    /// A drain finishes what runs and claims nothing more; what does not end in time goes back as if never claimed.
    async fn a_drain_loses_nothing(database: TestDatabase) {
        let world = World::new(database).await;
        let (release, _) = tokio::sync::watch::channel(false);
        let running = Ledger::default();
        let (written, gate) = (running.clone(), release.clone());
        let run = move |job: hakata_forge::jobs::Job| {
            written.write(&job);
            let is_first = written.read().first() == Some(&job.id.get());
            let mut gate = gate.subscribe();
            async move {
                match is_first {
                    true => drop(gate.wait_for(|open| *open).await),
                    false => std::future::pending().await,
                }
                Outcome::Finish
            }
        };
        let node = world.node("one", settings("one", 2), QUICK, run).await;
        world.enqueue(5).await;
        until(async || running.read().len() == 2, "two jobs run").await;
        let draining = node.tasks.drain(Duration::from_millis(500));
        let opened = async { release.send_replace(true) };
        tokio::join!(draining, opened);
        node.worker.stop().await;
        let begun = running.read();
        assert_eq!(begun.len(), 2, "nothing was begun after the drain");
        assert_eq!(world.find(begun[0]).await.state, JobState::Done);
        assert_eq!(world.count(JobState::Waiting).await, 4);
        let back = world.find(begun[1]).await;
        assert_eq!((back.attempts, back.claimed_by), (0, None));
    }

    /// By looking into the table.
    async fn a_dead_nodes_jobs_are_run_by_another(database: TestDatabase) {
        another_runs_a_dead_nodes_jobs(&World::new(database).await, TABLE, QUICK, 1).await;
    }

    /// A claim is renewed for as long as its attempt runs, also in a drain, so that nobody else takes the job.
    async fn long_jobs_keep_their_claims(database: TestDatabase) {
        let world = World::new(database).await;
        let ledger = Ledger::default();
        // Attempts end when it is closed.
        let gate = Arc::new(Semaphore::new(0));
        let mut nodes = Vec::new();
        for name in ["one", "two"] {
            let (ledger, gate) = (ledger.clone(), gate.clone());
            let run = move |job| {
                ledger.write(&job);
                let gate = gate.clone();
                async move {
                    drop(gate.acquire().await);
                    Outcome::Finish
                }
            };
            let settings = Settings { lease: Duration::from_secs(1), ..settings(name, 4) };
            nodes.push(world.node(name, settings, QUICK, run).await);
        }
        world.enqueue(1).await;
        until(async || ledger.read().len() == 1, "the job runs").await;
        let first = world.find(1).await.claimed_until.unwrap();
        let renewed = async {
            let later = async || world.find(1).await.claimed_until.is_some_and(|at| at > first + 2_000);
            until(later, "the claim holds two leases longer").await;
            gate.close();
        };
        let drains: Vec<Tasks> = nodes.iter().map(|node| node.tasks.clone()).collect();
        let drains = drains.iter().map(|tasks| tasks.drain(Duration::from_secs(20)));
        tokio::join!(futures_util::future::join_all(drains), renewed);
        assert_eq!(world.count(JobState::Done).await, 1);
        assert_eq!((ledger.read(), world.find(1).await.attempts), (vec![1], 1));
    }
}
