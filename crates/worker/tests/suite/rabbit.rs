//! Jobs through RabbitMQ, on each engine: nothing lost, nothing twice, nothing above a limit, whatever the broker does.

use std::sync::Arc;
use std::time::Duration;

use hakata_forge::jobs::{Kind, Outcome, Rules};
use hakata_runtime::tasks::Tasks;
use hakata_store::jobs;
use hakata_store::{JobState, on_every_engine};
use hakata_worker::rabbit::{Link, State};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::sync::Semaphore;

use crate::broker::Names;
use crate::ending::{another_runs_a_dead_nodes_jobs, each_runs_once};
use crate::fixture::{KIND, Ledger, Node, QUICK, World, new_job, settings, until};
use crate::limits::{lanes_keep_their_order, limits_hold};

/// Starts a node whose worker writes down what it runs.
async fn node(world: &World, names: &Names, name: &str, limit: usize, ledger: &Ledger) -> Node {
    let ledger = ledger.clone();
    let run = move |job| {
        ledger.write(&job);
        async { Outcome::Finish }
    };
    world.node_of(name, settings(name, limit), QUICK, Some(names.broker()), run).await
}

fn sorted(ledger: &Ledger) -> Vec<i64> {
    let mut ran = ledger.read();
    ran.sort_unstable();
    ran
}

on_every_engine! {
    /// Each of many jobs runs exactly once, with a relay and a worker on two nodes.
    async fn every_named_job_runs_once(database: TestDatabase) {
        let (names, world) = (Names::new(), World::new(database).await);
        each_runs_once(&world, &|| Some(names.broker())).await;
        let (_connection, channel) = names.connect().await;
        let queue = names.queue(KIND);
        until(async || names.ready(&channel, &queue).await == 0, "every message is acknowledged").await;
    }

    /// Three nodes together never run more than the limit, and a target never has more than its own. What could not be
    /// claimed when its message came is claimed when there is room, by whoever has it.
    async fn limits_hold_over_all_consumers(database: TestDatabase) {
        let (names, world) = (Names::new(), World::new(database).await);
        limits_hold(&world, &|| Some(names.broker())).await;
    }

    /// A lane's jobs run in their order on two nodes, whatever the order of their messages, also when one fails.
    async fn named_lanes_keep_their_order(database: TestDatabase) {
        let (names, world) = (Names::new(), World::new(database).await);
        lanes_keep_their_order(&world, &|| Some(names.broker())).await;
    }

    /// A paused kind rests though its messages come; then its jobs run.
    async fn a_paused_kind_waits_for_its_resumption(database: TestDatabase) {
        let (names, ledger) = (Names::new(), Ledger::default());
        let world = World::new(database).await;
        jobs::pause(&mut world.db.write().await.unwrap(), KIND.as_str(), 1).await.unwrap();
        let node = node(&world, &names, "one", 2, &ledger).await;
        world.enqueue(6).await;
        let passed = async || {
            let mut conn = world.db.read().await.unwrap();
            jobs::passed_kinds(&mut conn, i64::MAX).await.unwrap() == [KIND.as_str()]
        };
        until(passed, "messages came in vain").await;
        jobs::resume(&mut node.db.write().await.unwrap(), KIND.as_str()).await.unwrap();
        world.until(JobState::Done, 6).await;
        assert_eq!(sorted(&ledger), [1, 2, 3, 4, 5, 6]);
    }

    /// What a dead worker had is run by another when its claim lapses, though its message was acknowledged.
    async fn a_dead_consumers_jobs_are_run_by_another(database: TestDatabase) {
        let (names, world) = (Names::new(), World::new(database).await);
        // Two of the rules: a message that is acknowledged at the claim, and one that is not.
        for (first, time) in [(1, QUICK.time), (5, Duration::from_secs(600))] {
            let rules = Rules { time, ..QUICK };
            another_runs_a_dead_nodes_jobs(&world, &|| Some(names.broker()), rules, first).await;
        }
    }

    /// A drain finishes what runs and takes nothing more; the messages of the rest go back to the broker.
    async fn a_drain_gives_messages_back(database: TestDatabase) {
        let (names, begun) = (Names::new(), Ledger::default());
        let world = World::new(database).await;
        let gate = Arc::new(Semaphore::new(0));
        let (written, shut) = (begun.clone(), gate.clone());
        let run = move |job| {
            written.write(&job);
            let shut = shut.clone();
            async move {
                drop(shut.acquire().await);
                Outcome::Finish
            }
        };
        let leaving = world.node_of("leaving", settings("leaving", 2), QUICK, Some(names.broker()), run).await;
        world.enqueue(6).await;
        until(async || begun.read().len() == 2, "two jobs run").await;
        let tasks: Tasks = leaving.tasks.clone();
        let drain = tasks.drain(Duration::from_secs(30));
        tokio::join!(drain, async { gate.close() });
        leaving.worker.stop().await;
        assert_eq!((begun.read().len(), world.count(JobState::Done).await), (2, 2));
        let ledger = Ledger::default();
        let _next = node(&world, &names, "next", 2, &ledger).await;
        world.until(JobState::Done, 6).await;
        assert_eq!(ledger.read().len(), 4);
    }
}

