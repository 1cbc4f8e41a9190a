//! Jobs: claimed once each, in turn, within limits that hold over all who claim, and never lost with their worker.

use std::collections::HashSet;

use futures_util::future::join_all;
use hakata_names::{JobId, RepositoryId};
use hakata_store::jobs::{self, Claim, Held, Job, Lane, Lapsed, Limits, NewJob, Retry, Wanted};
use hakata_store::page::PageSize;
use hakata_store::{Conn, Db, JobState, on_every_engine};

const KIND: &str = "webhook";

/// A lease that outlasts a test, in ms, and one that has lapsed already.
const LONG: i64 = 3_600_000;
const OVER: i64 = -1_000;

const NO_LIMITS: Limits = Limits { all: i64::MAX, per_target: i64::MAX, per_repository: i64::MAX };

fn new_job<'a>(id: i64) -> NewJob<'a> {
    NewJob { run_at: 100, payload: "{\"n\":1}", ..NewJob::new(JobId::new(id), KIND, 1) }
}

async fn enqueue(db: &Db, new: NewJob<'_>) {
    assert!(jobs::enqueue(&mut db.write().await.unwrap(), &new).await.unwrap());
}

async fn claim_within(db: &Db, by: &str, limits: Limits, now: i64, most: i64) -> Vec<Job> {
    let wanted = Wanted { kind: KIND, limits, most, now };
    let claim = Claim { by, lease_ms: LONG };
    db.transaction(|tx| Box::pin(jobs::claim(tx, claim, wanted))).await.unwrap()
}

async fn claim(db: &Db, by: &str, now: i64, most: i64) -> Vec<Job> {
    claim_within(db, by, NO_LIMITS, now, most).await
}

fn ids(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().map(|job| job.id.get()).collect()
}

fn held<'a>(id: i64, by: &'a str, attempt: i64) -> Held<'a> {
    Held { id: JobId::new(id), by, attempt }
}

fn at<'a>(run_at: i64, error: &'a str) -> Retry<'a> {
    Retry { run_at, pause_ms: 0, hold_until: run_at, error }
}

async fn state(conn: &mut Conn, id: i64) -> JobState {
    jobs::find(conn, JobId::new(id)).await.unwrap().unwrap().state
}

