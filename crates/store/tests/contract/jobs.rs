//! Events and jobs: claimed once each, in turn, and never lost with their worker.

use std::collections::HashSet;

use futures_util::future::join_all;
use hakata_names::{EventId, JobId};
use hakata_store::events::{self, Event};
use hakata_store::jobs::{self, Claim, NewJob};
use hakata_store::page::PageSize;
use hakata_store::{JobState, on_every_engine};

use crate::fixture::Fixture;

fn new_job(id: i64, dedupe: Option<&str>) -> NewJob<'_> {
    NewJob {
        id: JobId::new(id),
        kind: "webhook",
        repository: None,
        event: Some(EventId::new(1)),
        dedupe,
        payload: "{\"n\":1}",
        priority: 0,
        run_at: 100,
        created_at: 1,
    }
}

const ONE: Claim<'static> = Claim { by: "one", until: 1000 };

on_every_engine! {
    /// Jobs come by priority and time, none before its time, and end as their worker says.
    async fn jobs_are_claimed_in_turn(database: TestDatabase) {
        let db = database.migrated().await;
        let mut conn = db.write().await.unwrap();
        jobs::enqueue(&mut conn, &NewJob { run_at: 200, ..new_job(1, None) }).await.unwrap();
        jobs::enqueue(&mut conn, &new_job(2, None)).await.unwrap();
        jobs::enqueue(&mut conn, &NewJob { priority: -5, run_at: 150, ..new_job(3, None) }).await.unwrap();
        jobs::enqueue(&mut conn, &NewJob { run_at: 900, ..new_job(4, None) }).await.unwrap();
        drop(conn);
        let claimed = db.transaction(|tx| Box::pin(jobs::claim(tx, ONE, 300, 10))).await.unwrap();
        assert_eq!(claimed.iter().map(|job| job.id.get()).collect::<Vec<_>>(), [3, 2, 1]);
        assert!(claimed.iter().all(|job| job.state == JobState::Claimed && job.attempts == 1));
        let again = db.transaction(|tx| Box::pin(jobs::claim(tx, ONE, 300, 10))).await.unwrap();
        assert_eq!(again, [], "nothing is claimed twice");
        let conn = &mut db.write().await.unwrap();
        let [first, second, third] = [3, 2, 1].map(JobId::new);
        assert!(!jobs::finish(conn, first, "two", 310).await.unwrap(), "another's claim");
        assert!(jobs::finish(conn, first, "one", 310).await.unwrap());
        assert!(!jobs::finish(conn, first, "one", 310).await.unwrap(), "once");
        assert!(jobs::retry(conn, second, "one", 500, "503").await.unwrap());
        assert!(jobs::bury(conn, third, "one", 320, "410").await.unwrap());
        let retried = jobs::find(conn, second).await.unwrap().unwrap();
        assert_eq!((retried.state, retried.run_at, retried.last_error.as_deref()), (JobState::Waiting, 500, Some("503")));
        let buried = jobs::list(conn, JobState::Buried, None, PageSize::default()).await.unwrap();
        assert_eq!(buried.rows.iter().map(|job| job.id).collect::<Vec<_>>(), [third]);
        let mut counts = jobs::count(conn).await.unwrap();
        counts.sort_by_key(|(_, state, _)| state.as_str());
        let counts: Vec<_> = counts.iter().map(|(_, state, n)| (state.as_str(), *n)).collect();
        assert_eq!(counts, [("buried", 1), ("done", 1), ("waiting", 2)]);
        assert_eq!(jobs::prune(conn, 311).await.unwrap(), 1);
    }

    /// One waiting job per key; once it is claimed, the same work can be enqueued again.
    async fn equal_jobs_wait_once(database: TestDatabase) {
        let db = database.migrated().await;
        let mut conn = db.write().await.unwrap();
        assert!(jobs::enqueue(&mut conn, &new_job(1, Some("maintain:7"))).await.unwrap());
        assert!(!jobs::enqueue(&mut conn, &new_job(2, Some("maintain:7"))).await.unwrap());
        assert!(jobs::enqueue(&mut conn, &new_job(3, Some("maintain:8"))).await.unwrap());
        assert!(jobs::enqueue(&mut conn, &new_job(4, None)).await.unwrap());
        assert!(jobs::enqueue(&mut conn, &new_job(5, None)).await.unwrap(), "none is no key");
        drop(conn);
        let claimed = db.transaction(|tx| Box::pin(jobs::claim(tx, ONE, 300, 1))).await.unwrap();
        assert_eq!(claimed[0].id, JobId::new(1));
        assert!(jobs::enqueue(&mut db.write().await.unwrap(), &new_job(6, Some("maintain:7"))).await.unwrap());
    }

    /// Workers that claim at once get different jobs, all of them.
    async fn workers_share_jobs_without_overlap(database: TestDatabase) {
        let db = database.migrated().await;
        for id in 1..=40 {
            jobs::enqueue(&mut db.write().await.unwrap(), &new_job(id, None)).await.unwrap();
        }
        let workers = (0..8).map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                let (by, mut mine) = (format!("worker-{n}"), Vec::new());
                let by = by.as_str();
                loop {
                    let claim = Claim { by, until: 1000 };
                    let claimed = db.transaction(|tx| Box::pin(jobs::claim(tx, claim, 300, 3))).await.unwrap();
                    if claimed.is_empty() {
                        return mine;
                    }
                    assert!(claimed.iter().all(|job| job.claimed_by.as_deref() == Some(by)));
                    mine.extend(claimed.into_iter().map(|job| job.id.get()));
                }
            })
        });
        let claimed: Vec<i64> = join_all(workers).await.into_iter().flat_map(|mine| mine.unwrap()).collect();
        let unique: HashSet<i64> = claimed.iter().copied().collect();
        assert_eq!((claimed.len(), unique.len()), (40, 40));
    }

    /// A claim that lapsed gives the job back; its old worker's word no longer counts.
    async fn a_dead_workers_jobs_come_back(database: TestDatabase) {
        let db = database.migrated().await;
        jobs::enqueue(&mut db.write().await.unwrap(), &new_job(1, None)).await.unwrap();
        db.transaction(|tx| Box::pin(jobs::claim(tx, ONE, 300, 1))).await.unwrap();
        let mut conn = db.write().await.unwrap();
        let id = JobId::new(1);
        assert!(jobs::renew(&mut conn, id, Claim { until: 2000, ..ONE }).await.unwrap());
        assert_eq!(jobs::release_lapsed(&mut conn, 2000).await.unwrap(), 0);
        assert_eq!(jobs::release_lapsed(&mut conn, 2001).await.unwrap(), 1);
        assert!(!jobs::renew(&mut conn, id, ONE).await.unwrap());
        assert!(!jobs::finish(&mut conn, id, "one", 2002).await.unwrap());
        drop(conn);
        let two = Claim { by: "two", until: 3000 };
        let claimed = db.transaction(|tx| Box::pin(jobs::claim(tx, two, 2002, 1))).await.unwrap();
        assert_eq!(claimed[0].attempts, 2);
    }

    /// Events come back newest first, with their payload as it was.
    async fn events_are_kept_in_order(database: TestDatabase) {
        let Fixture { db, tools, alice, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let long = format!("{{\"refs\":\"{}\"}}", "é".repeat(100_000));
        for id in 1..=3 {
            let event = Event {
                id: EventId::new(id),
                repository: tools,
                version: 10 - id,
                kind: "push".to_owned(),
                actor: Some(alice),
                at: id,
                payload: long.clone(),
            };
            events::append(conn, &event).await.unwrap();
            assert!(events::find(conn, event.id).await.unwrap() == Some(event));
        }
        let first = events::list(conn, tools, None, PageSize::new(2)).await.unwrap();
        assert_eq!(first.rows.iter().map(|event| event.version).collect::<Vec<_>>(), [9, 8]);
        let rest = events::list(conn, tools, first.next, PageSize::new(2)).await.unwrap();
        assert_eq!(rest.rows.iter().map(|event| event.version).collect::<Vec<_>>(), [7]);
    }
}
