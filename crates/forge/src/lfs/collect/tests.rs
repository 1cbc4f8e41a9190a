//! What is collected, what is not, and who is faster.

use std::path::PathBuf;
use std::sync::Arc;

use hakata_names::RepositoryId;
use hakata_store::testing::TestDatabase;
use hakata_store::{Engine, JobState};
use tokio::sync::Barrier;

use super::{Collected, Collector, How, Marks, Sum, collect, schedule};
use crate::lfs::tests::{HOUR_MS, Stage, wanted};
use crate::lfs::{Answer, batch_upload, find, sweep};
use crate::{Kind, Settings};

const DAY_MS: i64 = 24 * HOUR_MS;

/// Collects for good in `alice/tools`.
async fn run(stage: &Stage) -> Collected {
    collect(&stage.world.forge, id(stage, "alice/tools").await, How::default()).await.unwrap()
}

async fn id(stage: &Stage, name: &str) -> RepositoryId {
    stage.read(&stage.alice, name).await.repository()
}

fn sum(n: u64, bytes: u64) -> Sum {
    Sum { n, bytes }
}

async fn has(stage: &Stage, name: &str, bytes: &[u8]) -> bool {
    let grant = stage.read(&stage.alice, name).await;
    match find(&stage.world.forge, &grant, &wanted(bytes).oid).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), Kind::NotFound, "{error}");
            false
        }
    }
}

/// Objects in `alice/tools`, of which `main` points to the first, and only it; and the clone that was pushed.
async fn pushed(stage: &Stage, objects: &[&[u8]]) -> PathBuf {
    for bytes in objects {
        stage.upload(&stage.alice, "alice/tools", bytes).await.unwrap();
    }
    let dir = stage.world.work_tree("w");
    stage.commit(&dir, &[("kept", objects[0])]);
    stage.world.push(&stage.alice, "alice/tools", &dir, &["main"]).await.ok();
    dir
}

