//! LFS objects that nothing points to, that are bad, and that were removed for good.

use std::sync::Arc;

use hakata_names::{LfsObjectId, RepositoryId};
use hakata_store::lfs_sweeps::{self, Due};
use hakata_store::page::PageSize;
use hakata_store::ref_log::{self, Occasion};
use hakata_store::repositories::{self, Erased};
use hakata_store::{Db, LfsObjectState, RepositoryState, lfs_objects, lfs_removals, on_every_engine};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, moved, oid, repository};
use crate::lfs::{keep, lfs_oid, stage};

/// Gives a repository objects 1 to `n`, told of at time 5.
async fn objects(db: &Db, tools: RepositoryId, n: u8) -> Vec<LfsObjectId> {
    let mut ids = Vec::new();
    for number in 1..=n {
        let mut conn = db.write().await.unwrap();
        stage(&mut conn, number.into(), lfs_oid(number)).await;
        drop(conn);
        ids.push(keep(db, LfsObjectId::new(number.into()), lfs_oid(number), tools).await);
    }
    ids
}

on_every_engine! {
    /// Each step names what it saw: a promise in between stops it.
    async fn only_what_nobody_was_told_of_is_collected(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = repository(&db, &ids, alice, "other").await;
        let all = objects(&db, tools, 4).await;
        keep(&db, all[0], lfs_oid(1), other).await;
        let conn = &mut db.write().await.unwrap();
        assert_eq!(lfs_objects::list_settled(conn, tools, 4, None, PageSize::MAX).await.unwrap(), []);
        let settled = lfs_objects::list_settled(conn, tools, 5, Some(all[1]), PageSize::MAX).await.unwrap();
        assert_eq!(settled.iter().map(|at| at.id).collect::<Vec<_>>(), all[2..]);
        assert_eq!(lfs_objects::quarantine(conn, tools, &all, 4, 20).await.unwrap(), 0, "they were told of since");
        assert_eq!(lfs_objects::quarantine(conn, tools, &all, 5, 20).await.unwrap(), 4);
        assert_eq!(lfs_objects::quarantine(conn, tools, &all, 5, 30).await.unwrap(), 0, "in it already");
        assert_eq!(lfs_objects::revive(conn, tools, &all[..1]).await.unwrap(), 1);
        assert_eq!(lfs_objects::revive(conn, tools, &all[..1]).await.unwrap(), 0);
        lfs_objects::promise(conn, tools, &all[1..2], 25).await.unwrap();
        let listed = lfs_objects::list_quarantined(conn, tools, None, PageSize::MAX).await.unwrap();
        assert_eq!(listed.iter().map(|at| (at.id, at.quarantined_at)).collect::<Vec<_>>(), [
            (all[2], Some(20)), (all[3], Some(20)),
        ]);
        let found = lfs_objects::find_linked(conn, other, &[lfs_oid(1)]).await.unwrap();
        assert_eq!(found[0].quarantined_at, None, "each repository for itself");
        assert!(!lfs_objects::collect(conn, tools, all[0], 20, 5).await.unwrap(), "revived");
        assert!(!lfs_objects::collect(conn, tools, all[1], 20, 5).await.unwrap(), "promised");
        assert!(!lfs_objects::collect(conn, tools, all[2], 19, 5).await.unwrap(), "in quarantine since another time");
        assert!(!lfs_objects::collect(conn, tools, all[2], 20, 4).await.unwrap(), "told of later");
        assert!(lfs_objects::collect(conn, tools, all[2], 20, 5).await.unwrap());
        assert!(!lfs_objects::collect(conn, tools, all[2], 20, 5).await.unwrap(), "once");
        assert_eq!(lfs_objects::find_linked(conn, tools, &[lfs_oid(3)]).await.unwrap(), []);
        assert_eq!(lfs_objects::list_unlinked(conn, None, PageSize::MAX).await.unwrap().len(), 1);
    }

    /// A promise and a collection of the same object at once: one of them, never both.
    async fn a_promise_and_a_collection_exclude_each_other(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let all = objects(&db, tools, 40).await;
        lfs_objects::quarantine(&mut db.write().await.unwrap(), tools, &all, 5, 20).await.unwrap();
        let barrier = Arc::new(Barrier::new(2));
        let (taking, other) = (db.clone(), barrier.clone());
        let listed = all.clone();
        let taking = tokio::spawn(async move {
            other.wait().await;
            let mut n_taken = 0;
            for id in listed {
                let taken = taking.transaction(|tx| Box::pin(async move {
                    repositories::lock(tx, tools).await?;
                    lfs_objects::collect(tx, tools, id, 20, 5).await
                }));
                n_taken += usize::from(taken.await.map_err(|error: hakata_store::StoreError| error).unwrap());
            }
            n_taken
        });
        barrier.wait().await;
        for id in all.iter().rev() {
            lfs_objects::promise(&mut db.write().await.unwrap(), tools, &[*id], 50).await.unwrap();
        }
        let n_taken = taking.await.unwrap();
        let oids: Vec<_> = (1..=40).map(lfs_oid).collect();
        let left = lfs_objects::find_linked(&mut db.read().await.unwrap(), tools, &oids).await.unwrap();
        assert_eq!(left.len() + n_taken, 40);
        assert!(left.iter().all(|at| at.promised_at == 50 && at.quarantined_at.is_none()));
    }

    /// A bad object is nobody's until another takes its place everywhere.
    async fn a_bad_object_is_replaced_everywhere(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = repository(&db, &ids, alice, "other").await;
        let all = objects(&db, tools, 2).await;
        keep(&db, all[0], lfs_oid(1), other).await;
        let mut conn = db.write().await.unwrap();
        assert_eq!(lfs_objects::unchecked(&mut conn, 11).await.unwrap(), (1, 100), "checked when they came: 10 and 20");
        assert!(lfs_objects::note_good(&mut conn, all[0], 90).await.unwrap());
        let due = lfs_objects::list_unchecked(&mut conn, 80, None, PageSize::MAX).await.unwrap();
        assert_eq!(due.iter().map(|object| object.id).collect::<Vec<_>>(), all[1..]);
        assert_eq!(lfs_objects::list_unchecked(&mut conn, 99, Some(all[1]), PageSize::MAX).await.unwrap(), []);
        assert!(lfs_objects::note_bad(&mut conn, all[0], 95).await.unwrap());
        let bad = lfs_objects::list_bad(&mut conn, PageSize::MAX).await.unwrap();
        let paths: Vec<&str> = bad.iter().map(|bad| bad.path.as_str()).collect();
        assert_eq!(paths, ["alice/tools", "alice/other"]);
        assert!(lfs_objects::find_linked(&mut conn, tools, &[lfs_oid(1)]).await.unwrap()[0].is_bad);
        assert_eq!(lfs_objects::list_candidates(&mut conn, alice, &[lfs_oid(1)]).await.unwrap(), []);
        let new = stage(&mut conn, 7, lfs_oid(1)).await;
        drop(conn);
        let replaced = db.transaction(|tx| Box::pin(async move {
            assert!(lfs_objects::lock_live(tx, &lfs_oid(1)).await?.unwrap().is_bad);
            lfs_objects::replace_bad(tx, LfsObjectId::new(1), new, 200).await
        }));
        assert!(replaced.await.map_err(|error: hakata_store::StoreError| error).unwrap());
        let conn = &mut db.write().await.unwrap();
        for repository in [tools, other] {
            let found = lfs_objects::find_linked(conn, repository, &[lfs_oid(1)]).await.unwrap();
            assert_eq!((found[0].id, found[0].is_bad), (new, false));
        }
        let dead = lfs_objects::dead_before(conn, 200, PageSize::MAX).await.unwrap();
        assert_eq!(dead.iter().map(|at| (at.id.get(), at.state)).collect::<Vec<_>>(), [(1, LfsObjectState::Dead)]);
        assert!(!lfs_objects::note_good(conn, all[0], 300).await.unwrap(), "the dead stay dead");
        assert!(!lfs_objects::replace_bad(conn, new, all[1], 300).await.unwrap(), "it is not bad");
        assert!(lfs_objects::note_bad(conn, all[1], 301).await.unwrap());
        assert!(lfs_objects::note_good(conn, all[1], 302).await.unwrap());
        assert_eq!(lfs_objects::list_bad(conn, PageSize::MAX).await.unwrap(), [], "good again");
    }

    /// What was removed is remembered for one repository, and forgotten with it.
    async fn removals_and_times_go_with_their_repository(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = repository(&db, &ids, alice, "other").await;
        objects(&db, tools, 1).await;
        let conn = &mut db.write().await.unwrap();
        for (n, is_new) in [(1, true), (2, true), (1, false)] {
            assert_eq!(lfs_removals::insert(conn, tools, &lfs_oid(n), 5).await.unwrap(), is_new);
        }
        let asked: Vec<_> = (0..9).map(lfs_oid).collect();
        assert_eq!(lfs_removals::find(conn, tools, &asked).await.unwrap().len(), 2);
        assert_eq!(lfs_removals::find(conn, other, &asked).await.unwrap(), []);
        let listed = lfs_removals::list(conn, tools, Some(&lfs_oid(1)), PageSize::MAX).await.unwrap();
        assert_eq!(listed.iter().map(|at| (at.oid, at.removed_at)).collect::<Vec<_>>(), [(lfs_oid(2), 5)]);
        assert!(lfs_removals::delete(conn, tools, &lfs_oid(2)).await.unwrap());
        assert!(!lfs_removals::delete(conn, tools, &lfs_oid(2)).await.unwrap());

        let due = Due { repository: tools, next_at: None };
        assert_eq!(lfs_sweeps::list_due(conn, 10, None, PageSize::MAX).await.unwrap(), [due], "only who has objects");
        assert!(lfs_sweeps::reschedule(conn, due, 100).await.unwrap());
        assert!(!lfs_sweeps::reschedule(conn, due, 200).await.unwrap(), "somebody was faster");
        assert_eq!(lfs_sweeps::list_due(conn, 99, None, PageSize::MAX).await.unwrap(), []);
        let due = Due { repository: tools, next_at: Some(100) };
        assert_eq!(lfs_sweeps::list_due(conn, 100, None, PageSize::MAX).await.unwrap(), [due]);
        assert_eq!(lfs_sweeps::list_due(conn, 100, Some(tools), PageSize::MAX).await.unwrap(), []);
        assert!(lfs_sweeps::reschedule(conn, due, 300).await.unwrap());
        assert!(!lfs_sweeps::reschedule(conn, due, 400).await.unwrap());

        repositories::set_state(conn, tools, RepositoryState::Active, RepositoryState::Deleted, 1).await.unwrap();
        while repositories::erase(conn, tools, i64::MAX, 1).await.unwrap() == Erased::Part {}
        assert_eq!(lfs_removals::find(conn, tools, &asked).await.unwrap(), []);
        assert!(lfs_sweeps::reschedule(conn, Due { repository: tools, next_at: None }, 1).await.unwrap(), "it was forgotten");
    }

    /// Everything that refs pointed to since a time is listed, however many pages that takes.
    async fn old_tips_are_listed_in_pages(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        for version in 1..=5_u32 {
            let moves = [
                moved("refs/heads/a", (version > 1).then_some(version - 1), Some(version)),
                moved("refs/pull/1/head", Some(100 + version), None),
            ];
            let (version, at) = (i64::from(version), i64::from(version) * 10);
            let occasion = Occasion { repository: tools, version, actor: None, reason: "push", at };
            ref_log::append(conn, occasion, &moves).await.unwrap();
        }
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = ref_log::list_old(conn, tools, 20, after.as_ref(), PageSize::new(2)).await.unwrap();
            found.extend(page.rows.into_iter().map(|(oid, _)| oid));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, [1, 102, 2, 103, 3, 104, 4, 105].map(oid));
        let moved = ref_log::moved_since(conn, tools, 40, 3).await.unwrap();
        assert_eq!(moved.iter().map(|at| at.version).collect::<Vec<_>>(), [4, 4, 5], "oldest first, bounded");
    }
}