on_every_engine! {
    /// Jobs come by priority and time, none before its time, and end as their worker says.
    async fn jobs_are_claimed_in_turn(database: TestDatabase) {
        let db = database.migrated().await;
        enqueue(&db, NewJob { run_at: 200, ..new_job(1) }).await;
        enqueue(&db, new_job(2)).await;
        enqueue(&db, NewJob { priority: -5, run_at: 150, ..new_job(3) }).await;
        enqueue(&db, NewJob { run_at: 900, ..new_job(4) }).await;
        enqueue(&db, NewJob { kind: "other", ..new_job(5) }).await;
        let claimed = claim(&db, "one", 300, 10).await;
        assert_eq!(ids(&claimed), [3, 2, 1]);
        assert!(claimed.iter().all(|job| job.state == JobState::Claimed && job.attempts == 1));
        assert_eq!(claim(&db, "one", 300, 10).await, [], "nothing is claimed twice");
        let conn = &mut db.write().await.unwrap();
        assert_eq!(jobs::next_due(conn, KIND, 300).await.unwrap(), Some(900));
        assert_eq!(jobs::due_kinds(conn, 300).await.unwrap(), ["other"]);
        assert!(!jobs::finish(conn, held(3, "two", 1), 310).await.unwrap(), "another's claim");
        assert!(!jobs::finish(conn, held(3, "one", 2), 310).await.unwrap(), "another attempt's claim");
        assert!(jobs::finish(conn, held(3, "one", 1), 310).await.unwrap());
        assert!(!jobs::finish(conn, held(3, "one", 1), 310).await.unwrap(), "once");
        assert!(jobs::retry(conn, held(2, "one", 1), at(500, "503")).await.unwrap());
        assert!(jobs::bury(conn, held(1, "one", 1), 320, "410").await.unwrap());
        let retried = jobs::find(conn, JobId::new(2)).await.unwrap().unwrap();
        assert_eq!((retried.state, retried.run_at, retried.last_error.as_deref()), (JobState::Waiting, 500, Some("503")));
        let buried = jobs::list(conn, JobState::Buried, Some(KIND), None, PageSize::default()).await.unwrap();
        assert_eq!(ids(&buried.rows), [1]);
        let mut counts = jobs::count(conn).await.unwrap();
        counts.sort_by_key(|count| (count.kind.clone(), count.state.as_str()));
        let counts: Vec<_> = counts.iter().map(|c| (c.kind.as_str(), c.state, c.n_jobs, c.oldest)).collect();
        let wanted =
            [("other", JobState::Waiting, 1, 100), (KIND, JobState::Buried, 1, 200), (KIND, JobState::Waiting, 2, 500)];
        assert_eq!(counts, wanted);
        assert_eq!(jobs::prune(conn, 310).await.unwrap(), 0);
        assert_eq!(jobs::prune(conn, 311).await.unwrap(), 1);
    }

    /// One waiting job per key; once it is claimed, the same work can be enqueued again.
    async fn equal_jobs_wait_once(database: TestDatabase) {
        let db = database.migrated().await;
        let mut conn = db.write().await.unwrap();
        let dedupe = Some("maintain:7");
        assert!(jobs::enqueue(&mut conn, &NewJob { dedupe, ..new_job(1) }).await.unwrap());
        assert!(!jobs::enqueue(&mut conn, &NewJob { dedupe, ..new_job(2) }).await.unwrap());
        assert!(jobs::enqueue(&mut conn, &NewJob { dedupe: Some("maintain:8"), ..new_job(3) }).await.unwrap());
        assert!(jobs::enqueue(&mut conn, &new_job(4)).await.unwrap());
        assert!(jobs::enqueue(&mut conn, &new_job(5)).await.unwrap(), "none is no key");
        drop(conn);
        assert_eq!(ids(&claim(&db, "one", 300, 1).await), [1]);
        enqueue(&db, NewJob { dedupe, ..new_job(6) }).await;
    }

    /// Workers that claim at once get different jobs, all of them, and never more together than the limit.
    async fn workers_share_jobs_within_the_limit(database: TestDatabase) {
        const LIMIT: i64 = 5;
        let db = database.migrated().await;
        for id in 1..=40 {
            enqueue(&db, new_job(id)).await;
        }
        let workers = (0..6).map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                let (by, mut mine) = (format!("worker-{n}"), Vec::new());
                loop {
                    let limits = Limits { all: LIMIT, ..NO_LIMITS };
                    let claimed = claim_within(&db, &by, limits, 300, 3).await;
                    let counts = jobs::count(&mut db.read().await.unwrap()).await.unwrap();
                    let of = |state| counts.iter().find(|count| count.state == state).map_or(0, |count| count.n_jobs);
                    assert!(of(JobState::Claimed) <= LIMIT, "{counts:?}");
                    if claimed.is_empty() && of(JobState::Waiting) == 0 {
                        return mine;
                    }
                    for job in claimed {
                        let held = held(job.id.get(), &by, job.attempts);
                        assert!(jobs::finish(&mut db.write().await.unwrap(), held, 301).await.unwrap());
                        mine.push(job.id.get());
                    }
                }
            })
        });
        let claimed: Vec<i64> = join_all(workers).await.into_iter().flat_map(|mine| mine.unwrap()).collect();
        let unique: HashSet<i64> = claimed.iter().copied().collect();
        assert_eq!((claimed.len(), unique.len()), (40, 40));
    }

    /// A target and a repository have so many jobs at once, and keep nobody else out.
    async fn targets_and_repositories_have_limits_of_their_own(database: TestDatabase) {
        let db = database.migrated().await;
        for id in 1..=60 {
            enqueue(&db, NewJob { target: Some("slow.example.org"), ..new_job(id) }).await;
        }
        enqueue(&db, NewJob { target: Some("fast.example.org"), ..new_job(61) }).await;
        let repository = Some(RepositoryId::new(7));
        enqueue(&db, NewJob { repository, ..new_job(62) }).await;
        enqueue(&db, NewJob { repository, ..new_job(63) }).await;
        let limits = Limits { all: 10, per_target: 3, per_repository: 1 };
        assert_eq!(ids(&claim_within(&db, "one", limits, 300, 10).await), [1, 2, 3], "the first ones share a target");
        assert_eq!(ids(&claim_within(&db, "one", limits, 300, 10).await), [61, 62], "which is passed over then");
        assert_eq!(claim_within(&db, "two", limits, 300, 10).await, []);
        assert!(jobs::finish(&mut db.write().await.unwrap(), held(2, "one", 1), 301).await.unwrap());
        assert_eq!(ids(&claim_within(&db, "two", limits, 300, 10).await), [4]);
        let full = Limits { all: 5, ..limits };
        assert!(jobs::finish(&mut db.write().await.unwrap(), held(62, "one", 1), 301).await.unwrap());
        assert_eq!(ids(&claim_within(&db, "two", full, 300, 10).await), [63]);
        assert_eq!(claim_within(&db, "two", full, 300, 10).await, [], "five are claimed");
    }

    /// In a lane one runs after the other in the order of their sequence, whatever their ids; a failing one holds the
    /// others back until its time is over, and no longer.
    async fn lanes_keep_their_order(database: TestDatabase) {
        let db = database.migrated().await;
        for (id, sequence) in [(5, 1), (4, 2), (3, 3)] {
            enqueue(&db, NewJob { lane: Some(Lane { name: "hook:1:main", sequence }), ..new_job(id) }).await;
        }
        enqueue(&db, NewJob { lane: Some(Lane { name: "hook:2:main", sequence: 9 }), ..new_job(1) }).await;
        assert_eq!(ids(&claim(&db, "one", 300, 10).await), [1, 5], "the first of each lane");
        assert_eq!(claim(&db, "one", 300, 10).await, [], "the first runs");
        let failing = Retry { hold_until: 900, ..at(400, "500") };
        assert!(jobs::retry(&mut db.write().await.unwrap(), held(5, "one", 1), failing).await.unwrap());
        assert_eq!(claim(&db, "one", 399, 10).await, [], "the first will be tried again");
        assert_eq!(ids(&claim(&db, "one", 400, 10).await), [5]);
        let failing = Retry { hold_until: 9_999, ..at(5_000, "500") };
        assert!(jobs::retry(&mut db.write().await.unwrap(), held(5, "one", 2), failing).await.unwrap());
        assert_eq!(claim(&db, "one", 899, 10).await, [], "it holds from its first failure on");
        assert_eq!(ids(&claim(&db, "one", 900, 10).await), [4], "and no longer");
        assert!(jobs::bury(&mut db.write().await.unwrap(), held(4, "one", 1), 901, "410").await.unwrap());
        assert_eq!(ids(&claim(&db, "one", 902, 10).await), [3], "a buried one holds nobody");
    }

    /// A claim that lapsed gives the job back; its old worker's word no longer counts, nor that of an earlier attempt of
    /// the same worker. One that had its attempts is buried instead.
    async fn a_dead_workers_jobs_come_back(database: TestDatabase) {
        let db = database.migrated().await;
        enqueue(&db, new_job(1)).await;
        claim(&db, "one", 300, 1).await;
        let mut conn = db.write().await.unwrap();
        let one = [JobId::new(1)];
        assert_eq!(jobs::renew(&mut conn, "one", &[JobId::new(2)], LONG).await.unwrap(), 0, "others lapse");
        assert_eq!(jobs::renew(&mut conn, "one", &one, LONG).await.unwrap(), 1);
        assert_eq!(ids(&jobs::held_by(&mut conn, "one").await.unwrap()), [1]);
        let none = Lapsed { released: 0, buried: 0 };
        // Whatever the time of the one who asks.
        assert_eq!(jobs::release_lapsed(&mut conn, KIND, 2, 0, i64::MAX).await.unwrap(), none);
        assert_eq!(jobs::renew(&mut conn, "one", &one, OVER).await.unwrap(), 1);
        assert_eq!(jobs::release_lapsed(&mut conn, "other", 2, 0, 2001).await.unwrap(), none);
        let released = Lapsed { released: 1, buried: 0 };
        assert_eq!(jobs::release_lapsed(&mut conn, KIND, 2, 0, 2001).await.unwrap(), released);
        assert_eq!(jobs::renew(&mut conn, "one", &one, LONG).await.unwrap(), 0);
        assert!(!jobs::finish(&mut conn, held(1, "one", 1), 2002).await.unwrap());
        drop(conn);
        let claimed = claim(&db, "one", 2002, 1).await;
        assert_eq!(claimed[0].attempts, 2);
        let mut conn = db.write().await.unwrap();
        assert!(!jobs::finish(&mut conn, held(1, "one", 1), 2003).await.unwrap(), "the first attempt was given up");
        assert_eq!(jobs::renew(&mut conn, "one", &one, OVER).await.unwrap(), 1);
        let buried = Lapsed { released: 0, buried: 1 };
        assert_eq!(jobs::release_lapsed(&mut conn, KIND, 2, 0, 2003).await.unwrap(), buried);
        assert_eq!(state(&mut conn, 1).await, JobState::Buried);
    }

    /// A worker that stops gives its jobs back as if it had never had them.
    async fn what_is_given_back_was_never_claimed(database: TestDatabase) {
        let db = database.migrated().await;
        enqueue(&db, new_job(1)).await;
        enqueue(&db, new_job(2)).await;
        claim(&db, "one", 300, 1).await;
        claim(&db, "two", 300, 1).await;
        assert_eq!(jobs::give_back(&mut db.write().await.unwrap(), "one").await.unwrap(), 1);
        let again = claim(&db, "three", 300, 10).await;
        assert_eq!((ids(&again), again[0].attempts), (vec![1], 1));
    }

    /// Messages name jobs; those are claimed under the same rules. Who was named in vain is found when there is room.
    async fn named_jobs_are_claimed_under_the_same_rules(database: TestDatabase) {
        let db = database.migrated().await;
        for id in 1..=3 {
            enqueue(&db, NewJob { target: Some("host"), ..new_job(id) }).await;
        }
        enqueue(&db, new_job(4)).await;
        enqueue(&db, NewJob { run_at: 900, ..new_job(5) }).await;
        enqueue(&db, NewJob { kind: "other", ..new_job(6) }).await;
        let limits = Limits { per_target: 1, ..NO_LIMITS };
        let told = async |named: &[i64]| {
            let named: Vec<JobId> = named.iter().map(|id| JobId::new(*id)).collect();
            let wanted = Wanted { kind: KIND, limits, most: 10, now: 300 };
            let claim = Claim { by: "one", lease_ms: LONG };
            let told = db.transaction(|tx| {
                let named = named.clone();
                Box::pin(async move { jobs::claim_told(tx, claim, wanted, &named).await })
            });
            let told = told.await.unwrap();
            (ids(&told.claimed), told.passed)
        };
        assert_eq!(told(&[2, 5, 6, 9]).await, (vec![2], 0), "not its time, not its kind, not there");
        assert_eq!(told(&[2]).await, (vec![], 0), "claimed already");
        assert_eq!(told(&[3, 4, 3]).await, (vec![4], 1), "the target is busy");
        let write = async || db.write().await.unwrap();
        assert_eq!(jobs::passed_kinds(&mut write().await, 300).await.unwrap(), [KIND]);
        assert!(jobs::finish(&mut write().await, held(2, "one", 1), 310).await.unwrap());
        assert_eq!(told(&[]).await, (vec![3], 0), "named before; the first was never named");
        assert!(jobs::passed_kinds(&mut write().await, 300).await.unwrap().is_empty());
        assert!(jobs::retry(&mut write().await, held(3, "one", 1), at(300, "503")).await.unwrap());
        assert_eq!(told(&[]).await, (vec![], 0), "another attempt is named anew");
        assert_eq!(told(&[3]).await, (vec![3], 0));
        assert!(jobs::pause(&mut write().await, KIND, 5).await.unwrap());
        assert_eq!(told(&[1]).await, (vec![], 1), "the kind is paused");
    }

    /// A relay takes what is to be named, one relay each, and again what was not claimed in time. How long that is, the
    /// database's clock says: the times of those who enqueue and relay are all over the place here.
    async fn relays_share_what_is_to_be_named(database: TestDatabase) {
        let db = database.migrated().await;
        let due = |id| NewJob { created_at: 100, ..new_job(id) };
        for id in 1..=40 {
            enqueue(&db, due(id)).await;
        }
        enqueue(&db, NewJob { run_at: 900, created_at: 900, ..new_job(41) }).await;
        let take = async |now, lasting_ms, most| {
            let taken = db.transaction(|tx| Box::pin(jobs::take_unrelayed(tx, now, lasting_ms, most)));
            let (taken, until) = taken.await.unwrap();
            let ids = taken.into_iter().inspect(|job| assert_eq!(job.kind, KIND)).map(|job| job.id);
            (ids.collect::<Vec<_>>(), until)
        };
        let lag = async || jobs::relay_lag(&mut db.read().await.unwrap(), 300).await.unwrap();
        assert!(lag().await.is_some_and(|lag_ms| lag_ms < LONG), "by the clock of the rows");
        let relays = join_all((0..4).map(|_| async {
            let mut mine = Vec::new();
            loop {
                let (taken, until) = take(300, LONG, 7).await;
                mine.extend(taken.into_iter().map(|id| (id, until)));
                // Another may hold the rest for a moment.
                if lag().await.is_none() {
                    return mine;
                }
            }
        }));
        let taken: Vec<(JobId, i64)> = relays.await.concat();
        let each: HashSet<JobId> = taken.iter().map(|(id, _)| *id).collect();
        assert_eq!((taken.len(), each.len()), (40, 40), "each once");
        assert_eq!(take(i64::MAX / 2, LONG, 99).await.0, [JobId::new(41)], "a clock that is ahead ends nobody's time");
        let write = async || db.write().await.unwrap();
        let defer = async |(id, until): (JobId, i64), after_ms| {
            jobs::defer_relay(&mut write().await, &[id], until, after_ms).await.unwrap()
        };
        // One is claimed and fails before its message is confirmed.
        let by_id = claim(&db, "one", 300, 1).await.remove(0);
        assert!(jobs::retry(&mut write().await, held(by_id.id.get(), "one", 1), at(350, "503")).await.unwrap());
        let (confirmed, lost) = taken.split_at(30);
        for (id, until) in confirmed {
            assert_eq!(defer((*id, until - 1), LONG).await, 0, "a relay that came too late moves nothing");
            assert_eq!(defer((*id, *until), LONG).await, u64::from(*id != by_id.id));
        }
        assert_eq!(take(360, LONG, 99).await.0, [by_id.id], "the next attempt, at its time");
        // The time of those that were never confirmed is over.
        let mut unconfirmed = Vec::new();
        for (id, until) in lost {
            if defer((*id, *until), OVER).await > 0 {
                unconfirmed.push(*id);
            }
        }
        let mut again = take(420, LONG, 99).await.0;
        again.sort();
        unconfirmed.sort();
        assert_eq!(again, unconfirmed);
        assert_eq!(take(420, LONG, 99).await.0, []);
        // Those that are given back, dug up, or whose worker died are named at once.
        let back = claim(&db, "one", 420, 3).await;
        assert_eq!(jobs::give_back(&mut write().await, "one").await.unwrap(), 3);
        assert!(jobs::wait_anew(&mut write().await, &back[0], 430).await.unwrap());
        assert_eq!(take(430, LONG, 99).await.0.len(), 3);
    }

    /// A paused kind rests on every node; what is buried can be dug up, what nobody has can be purged.
    async fn people_manage_the_queue(database: TestDatabase) {
        let db = database.migrated().await;
        enqueue(&db, new_job(1)).await;
        let mut conn = db.write().await.unwrap();
        assert!(jobs::pause(&mut conn, KIND, 5).await.unwrap());
        assert!(!jobs::pause(&mut conn, KIND, 6).await.unwrap());
        assert_eq!(jobs::paused(&mut conn).await.unwrap(), [KIND]);
        drop(conn);
        assert_eq!(claim(&db, "one", 300, 1).await, []);
        assert!(jobs::resume(&mut db.write().await.unwrap(), KIND).await.unwrap());
        assert!(!jobs::resume(&mut db.write().await.unwrap(), KIND).await.unwrap());
        let job = claim(&db, "one", 300, 1).await.remove(0);
        let mut conn = db.write().await.unwrap();
        assert!(!jobs::purge(&mut conn, job.id).await.unwrap(), "somebody has it");
        assert!(!jobs::wait_anew(&mut conn, &job, 310).await.unwrap());
        assert!(jobs::bury(&mut conn, held(1, "one", 1), 320, "no").await.unwrap());
        assert!(jobs::wait_anew(&mut conn, &job, 330).await.unwrap());
        let anew = jobs::find(&mut conn, job.id).await.unwrap().unwrap();
        assert_eq!((anew.state, anew.attempts, anew.run_at), (JobState::Waiting, 0, 330));
        assert!(jobs::purge(&mut conn, job.id).await.unwrap());
        assert_eq!(jobs::find(&mut conn, job.id).await.unwrap(), None);
    }

    /// Whoever listens hears of jobs after their commit and of nothing that was taken back.
    async fn jobs_are_told_of_when_they_are_committed(database: TestDatabase) {
        let db = database.migrated().await;
        let mut here = db.job_signals();
        let mut elsewhere = db.listen_for_jobs().await.unwrap();
        let refused: Result<(), hakata_store::StoreError> = db.transaction(|tx| Box::pin(async move {
            jobs::enqueue(tx, &NewJob { kind: "refused", ..new_job(1) }).await?;
            Err(hakata_store::StoreError::Broken)
        })).await;
        assert!(refused.is_err());
        db.transaction(|tx| Box::pin(async move {
            jobs::enqueue(tx, &new_job(2)).await?;
            jobs::enqueue(tx, &NewJob { kind: "commits", ..new_job(3) }).await
        })).await.unwrap();
        let told = here.recv().await.unwrap();
        assert_eq!(*told, ["commits", KIND]);
        enqueue(&db, new_job(4)).await;
        assert_eq!(*here.recv().await.unwrap(), [KIND], "also without a transaction");
        let is_announced = db.announce_jobs(&told).await.unwrap();
        assert_eq!(is_announced, elsewhere.is_some(), "who can listen can be told");
        if let Some(elsewhere) = &mut elsewhere {
            assert_eq!(elsewhere.heard().await.unwrap(), ["commits", KIND]);
        }
    }
}