hakata_store::on_every_engine! {
    /// x4: from linked over quarantine to gone, each in its time; and back, sent again.
    async fn what_no_commit_points_to_goes_in_its_time(database: TestDatabase) {
        let stage = Stage::on(database, Settings::default()).await;
        let (forge, clock) = (&stage.world.forge, &stage.world.clock);
        let dir = pushed(&stage, &[b"kept", b"branch", b"loose!"]).await;
        stage.world.git(&dir, &["checkout", "-q", "-b", "topic"]);
        stage.commit(&dir, &[("topic", b"branch")]);
        stage.world.push(&stage.alice, "alice/tools", &dir, &["topic"]).await.ok();
        stage.world.push(&stage.alice, "alice/tools", &dir, &[":topic"]).await.ok();
        assert_eq!(run(&stage).await, Collected::default(), "what came is left alone for gc_grace");
        clock.step_wall(15 * DAY_MS);
        let dry = How { is_dry_run: true, ..How::default() };
        let planned = collect(forge, id(&stage, "alice/tools").await, dry).await.unwrap();
        let quarantined = Collected { looked_at: sum(3, 16), quarantined: sum(1, 6), ..Collected::default() };
        assert_eq!(planned, quarantined, "a deleted branch can be restored yet");
        assert_eq!(run(&stage).await, quarantined, "the rehearsal did nothing");
        let waiting = Collected { looked_at: sum(3, 16), waiting: sum(1, 6), ..Collected::default() };
        assert_eq!(run(&stage).await, waiting);
        assert_eq!(stage.usage("alice/tools").await, (3, 16), "and it is counted as long as it is there");
        clock.step_wall(17 * DAY_MS);
        let taken = run(&stage).await;
        assert_eq!(taken, Collected {
            looked_at: sum(3, 16), quarantined: sum(1, 6), taken: sum(1, 6), ..Collected::default()
        }, "the branch cannot be restored any more, and the other one has waited");
        assert!(!has(&stage, "alice/tools", b"loose!").await);
        assert!(has(&stage, "alice/tools", b"kept").await);
        assert_eq!(stage.usage("alice/tools").await, (2, 10));
        sweep::sweep(forge).await.unwrap();
        clock.step_wall(2 * DAY_MS);
        sweep::sweep(forge).await.unwrap();
        assert_eq!(stage.n_files(), 2, "its bytes are gone, and no others");
        assert_eq!(stage.ask(&stage.alice, "alice/tools", &[b"loose!"]).await, [Answer::Transfer]);
        stage.upload(&stage.alice, "alice/tools", b"loose!").await.unwrap();
        assert!(has(&stage, "alice/tools", b"loose!").await);
    }

    /// x4: whoever is told that an object is there, or asks for it, keeps it; so does a pointer that comes back.
    async fn whoever_asks_for_an_object_keeps_it(database: TestDatabase) {
        let stage = Stage::on(database, Settings::default()).await;
        let clock = &stage.world.clock;
        let dir = pushed(&stage, &[b"kept", b"batch", b"fetch", b"again", b"loose"]).await;
        clock.step_wall(15 * DAY_MS);
        assert_eq!(run(&stage).await.quarantined, sum(4, 20));
        clock.step_wall(15 * DAY_MS);
        assert_eq!(stage.ask(&stage.alice, "alice/tools", &[b"batch"]).await, [Answer::Present]);
        assert!(has(&stage, "alice/tools", b"fetch").await);
        stage.upload(&stage.alice, "alice/tools", b"batch").await.unwrap();
        stage.commit(&dir, &[("again", b"again")]);
        stage.world.push(&stage.alice, "alice/tools", &dir, &["main"]).await.ok();
        let collected = run(&stage).await;
        assert_eq!((collected.taken, collected.revived), (sum(1, 5), sum(1, 5)), "loose and again");
        for bytes in [b"batch", b"fetch", b"again"] {
            assert!(has(&stage, "alice/tools", bytes).await, "{bytes:?}");
        }
        assert_eq!(run(&stage).await.quarantined, Sum::default(), "what was asked for is left alone for a while");
        clock.step_wall(15 * DAY_MS);
        assert_eq!(run(&stage).await.quarantined, sum(2, 10), "but not forever");
    }

    /// x4: of many who are told that objects are there while these are collected, each finds what it was told of.
    async fn batches_and_collectors_race(database: TestDatabase) {
        let stage = Stage::on(database, Settings::default()).await;
        let objects: Vec<Vec<u8>> = (0..24).map(|n| format!("object {n}").into_bytes()).collect();
        let listed: Vec<&[u8]> = objects.iter().map(Vec::as_slice).collect();
        pushed(&stage, &[b"kept"]).await;
        for round in 0..3 {
            for bytes in &listed {
                stage.upload(&stage.alice, "alice/tools", bytes).await.unwrap();
            }
            stage.world.clock.step_wall(15 * DAY_MS);
            run(&stage).await;
            stage.world.clock.step_wall(15 * DAY_MS);
            let barrier = Arc::new(Barrier::new(objects.len() + 2));
            let mut asking = Vec::new();
            for bytes in &objects {
                let (forge, barrier, wanted) = (stage.world.forge.clone(), barrier.clone(), wanted(bytes));
                let grant = stage.write(&stage.alice, "alice/tools").await;
                asking.push(tokio::spawn(async move {
                    barrier.wait().await;
                    batch_upload(&forge, &grant, None, &[wanted]).await.unwrap().remove(0)
                }));
            }
            let repository = id(&stage, "alice/tools").await;
            let collecting = [0, 1].map(|_| {
                let (forge, barrier) = (stage.world.forge.clone(), barrier.clone());
                tokio::spawn(async move {
                    barrier.wait().await;
                    collect(&forge, repository, How::default()).await.unwrap()
                })
            });
            let mut taken = Sum::default();
            for collecting in collecting {
                taken += collecting.await.unwrap().taken;
            }
            let mut n_told = 0;
            for (bytes, asking) in objects.iter().zip(asking) {
                match asking.await.unwrap() {
                    Answer::Present => {
                        n_told += 1;
                        assert!(has(&stage, "alice/tools", bytes).await, "round {round}: promised, and gone");
                    }
                    Answer::Transfer => assert!(!has(&stage, "alice/tools", bytes).await, "round {round}"),
                    Answer::Refused(refusal) => panic!("{refusal}"),
                }
            }
            assert_eq!(n_told + taken.n, objects.len() as u64, "each is either promised or taken, once");
            assert_eq!(stage.usage("alice/tools").await.0, 1 + i64::try_from(n_told).unwrap());
        }
    }

    /// x4: a push that lands between the search and the end is searched before anything is taken.
    async fn a_push_in_between_is_seen(database: TestDatabase) {
        let stage = Stage::on(database, Settings::default()).await;
        let forge = &stage.world.forge;
        let dir = pushed(&stage, &[b"kept", b"pushed", b"loose"]).await;
        stage.world.clock.step_wall(15 * DAY_MS);
        assert_eq!(run(&stage).await.quarantined, sum(2, 11));
        stage.world.clock.step_wall(15 * DAY_MS);
        let repository = id(&stage, "alice/tools").await;
        let mut collector = Collector::new(forge, repository, How::default());
        let (mut round, _) = collector.next_round(None).await.unwrap();
        let marks = Marks::find(forge, repository, &mut round).await.unwrap();
        let ripe: Vec<_> = round.into_values().collect();
        assert_eq!(ripe.len(), 2);
        // Without a batch: this client believes that the server has it.
        stage.commit(&dir, &[("more", b"pushed")]);
        stage.world.push(&stage.alice, "alice/tools", &dir, &["main"]).await.ok();
        assert_eq!(collector.take_some(&ripe, marks.version()).await.unwrap(), None, "refs have moved");
        collector.take(ripe, marks).await.unwrap();
        assert_eq!(collector.found.taken, sum(1, 5));
        assert!(has(&stage, "alice/tools", b"pushed").await && !has(&stage, "alice/tools", b"loose").await);
    }

    /// An object that several repositories have is taken away from one alone; a fork keeps what its source loses.
    async fn others_keep_what_one_loses(database: TestDatabase) {
        let stage = Stage::on(database, Settings::default()).await;
        let forge = &stage.world.forge;
        stage.repository("alice/other").await;
        pushed(&stage, &[b"kept", b"shared"]).await;
        assert_eq!(stage.ask(&stage.alice, "alice/other", &[b"shared"]).await, [Answer::Present]);
        for _ in 0..2 {
            stage.world.clock.step_wall(15 * DAY_MS);
            run(&stage).await;
        }
        assert!(!has(&stage, "alice/tools", b"shared").await && has(&stage, "alice/other", b"shared").await);
        for _ in 0..2 {
            sweep::sweep(forge).await.unwrap();
            stage.world.clock.step_wall(2 * DAY_MS);
        }
        assert_eq!(stage.n_files(), 2);
        assert_eq!((stage.usage("alice/tools").await, stage.usage("alice/other").await), ((1, 4), (1, 6)));
    }
}