/// The relay waits with what a full queue refuses, and nothing is lost.
async fn a_full_queue_delays_jobs(database: hakata_store::testing::TestDatabase) {
    let (mut names, ledger) = (Names::new(), Ledger::default());
    let world = World::new(database).await;
    // The broker hears of a full queue after some messages more: they come two by two.
    (names.settings.queue_length, names.settings.unconfirmed) = (3, 2);
    let (forge, _db, _engines) = world.forge("relay").await;
    let relay = world.tasks();
    names.broker().relay(&forge, &relay);
    world.enqueue(20).await;
    let (_connection, channel) = names.connect().await;
    let refused = async || hakata_runtime::metrics::render().contains("outcome=\"refused\"");
    until(refused, "the broker refuses messages").await;
    assert!(names.ready(&channel, &names.queue(KIND)).await < 20);
    let _node = node(&world, &names, "one", 4, &ledger).await;
    world.until(JobState::Done, 20).await;
    assert_eq!(sorted(&ledger), (1..=20).collect::<Vec<i64>>());
}

#[test]
fn what_a_full_queue_refuses_comes_later() {
    hakata_runtime::metrics::register(&hakata_worker::metrics());
    hakata_store::testing::run(hakata_store::Engine::Postgres, a_full_queue_delays_jobs);
}

/// A queue that differs is reported and left alone; when it is gone, the jobs follow.
async fn a_changed_queue_is_reported(database: hakata_store::testing::TestDatabase) {
    let (names, ledger) = (Names::new(), Ledger::default());
    let world = World::new(database).await;
    let (_connection, channel) = names.connect().await;
    let queue = names.queue(Kind::Webhook);
    let classic = QueueDeclareOptions::durable();
    channel.queue_declare(queue.as_str().into(), classic, FieldTable::default()).await.unwrap();
    let broker = names.broker();
    let written = ledger.clone();
    let run = move |job| {
        written.write(&job);
        async { Outcome::Finish }
    };
    let _node = world.node_of("one", settings("one", 4), QUICK, Some(broker.clone()), run).await;
    world.enqueue(3).await;
    for link in [Link::Relay, Link::Consumer] {
        let is_told = async || {
            let said = broker.links().get(&link).map(ToString::to_string).unwrap_or_default();
            said.starts_with("misdeclared: ") && said.contains(&queue)
        };
        until(is_told, "the queue is named").await;
    }
    assert_eq!((world.count(JobState::Waiting).await, ledger.read().len()), (3, 0));
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    world.until(JobState::Done, 3).await;
    assert_eq!(broker.links()[&Link::Consumer], State::Up);
}

#[test]
fn a_queue_that_differs_is_reported_and_left_alone() {
    hakata_store::testing::run(hakata_store::Engine::Sqlite, a_changed_queue_is_reported);
}

/// A queue that somebody deletes is declared again, and what was in it is named again.
async fn a_lost_queue_comes_back(database: hakata_store::testing::TestDatabase) {
    let (mut names, ledger) = (Names::new(), Ledger::default());
    let world = World::new(database).await;
    names.settings.rename = Duration::from_secs(1);
    let (forge, _db, _engines) = world.forge("relay").await;
    let relay = world.tasks();
    names.broker().relay(&forge, &relay);
    world.enqueue(5).await;
    let (_connection, channel) = names.connect().await;
    let queue = names.queue(KIND);
    let named = async || jobs::relay_lag(&mut world.db.read().await.unwrap(), 2).await.unwrap().is_none();
    until(named, "all are named").await;
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let _node = node(&world, &names, "one", 4, &ledger).await;
    world.until(JobState::Done, 5).await;
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    world.enqueue_all((6..=9).map(new_job).collect()).await;
    world.until(JobState::Done, 9).await;
    assert_eq!(sorted(&ledger), (1..=9).collect::<Vec<i64>>());
}

#[test]
fn a_queue_that_is_deleted_comes_back_with_its_jobs() {
    hakata_store::testing::run(hakata_store::Engine::Postgres, a_lost_queue_comes_back);
}

/// A message that names no job goes to the dead letters; one that names a job that is gone is forgotten.
async fn nonsense_is_put_aside(database: hakata_store::testing::TestDatabase) {
    let (names, ledger) = (Names::new(), Ledger::default());
    let world = World::new(database).await;
    let _node = node(&world, &names, "one", 4, &ledger).await;
    world.enqueue(1).await;
    world.until(JobState::Done, 1).await;
    let (_connection, channel) = names.connect().await;
    let exchange = format!("{}.jobs", names.settings.prefix);
    for text in ["4711", "nonsense", "1"] {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let (exchange, key) = (exchange.as_str().into(), KIND.as_str().into());
        channel
            .basic_publish(exchange, key, options, text.as_bytes(), properties)
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let dead = format!("{}.dead", names.settings.prefix);
    until(async || names.ready(&channel, &dead).await == 1, "one dead letter").await;
    assert_eq!(ledger.read(), [1], "what is done runs no more");
}

#[test]
fn messages_that_name_no_job_are_put_aside() {
    hakata_store::testing::run(hakata_store::Engine::Sqlite, nonsense_is_put_aside);
}
