//! LFS: objects kept once and given to repositories, room promised to uploads, locks.

use std::sync::Arc;

use hakata_names::{LfsLockId, LfsObjectId, LfsOid, RepositoryId, TreePath, UserId};
use hakata_store::lfs_locks::{self, LockFilter, LockKey};
use hakata_store::lfs_objects::{self, NewLfsObject};
use hakata_store::lfs_reservations::{self, Wanted};
use hakata_store::page::PageSize;
use hakata_store::repositories::{self, Erased, QuotaOf};
use hakata_store::{Conn, Db, LfsObjectState, RepositoryState, on_every_engine};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, repository, user};

const LARGE: i64 = 1 << 40;

pub(crate) fn lfs_oid(n: u8) -> LfsOid {
    LfsOid::new([n; 32])
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

pub(crate) async fn stage(conn: &mut Conn, id: i64, oid: LfsOid) -> LfsObjectId {
    let id = LfsObjectId::new(id);
    let new = NewLfsObject { id, oid, size_bytes: 100 * id.get(), node: "node-1", created_at: id.get() * 10 };
    lfs_objects::insert_staged(conn, &new).await.unwrap();
    id
}

/// What the end of an upload does: the staged object comes to life unless its bytes are there already.
pub(crate) async fn keep(db: &Db, id: LfsObjectId, oid: LfsOid, repository: RepositoryId) -> LfsObjectId {
    let kept = db.transaction(|tx| {
        Box::pin(async move {
            repositories::lock(tx, repository).await?;
            let known = lfs_objects::lock_live(tx, &oid).await?.map(|known| known.id);
            let kept = match known {
                Some(known) => known,
                None => {
                    assert!(lfs_objects::make_live(tx, id).await?, "nobody sweeps here");
                    id
                }
            };
            lfs_objects::link(tx, repository, kept, 5).await?;
            Ok::<_, hakata_store::StoreError>(kept)
        })
    });
    kept.await.unwrap()
}

async fn lock(conn: &mut Conn, repository: RepositoryId, id: i64, at: i64, user: UserId) {
    let (id, path) = (LfsLockId::new(id), path(&format!("f{id}")));
    assert!(lfs_locks::insert(conn, repository, id, &path, user, at).await.unwrap());
}

on_every_engine! {
    /// An object belongs to those repositories that were given it, and to no other.
    async fn objects_are_of_repositories(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = repository(&db, &ids, alice, "other").await;
        let conn = &mut db.write().await.unwrap();
        let id = stage(conn, 1, lfs_oid(1)).await;
        assert_eq!(lfs_objects::find_live(conn, &lfs_oid(1)).await.unwrap(), None, "staged ones are nobody's");
        assert!(lfs_objects::make_live(conn, id).await.unwrap());
        assert!(!lfs_objects::make_live(conn, id).await.unwrap(), "live already");
        assert!(!lfs_objects::make_live(conn, LfsObjectId::new(404)).await.unwrap(), "swept");
        assert!(lfs_objects::link(conn, tools, id, 7).await.unwrap());
        assert!(!lfs_objects::link(conn, tools, id, 8).await.unwrap(), "once");
        let asked: Vec<LfsOid> = (0..200).map(lfs_oid).collect();
        let found = lfs_objects::find_linked(conn, tools, &asked).await.unwrap();
        assert_eq!(found.len(), 1, "one of many");
        assert_eq!((found[0].id, found[0].oid, found[0].size_bytes, found[0].promised_at), (id, lfs_oid(1), 100, 7));
        assert_eq!(lfs_objects::find_linked(conn, other, &asked).await.unwrap(), [], "b13: an oid opens nothing");
        lfs_objects::promise(conn, tools, &[id], 99).await.unwrap();
        assert_eq!(lfs_objects::find_linked(conn, tools, &asked).await.unwrap()[0].promised_at, 99);
        assert_eq!(lfs_objects::list_repositories(conn, id, 5).await.unwrap(), [tools]);
        assert!(lfs_objects::unlink(conn, tools, id).await.unwrap());
        assert!(!lfs_objects::unlink(conn, tools, id).await.unwrap());
    }

    /// Equal bytes that come from many at once are kept once.
    async fn of_each_oid_one_is_live(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let mut repositories = vec![tools];
        for n in 0..3 {
            repositories.push(repository(&db, &ids, alice, &format!("r{n}")).await);
        }
        let mut conn = db.write().await.unwrap();
        for id in 1..=4 {
            stage(&mut conn, id, lfs_oid(9)).await;
        }
        drop(conn);
        let barrier = Arc::new(Barrier::new(4));
        let uploads = repositories.iter().zip(1..).map(|(&repository, id)| {
            let (db, barrier) = (db.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                keep(&db, LfsObjectId::new(id), lfs_oid(9), repository).await
            })
        });
        let mut kept = Vec::new();
        for upload in uploads.collect::<Vec<_>>() {
            kept.push(upload.await.unwrap());
        }
        kept.dedup();
        assert_eq!(kept.len(), 1, "all have the same one: {kept:?}");
        let conn = &mut db.write().await.unwrap();
        assert_eq!(lfs_objects::list_repositories(conn, kept[0], 9).await.unwrap().len(), 4);
        let left = lfs_objects::staged_older_than(conn, 1_000, PageSize::default()).await.unwrap();
        assert_eq!(left.len(), 3, "the others wait for the sweeper");
    }

    /// Bytes go after their time, after their row says so, and never while a repository has them.
    async fn objects_die_when_nobody_has_them(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let mut conn = db.write().await.unwrap();
        for id in 1..=3 {
            stage(&mut conn, id, lfs_oid(u8::try_from(id).unwrap())).await;
        }
        drop(conn);
        keep(&db, LfsObjectId::new(1), lfs_oid(1), tools).await;
        let conn = &mut db.write().await.unwrap();
        let old = lfs_objects::staged_older_than(conn, 30, PageSize::default()).await.unwrap();
        assert_eq!(old.iter().map(|object| object.id.get()).collect::<Vec<_>>(), [2]);
        assert!(!lfs_objects::give_up_staged(conn, LfsObjectId::new(1), 50).await.unwrap(), "in use");
        assert!(lfs_objects::give_up_staged(conn, LfsObjectId::new(2), 50).await.unwrap());
        assert!(!lfs_objects::make_live(conn, LfsObjectId::new(2)).await.unwrap(), "given up");
        assert_eq!(lfs_objects::list_unlinked(conn, None, PageSize::default()).await.unwrap(), []);
        assert!(!lfs_objects::kill_unlinked(conn, LfsObjectId::new(1), 80).await.unwrap(), "linked");
        lfs_objects::unlink(conn, tools, LfsObjectId::new(1)).await.unwrap();
        assert_eq!(lfs_objects::list_unlinked(conn, None, PageSize::default()).await.unwrap().len(), 1);
        assert!(lfs_objects::kill_unlinked(conn, LfsObjectId::new(1), 80).await.unwrap());
        assert_eq!(lfs_objects::lock_live(conn, &lfs_oid(1)).await.unwrap(), None, "the dead are not linked");
        let dead = lfs_objects::dead_before(conn, 79, PageSize::default()).await.unwrap();
        assert_eq!(dead.iter().map(|object| (object.id.get(), object.state)).collect::<Vec<_>>(), [(2, LfsObjectState::Dead)]);
        assert!(!lfs_objects::delete_dead(conn, LfsObjectId::new(1), 79).await.unwrap(), "not yet");
        assert!(lfs_objects::delete_dead(conn, LfsObjectId::new(1), 80).await.unwrap());
        stage(conn, 4, lfs_oid(1)).await;
        assert!(lfs_objects::make_live(conn, LfsObjectId::new(4)).await.unwrap(), "the same bytes may come again");
    }

    /// Usage is added up, shared with a fork, counted into sizes, and gone with its repository.
    async fn usage_is_what_is_linked(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let fork = repository(&db, &ids, alice, "fork").await;
        let mut conn = db.write().await.unwrap();
        for id in [3, 4] {
            stage(&mut conn, id, lfs_oid(u8::try_from(id).unwrap())).await;
        }
        drop(conn);
        for id in [3, 4] {
            keep(&db, LfsObjectId::new(id), lfs_oid(u8::try_from(id).unwrap()), tools).await;
        }
        let shared = db.transaction(|tx| {
            Box::pin(async move { lfs_objects::share_all(tx, tools, fork, 9).await })
        });
        assert_eq!(shared.await.unwrap(), 700);
        let counted = db.transaction(|tx| Box::pin(async move { repositories::recount(tx, fork).await }));
        assert_eq!(counted.await.unwrap().unwrap().repository.used_bytes, 700, "LFS counts");
        let conn = &mut db.write().await.unwrap();
        let usage = lfs_objects::usage_of(conn, tools).await.unwrap();
        assert_eq!((usage.n_objects, usage.bytes), (2, 700));
        let all = lfs_objects::usage_by_repository(conn, PageSize::default()).await.unwrap();
        assert_eq!(all.iter().map(|usage| usage.repository.as_str()).collect::<Vec<_>>(), ["tools", "fork"]);
        let owners = lfs_objects::usage_by_owner(conn, PageSize::default()).await.unwrap();
        assert_eq!((owners[0].owner.as_str(), owners[0].n_objects, owners[0].bytes), ("alice", 4, 1400));
        repositories::set_state(conn, fork, RepositoryState::Active, RepositoryState::Deleted, 1).await.unwrap();
        while repositories::erase(conn, fork, i64::MAX, 1).await.unwrap() == Erased::Part {}
        assert_eq!(lfs_objects::list_repositories(conn, LfsObjectId::new(3), 9).await.unwrap(), [tools]);
    }

    /// x6: what is promised to one is not promised to another, and comes back.
    async fn room_is_promised_once(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let want = |n: u8, size_bytes| Wanted { oid: lfs_oid(n), size_bytes };
        let reserve = |wanted: Vec<Wanted>, now: i64| {
            let db = db.clone();
            async move {
                let answers = db.transaction(|tx| {
                    let wanted = wanted.clone();
                    Box::pin(async move {
                        lfs_reservations::reserve(tx, tools, &wanted, 1_000, (now, now + 50)).await
                    })
                });
                answers.await.unwrap()
            }
        };
        let answers = reserve(vec![want(1, 600), want(2, 500), want(3, 400)], 0).await;
        assert_eq!((answers[0], answers[2]), (Ok(()), Ok(())), "the third still fits");
        let full = answers[1].unwrap_err();
        assert_eq!((full.of, full.limit_bytes, full.used_bytes), (QuotaOf::Repository, 1_000, 600));
        assert_eq!(reserve(vec![want(1, 600)], 10).await, [Ok(())], "asking again takes nothing more");
        assert!(reserve(vec![want(4, 1)], 10).await[0].is_err());
        assert!(lfs_reservations::release(&mut db.write().await.unwrap(), tools, &lfs_oid(3)).await.unwrap());
        assert_eq!(reserve(vec![want(4, 1)], 10).await, [Ok(())]);
        assert_eq!(reserve(vec![want(5, 1_000)], 100).await, [Ok(())], "promises lapse");
        assert_eq!(lfs_reservations::prune(&mut db.write().await.unwrap(), 100).await.unwrap(), 2);
        assert!(reserve(vec![want(6, LARGE)], 100).await[0].is_err());
    }

    /// l2: of many who lock a path at once, one has it.
    async fn a_path_is_locked_once(database: TestDatabase) {
        let Fixture { db, ids, tools, .. } = Fixture::new(&database).await;
        let mut people = Vec::new();
        for n in 0..6 {
            people.push(user(&db, &ids, &format!("user{n}")).await);
        }
        let barrier = Arc::new(Barrier::new(people.len()));
        let locking = people.iter().zip(1..).map(|(&person, id)| {
            let (db, barrier) = (db.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let locked = db.transaction(|tx| {
                    Box::pin(async move {
                        let (id, path) = (LfsLockId::new(id), path("art/a.psd"));
                        lfs_locks::insert(tx, tools, id, &path, person, 1).await
                    })
                });
                locked.await.unwrap()
            })
        });
        let mut n_locked = 0;
        for locking in locking.collect::<Vec<_>>() {
            n_locked += usize::from(locking.await.unwrap());
        }
        assert_eq!(n_locked, 1);
    }

    /// l5, l8: pages go on where they were while locks come and go; an id is good in its own repository only.
    async fn locks_are_listed_newest_first(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = repository(&db, &ids, alice, "other").await;
        let bob = user(&db, &ids, "bob").await;
        let conn = &mut db.write().await.unwrap();
        for id in 1..=5 {
            // Two of one moment.
            lock(conn, tools, id, 100 + id / 2, if id == 3 { bob } else { alice }).await;
        }
        let numbers = |page: &hakata_store::page::Page<lfs_locks::LfsLock, LockKey>| {
            page.rows.iter().map(|lock| lock.id.get()).collect::<Vec<_>>()
        };
        let (all, two) = (LockFilter::default(), PageSize::new(2));
        let first = lfs_locks::list(conn, tools, all, None, two).await.unwrap();
        assert_eq!(numbers(&first), [5, 4]);
        lock(conn, tools, 6, 200, bob).await;
        assert!(lfs_locks::delete(conn, tools, LfsLockId::new(4), alice).await.unwrap());
        let second = lfs_locks::list(conn, tools, all, first.next, two).await.unwrap();
        assert_eq!(numbers(&second), [3, 2], "neither repeated nor left out");
        let third = lfs_locks::list(conn, tools, all, second.next, two).await.unwrap();
        assert_eq!((numbers(&third), third.next), (vec![1], None));

        let (f2, id) = (path("f2"), Some(LfsLockId::new(2)));
        let both = LockFilter { path: Some(&f2), id };
        assert_eq!(numbers(&lfs_locks::list(conn, tools, both, None, two).await.unwrap()), [2]);
        let neither = LockFilter { path: Some(&f2), id: Some(LfsLockId::new(3)) };
        assert_eq!(numbers(&lfs_locks::list(conn, tools, neither, None, two).await.unwrap()), [0_i64; 0]);
        assert_eq!(lfs_locks::find(conn, other, LfsLockId::new(2)).await.unwrap(), None);
        assert!(!lfs_locks::delete(conn, other, LfsLockId::new(2), alice).await.unwrap());
        assert!(!lfs_locks::delete(conn, tools, LfsLockId::new(2), bob).await.unwrap(), "not bob's");
        let found = lfs_locks::find_on(conn, tools, &f2).await.unwrap().unwrap();
        assert_eq!((found.user_name.as_deref(), found.locked_at, found.path), (Some("alice"), 101, f2));
        let others = lfs_locks::list_of_others(conn, tools, Some(alice)).await.unwrap();
        assert_eq!(others.iter().map(|lock| lock.id.get()).collect::<Vec<_>>(), [3, 6]);
        assert_eq!(lfs_locks::count(conn, tools).await.unwrap(), 5);
        let row = repositories::find(conn, tools).await.unwrap().unwrap();
        assert_eq!(row.policy_version, 6, "pushes under way are judged by new locks too");
    }
}