/// A repository whose objects are pointed to from elsewhere loses none by itself.
#[tokio::test]
async fn a_repository_that_keeps_objects_for_others_is_left_alone() {
    let stage = Stage::new().await;
    let forge = &stage.world.forge;
    stage.upload(&stage.alice, "alice/tools", b"of others").await.unwrap();
    let dir = stage.world.work_tree("w");
    stage.world.push(&stage.alice, "alice/tools", &dir, &["main"]).await.ok();
    stage.world.clock.step_wall(15 * DAY_MS);
    let found = run(&stage).await;
    assert_eq!(found, Collected { looked_at: sum(1, 9), is_left_alone: true, ..Collected::default() });
    let how = How { even_without_pointers: true, ..How::default() };
    let found = collect(forge, id(&stage, "alice/tools").await, how).await.unwrap();
    assert_eq!(found.quarantined, sum(1, 9), "unless somebody says so");
}

/// A history that cannot be read whole says nothing about what is pointed to.
#[tokio::test]
async fn what_cannot_be_searched_loses_nothing() {
    let stage = Stage::new().await;
    let dir = pushed(&stage, &[b"kept", b"loose"]).await;
    stage.world.commit(&dir, "two");
    stage.world.push(&stage.alice, "alice/tools", &dir, &["main"]).await.ok();
    stage.world.clock.step_wall(15 * DAY_MS);
    run(&stage).await;
    stage.world.clock.step_wall(14 * DAY_MS);
    let absent = format!("UPDATE ref_log SET old_oid = x'{}' WHERE old_oid IS NOT NULL", "07".repeat(20));
    stage.world.database.execute(&absent).await;
    let repository = id(&stage, "alice/tools").await;
    collect(&stage.world.forge, repository, How::default()).await.unwrap_err();
    assert!(has(&stage, "alice/tools", b"loose").await);
    assert_eq!(stage.usage("alice/tools").await, (2, 9));
}

/// A search is enqueued for each repository with objects when its time comes, and once.
#[tokio::test]
async fn searches_are_enqueued_in_their_time() {
    let stage = Stage::on(TestDatabase::create(Engine::Sqlite).await, Settings::default()).await;
    let forge = &stage.world.forge;
    stage.repository("alice/empty").await;
    stage.upload(&stage.alice, "alice/tools", b"one").await.unwrap();
    let waiting =
        async || forge.list_jobs(JobState::Waiting, Some(crate::jobs::Kind::LfsSweep), 9).await.unwrap();
    for _ in 0..2 {
        schedule(forge).await.unwrap();
        let jobs = waiting().await;
        assert_eq!(jobs.len(), 1, "once");
        assert_eq!(jobs[0].repository, Some(id(&stage, "alice/tools").await), "the one with objects");
    }
    forge.collect_lfs(id(&stage, "alice/tools").await).await.unwrap();
    stage.world.database.execute("UPDATE job SET state = 'done', dedupe = NULL").await;
    schedule(forge).await.unwrap();
    assert_eq!(waiting().await.len(), 0, "not before its time");
    stage.world.clock.step_wall(8 * DAY_MS);
    schedule(forge).await.unwrap();
    assert_eq!(waiting().await.len(), 1);
}
