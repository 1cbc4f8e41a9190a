//! Workers hear of jobs that other processes enqueue, without looking into the table.

use std::time::Duration;

use hakata_forge::jobs::Outcome;
use hakata_store::{Engine, JobState, jobs, on_every_engine};
use hakata_testkit::{Kept, RedisServer};
use hakata_worker::{Redis, Settings, announce};

use crate::fixture::{Ledger, NEVER, Node, QUICK, World, new_job, settings, until};

/// Starts Redis with its data in the world's directory.
fn redis(world: &World) -> (RedisServer, Redis) {
    let server = RedisServer::start(&world.path("redis")).unwrap();
    let url = server.url("");
    let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
    let redis = Redis::parse(url).unwrap();
    (server, redis)
}

async fn node(world: &World, settings: Settings, ledger: &Ledger) -> Node {
    hakata_runtime::metrics::register(&hakata_worker::metrics());
    let written = ledger.clone();
    let run = move |job| {
        written.write(&job);
        async { Outcome::Finish }
    };
    world.node("one", settings, QUICK, run).await
}

async fn until_told(told: u8) {
    let line = format!("\nhakata_jobs_told {told}\n");
    until(async || hakata_runtime::metrics::render().contains(&line), &format!("told is {told}")).await;
}

on_every_engine! {
    /// Each job of another process is started, though nobody looks into the table: by NOTIFY, or by Redis where the
    /// database tells nobody.
    async fn other_processes_tell_of_their_jobs(database: TestDatabase) {
        let (engine, world, ledger) = (database.engine(), World::new(database).await, Ledger::default());
        let (_server, redis) = redis(&world);
        let redis = (engine == Engine::MySql).then_some(redis);
        let settings = Settings { redis, poll: NEVER, look: NEVER, ..settings("one", 2) };
        let _one = node(&world, settings.clone(), &ledger).await;
        let (other, db, _engines) = world.forge("two").await;
        announce(&other, &settings, &world.tasks());
        if engine != Engine::Sqlite {
            until_told(1).await;
        }
        for id in 1..=20 {
            jobs::enqueue(&mut db.write().await.unwrap(), &new_job(id)).await.unwrap();
            world.until(JobState::Done, id).await;
        }
        assert_eq!(ledger.read(), (1..=20).collect::<Vec<i64>>());
    }
}

/// While Redis is away the table is looked at; when it is back, others are told again.
async fn redis_comes_and_goes(database: hakata_store::testing::TestDatabase) {
    let (world, ledger) = (World::new(database).await, Ledger::default());
    let (mut server, redis) = redis(&world);
    let often = Duration::from_millis(50);
    let settings = Settings { redis: Some(redis), poll: often, look: NEVER, ..settings("one", 2) };
    let _one = node(&world, settings.clone(), &ledger).await;
    let (other, db, _engines) = world.forge("two").await;
    announce(&other, &settings, &world.tasks());
    let enqueue = async |id| {
        jobs::enqueue(&mut db.write().await.unwrap(), &new_job(id)).await.unwrap();
        world.until(JobState::Done, id).await;
    };
    until_told(1).await;
    enqueue(1).await;
    server.kill().unwrap();
    until_told(0).await;
    enqueue(2).await;
    enqueue(3).await;
    server.start_again(Kept::Nothing).unwrap();
    until_told(1).await;
    for id in 4..=9 {
        enqueue(id).await;
    }
    assert_eq!(ledger.read(), (1..=9).collect::<Vec<i64>>());
}

#[test]
fn jobs_are_found_while_redis_is_away_on_mariadb() {
    hakata_store::testing::run(Engine::MySql, redis_comes_and_goes);
}

/// PostgreSQL needs no Redis; one that is named is used all the same.
#[test]
fn jobs_are_found_while_redis_is_away_on_postgres() {
    hakata_store::testing::run(Engine::Postgres, redis_comes_and_goes);
}
