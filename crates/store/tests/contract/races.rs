//! Two at once: exactly one wins, and what the rules say holds whoever is faster.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use hakata_names::{RepositoryId, UserId};
use hakata_store::ids::Allocator;
use hakata_store::refs::{self, RefMove};
use hakata_store::repositories::{self, Expected};
use hakata_store::{Db, Engine, StoreError, Visibility, on_every_engine, settings};
use tokio::sync::Barrier;

use crate::fixture::{FRESH, Fixture, moved, oid, raise, ref_name, stored};

/// A commit as the repository makes one, reduced to the refs: true when it moved its ref.
async fn commit(db: &Db, id: RepositoryId, wanted: &RefMove, expected: Expected) -> Result<bool, StoreError> {
    db.transaction(|tx| {
        Box::pin(async move {
            if repositories::raise_version(tx, id, expected, 5).await?.is_none() {
                return Ok(false);
            }
            let new: Vec<_> = if wanted.old.is_none() { vec![&wanted.name] } else { Vec::new() };
            if !refs::conflicts(tx, id, &new, &HashSet::new()).await?.is_empty() {
                return Ok(false);
            }
            Ok(refs::apply(tx, id, std::slice::from_ref(wanted)).await?[0])
        })
    })
    .await
}

/// Runs futures as tasks and waits for all.
async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    join_all(tasks).await.into_iter().map(|done| done.expect("no task panics")).collect()
}

