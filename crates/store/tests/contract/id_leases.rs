//! Leases of worker ids: one holder at a time, and a fence that outlives it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hakata_store::id_leases::{self, Asked, Held, Known};
use hakata_store::{Db, StoreError, on_every_engine};

/// Longer than any test.
const LONG_MS: i64 = 600_000;

fn asked(token: &str, fence_at: i64) -> Asked<'_> {
    Asked { worker_id: 7, token, ttl_ms: LONG_MS, fence_at }
}

async fn acquire(db: &Db, asked: Asked<'_>) -> Option<Held> {
    db.transaction(|tx| Box::pin(id_leases::acquire(tx, asked))).await.unwrap()
}

async fn renew(db: &Db, current: &str, asked: Asked<'_>) -> Option<Held> {
    db.transaction(|tx| Box::pin(id_leases::renew(tx, current, asked))).await.unwrap()
}

async fn release(db: &Db, tokens: [&str; 2], next_at: i64) -> bool {
    id_leases::release(&mut db.write().await.unwrap(), 7, tokens, next_at).await.unwrap()
}

/// Acquires again and again until the holder's time to live has passed.
async fn acquire_when_free(db: &Db, asked: Asked<'_>) -> Held {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(held) = acquire(db, asked).await {
            return held;
        }
        assert!(Instant::now() < deadline, "a lease ends with its time to live");
        tokio::task::yield_now().await;
    }
}

on_every_engine! {
    /// A lease is held by one token, its fence rises and never falls, and the next holder finds it.
    async fn a_fence_is_handed_over(database: TestDatabase) {
        let db = database.migrated().await;
        let first = acquire(&db, asked("a1", 1_000)).await.unwrap();
        assert_eq!((first.found_at, first.fence_at), (0, 1_000), "nobody issued before");
        assert_eq!(acquire(&db, asked("b1", 9_000)).await, None, "somebody holds it");
        let renewed = renew(&db, "a1", asked("a2", 2_000)).await.unwrap();
        assert_eq!((renewed.found_at, renewed.fence_at), (0, 2_000));
        let lower = renew(&db, "a2", asked("a3", 500)).await.unwrap();
        assert_eq!(lower.fence_at, 2_000, "a clock that fell does not lower a fence");
        assert!(!release(&db, ["b1", "b2"], 0).await, "only its holder gives it back");
        assert!(release(&db, ["a3", "a4"], 1_234).await);
        assert!(!release(&db, ["a3", "a4"], 1).await, "once");
        let second = acquire(&db, asked("b1", 1_100)).await.unwrap();
        assert_eq!((second.found_at, second.fence_at), (1_234, 1_234), "it starts where the first one ended");
    }

    /// A renewal proves itself by the token before it and leaves another one: of two copies of a holder, one goes on.
    async fn a_token_is_good_for_one_renewal(database: TestDatabase) {
        let db = database.migrated().await;
        acquire(&db, asked("t1", 1_000)).await.unwrap();
        assert!(renew(&db, "t1", asked("t2", 2_000)).await.is_some());
        assert!(renew(&db, "t1", asked("t2", 2_000)).await.is_some(), "a repetition is the same renewal");
        assert_eq!(renew(&db, "t1", asked("copy", 9_000)).await, None, "the copy of a machine has lost");
        let known = id_leases::list(&mut db.read().await.unwrap(), 0, 1023).await.unwrap();
        assert_eq!(known, [Known { worker_id: 7, fence_at: 2_000, is_held: true }], "a lost renewal raises nothing");
        assert!(release(&db, ["t1", "t2"], 1_500).await, "also when the answer of the last renewal was lost");
    }

    /// A dead holder's id is free after its time to live, above its fence; when it wakes up, it has lost.
    async fn a_dead_holder_is_followed(database: TestDatabase) {
        let db = database.migrated().await;
        let short = Asked { ttl_ms: 5, ..asked("dead", 5_000) };
        acquire(&db, short).await.unwrap();
        let next = acquire_when_free(&db, asked("next", 1_000)).await;
        assert_eq!((next.found_at, next.fence_at), (5_000, 5_000), "not below what the dead one may have issued");
        assert_eq!(renew(&db, "dead", asked("dead2", 9_000)).await, None);
        assert!(!release(&db, ["dead", "dead2"], 0).await, "nor can it give away what is not its own");
    }

    /// A holder that was late finds its lease as long as nobody wanted it.
    async fn a_late_holder_goes_on_if_nobody_came(database: TestDatabase) {
        let db = database.migrated().await;
        acquire(&db, Asked { ttl_ms: 0, ..asked("late", 1_000) }).await.unwrap();
        let known = id_leases::list(&mut db.read().await.unwrap(), 7, 7).await.unwrap();
        assert!(!known[0].is_held, "its time is over");
        assert_eq!(renew(&db, "late", asked("late2", 2_000)).await.unwrap().fence_at, 2_000);
        assert_eq!(acquire(&db, asked("next", 1)).await, None);
    }

    /// Many ask for two ids at once: each id has one holder, and everybody gets an answer.
    async fn two_ids_have_two_holders(database: TestDatabase) {
        let db = database.migrated().await;
        let asking = (0..16).map(|n| {
            let db = db.clone();
            async move {
                let token = format!("t{n}");
                let asked = Asked { worker_id: n % 2, ..asked(&token, 1_000 + n) };
                let held: Result<_, StoreError> = db.transaction(|tx| Box::pin(id_leases::acquire(tx, asked))).await;
                held.unwrap().map(|_| n % 2)
            }
        });
        let mut holders: Vec<i64> = join_all(asking).await.into_iter().flatten().collect();
        holders.sort_unstable();
        assert_eq!(holders, [0, 1], "one holder an id");
    }
}

/// The database tells its own time, which holders compare with theirs.
#[test]
fn the_databases_clock_is_read_in_milliseconds() {
    for engine in [hakata_store::Engine::Sqlite, hakata_store::Engine::Postgres, hakata_store::Engine::MySql]
    {
        hakata_store::testing::run(engine, async |database| {
            let db = database.migrated().await;
            let before = hakata_runtime::clock::Clock::System.now_ms();
            let held = acquire(&db, asked("t", 1)).await.unwrap();
            let after = hakata_runtime::clock::Clock::System.now_ms();
            // The servers of the tests run on this machine; what is rounded may differ by one.
            assert!(
                (before - 1..=after + 1).contains(&held.database_ms),
                "{engine}: {held:?} between {before} and {after}"
            );
        });
    }
}