on_every_engine! {
    /// 32 writers on one ref: one winner a round, and nothing is lost.
    async fn one_ref_has_one_winner(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let mut now = None;
        for round in 0..6_u32 {
            let contenders = (0..32_u32).map(|n| {
                let (db, wanted) = (db.clone(), moved("refs/heads/main", now, Some(1000 * round + n)));
                async move { commit(&db, tools, &wanted, FRESH).await.unwrap().then_some(1000 * round + n) }
            });
            let winners: Vec<u32> = at_once(contenders).await.into_iter().flatten().collect();
            assert_eq!(winners.len(), 1, "one winner in round {round}");
            let found = refs::find(&mut db.read().await.unwrap(), tools, &ref_name("refs/heads/main")).await.unwrap();
            assert_eq!(found.map(|found| found.oid), Some(oid(winners[0])), "the ref is the winner's");
            now = Some(winners[0]);
        }
        let version = repositories::version_of(&mut db.read().await.unwrap(), tools).await.unwrap();
        assert_eq!(version, Some(6 * 32), "every commit had a version of its own");
    }

    /// `a` and `a/b` at once: never both.
    async fn a_file_and_its_directory_never_both_win(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        for round in 0..10 {
            let contenders = ["", "/b", "/b/c", "/d"].map(|tail| {
                let (db, wanted) = (db.clone(), moved(format!("refs/heads/a{round}{tail}"), None, Some(1)));
                async move { commit(&db, tools, &wanted, FRESH).await.unwrap() }
            });
            let won = at_once(contenders).await;
            let listed = refs::list(&mut db.read().await.unwrap(), tools).await.unwrap();
            let prefix = format!("refs/heads/a{round}");
            let names: Vec<_> = listed.iter().filter(|found| found.name.as_bytes().starts_with(prefix.as_bytes())).collect();
            assert_eq!(names.len(), won.iter().filter(|won| **won).count());
            for (a, b) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
                let inside = [a.name.as_bytes(), b"/"].concat();
                assert!(!b.name.as_bytes().starts_with(&inside), "{} and {}", a.name, b.name);
            }
        }
    }

    /// A push judged under old rules does not go through after the rules changed.
    async fn a_changed_policy_stops_commits_judged_before(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let changed_at = Arc::new(AtomicU32::new(0));
        let n_done = Arc::new(AtomicU32::new(0));
        let pushes = (0..24_u32).map(|n| {
            let (db, changed_at, n_done) = (db.clone(), changed_at.clone(), n_done.clone());
            async move {
                if n == 12 {
                    let public = Visibility::Public;
                    db.transaction(|tx| Box::pin(repositories::set_visibility(tx, tools, public))).await.unwrap();
                    changed_at.store(1, Ordering::SeqCst);
                    return (false, false);
                }
                let began_after = changed_at.load(Ordering::SeqCst) == 1;
                let wanted = moved(format!("refs/heads/b{n}"), None, Some(n));
                let has_won = commit(&db, tools, &wanted, FRESH).await.unwrap();
                n_done.fetch_add(u32::from(has_won), Ordering::SeqCst);
                (began_after, has_won)
            }
        });
        let outcomes = at_once(pushes).await;
        assert!(!outcomes.contains(&(true, true)), "no commit under the old rules after the change");
        let conn = &mut db.read().await.unwrap();
        let now = repositories::find(conn, tools).await.unwrap().unwrap();
        assert_eq!((now.policy_version, now.version), (1, i64::from(n_done.load(Ordering::SeqCst))));
        assert_eq!(refs::count(conn, tools).await.unwrap(), now.version, "each version is one ref");
        let late = commit(&db, tools, &moved("refs/heads/late", None, Some(1)), FRESH).await.unwrap();
        let judged_again = Expected { policy_version: 1, ..FRESH };
        let again = commit(&db, tools, &moved("refs/heads/late", None, Some(1)), judged_again).await.unwrap();
        assert_eq!((late, again), (false, true));
    }

    /// A collection that raised the epoch stops commits that proved connectivity before.
    async fn a_raised_epoch_stops_commits_proved_before(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        assert!(commit(&db, tools, &moved("refs/heads/a", None, Some(1)), FRESH).await.unwrap());
        let mut conn = db.write().await.unwrap();
        assert!(!repositories::raise_prune_epoch(&mut conn, tools, 0).await.unwrap(), "a ref has moved since");
        assert!(repositories::raise_prune_epoch(&mut conn, tools, 1).await.unwrap());
        drop(conn);
        assert!(!commit(&db, tools, &moved("refs/heads/b", None, Some(1)), FRESH).await.unwrap());
        let proved_again = Expected { prune_epoch: 1, ..FRESH };
        assert!(commit(&db, tools, &moved("refs/heads/b", None, Some(1)), proved_again).await.unwrap());
    }

    /// Two transactions that lock two rows in opposite order both succeed; one of them twice over.
    async fn a_deadlock_is_repeated(database: TestDatabase) {
        let db = database.migrated().await;
        for name in ["a", "b"] {
            settings::set(&mut db.write().await.unwrap(), name, "0").await.unwrap();
        }
        let n_runs = Arc::new(AtomicU32::new(0));
        let both = Arc::new(Barrier::new(2));
        let is_sqlite = db.engine() == Engine::Sqlite;
        at_once([["a", "b"], ["b", "a"]].map(|[first, second]| {
            let (db, n_runs, both) = (db.clone(), n_runs.clone(), both.clone());
            async move {
                let (n_runs, both) = (&n_runs, &both);
                db.transaction(|tx| {
                    Box::pin(async move {
                        let run = n_runs.fetch_add(1, Ordering::SeqCst);
                        settings::set(tx, first, first).await?;
                        // SQLite has one writer at a time, so there the other one never gets here meanwhile.
                        if run < 2 && !is_sqlite {
                            both.wait().await;
                        }
                        settings::set(tx, second, first).await
                    })
                })
                .await
                .unwrap();
            }
        }))
        .await;
        let conn = &mut db.read().await.unwrap();
        let values = (settings::find(conn, "a").await.unwrap(), settings::find(conn, "b").await.unwrap());
        assert_eq!(values.0, values.1, "the later transaction wrote both");
        let n_runs = n_runs.load(Ordering::SeqCst);
        // On a loaded machine the one that ran again may be the victim a second time.
        assert!(if is_sqlite { n_runs == 2 } else { n_runs >= 3 }, "the victim ran again: {n_runs}");
    }

    /// Ids of one family are unique over processes, ascending within one, and start at 1.
    async fn ids_are_given_once(database: TestDatabase) {
        let db = database.migrated().await;
        let allocators = [Allocator::new(db.clone()), Allocator::new(database.open().await)];
        let takers = (0..24).map(|n| {
            let ids = allocators[n % 2].clone();
            async move {
                let mut taken = ids.next_many::<RepositoryId>(50).await.unwrap();
                for _ in 0..20 {
                    taken.push(ids.next().await.unwrap());
                }
                assert!(taken.is_sorted(), "ascending for one taker");
                taken
            }
        });
        let taken: Vec<i64> = at_once(takers).await.into_iter().flatten().map(RepositoryId::get).collect();
        let unique: HashSet<i64> = taken.iter().copied().collect();
        assert_eq!(unique.len(), 24 * 70);
        assert_eq!(taken.iter().min(), Some(&1));
        assert!(taken.iter().all(|id| *id < 24 * 70 + 2 * 64), "no id is skipped but the rest of a block");
        assert_eq!(allocators[0].next::<UserId>().await.unwrap(), UserId::new(1), "families count for themselves");
    }

    /// Two who claim a unique name: one gets it, the other hears of it, and its transaction goes on.
    async fn a_taken_name_leaves_the_transaction_alive(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let wins = at_once((0..8_u32).map(|n| {
            let db = db.clone();
            async move {
                db.transaction(|tx| {
                    Box::pin(async move {
                        raise(tx, tools).await?;
                        let is_first = refs::insert_absent(tx, tools, &stored("refs/heads/x", n)).await?;
                        refs::insert_absent(tx, tools, &stored(format!("refs/heads/y{n}"), n)).await?;
                        Ok::<_, StoreError>(is_first)
                    })
                })
                .await
                .unwrap()
            }
        }))
        .await;
        assert_eq!(wins.iter().filter(|is_first| **is_first).count(), 1);
        assert_eq!(refs::count(&mut db.read().await.unwrap(), tools).await.unwrap(), 9);
    }
}
