//! Packs: staged, live, shared, dead, and never both swept and committed.

use std::sync::Arc;

use hakata_names::PackId;
use hakata_store::packs::{self, NewPack};
use hakata_store::page::PageSize;
use hakata_store::{PackState, on_every_engine};
use tokio::sync::Barrier;

use crate::fixture::{Fixture, raise, repository};

fn new_pack(id: i64, inline: Option<&[u8]>) -> NewPack<'_> {
    NewPack {
        id: PackId::new(id),
        node: "node-1",
        checksum: &[9; 20],
        size_bytes: 1234,
        n_objects: 5,
        kind: "push",
        inline,
        created_at: id * 10,
    }
}

on_every_engine! {
    /// A pack goes from staged to live once, and its bytes come back as they were.
    async fn a_pack_becomes_live_once(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let bytes: Vec<u8> = (0..=255).cycle().take(65536).collect();
        let conn = &mut db.write().await.unwrap();
        packs::insert_staged(conn, &new_pack(1, Some(&bytes))).await.unwrap();
        packs::insert_staged(conn, &new_pack(2, None)).await.unwrap();
        assert_eq!(packs::list_of(conn, tools).await.unwrap(), [], "staged packs are nobody's");
        assert!(packs::make_live(conn, PackId::new(1), tools, 7).await.unwrap());
        assert!(!packs::make_live(conn, PackId::new(1), tools, 8).await.unwrap(), "live already");
        assert!(!packs::make_live(conn, PackId::new(404), tools, 8).await.unwrap(), "swept");
        let listed = packs::list_of(conn, tools).await.unwrap();
        assert_eq!(listed.len(), 1);
        let pack = &listed[0];
        assert_eq!((pack.id, pack.state, pack.is_inline, pack.n_objects), (PackId::new(1), PackState::Live, true, 5));
        assert_eq!((&pack.checksum[..], pack.size_bytes, pack.kind.as_str()), (&[9; 20][..], 1234, "push"));
        assert!(packs::get_inline(conn, PackId::new(1)).await.unwrap() == Some(bytes), "the bytes are the same");
        assert_eq!(packs::get_inline(conn, PackId::new(2)).await.unwrap(), None);
        assert!(!packs::find(conn, PackId::new(2)).await.unwrap().unwrap().is_inline);
    }

    /// Only staged packs are swept, the old ones.
    async fn the_sweeper_takes_staged_packs_only(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        for id in 1..=3 {
            packs::insert_staged(conn, &new_pack(id, None)).await.unwrap();
        }
        packs::make_live(conn, PackId::new(1), tools, 1).await.unwrap();
        let old = packs::staged_older_than(conn, 30, PageSize::default()).await.unwrap();
        assert_eq!(old.iter().map(|pack| pack.id.get()).collect::<Vec<_>>(), [2]);
        assert!(!packs::delete_staged(conn, PackId::new(1)).await.unwrap(), "committed meanwhile");
        assert!(packs::delete_staged(conn, PackId::new(2)).await.unwrap());
        assert!(!packs::delete_staged(conn, PackId::new(2)).await.unwrap());
    }

    /// A pack dies when nobody uses it, and its row goes when its time has come.
    async fn a_pack_dies_when_nobody_uses_it(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let fork = repository(&db, &ids, alice, "fork").await;
        let pack = PackId::new(1);
        let conn = &mut db.write().await.unwrap();
        packs::insert_staged(conn, &new_pack(1, None)).await.unwrap();
        assert!(!packs::share(conn, pack, fork, 1).await.unwrap(), "staged packs are not shared");
        packs::make_live(conn, pack, tools, 1).await.unwrap();
        assert!(packs::share(conn, pack, fork, 1).await.unwrap());
        assert!(packs::unlink(conn, pack, tools).await.unwrap());
        assert!(!packs::unlink(conn, pack, tools).await.unwrap());
        assert_eq!(packs::list_unlinked(conn, None, PageSize::default()).await.unwrap(), []);
        assert!(!packs::kill_unlinked(conn, pack, 100).await.unwrap(), "the fork uses it");
        packs::unlink(conn, pack, fork).await.unwrap();
        assert_eq!(packs::list_unlinked(conn, None, PageSize::default()).await.unwrap().len(), 1);
        assert!(packs::kill_unlinked(conn, pack, 100).await.unwrap());
        assert!(!packs::share(conn, pack, fork, 2).await.unwrap(), "dead packs are not shared");
        assert_eq!(packs::dead_before(conn, 99, None, PageSize::default()).await.unwrap(), []);
        assert!(!packs::delete_dead(conn, pack, 99).await.unwrap());
        assert_eq!(packs::dead_before(conn, 100, None, PageSize::default()).await.unwrap().len(), 1);
        assert!(packs::delete_dead(conn, pack, 100).await.unwrap());
        assert_eq!(packs::find(conn, pack).await.unwrap(), None);
    }

    /// The sweeper and a late commit at once: one of them gets the pack, never both.
    async fn a_late_commit_and_the_sweeper_do_not_both_win(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        for id in 1..=12 {
            packs::insert_staged(&mut db.write().await.unwrap(), &new_pack(id, None)).await.unwrap();
            let pack = PackId::new(id);
            let start = Arc::new(Barrier::new(2));
            let (sweeper, starting) = (db.clone(), start.clone());
            let sweep = tokio::spawn(async move {
                starting.wait().await;
                sweeper.transaction(|tx| Box::pin(packs::delete_staged(tx, pack))).await.unwrap()
            });
            start.wait().await;
            let committed = db
                .transaction(|tx| {
                    Box::pin(async move {
                        let version = raise(tx, tools).await?.expect("the repository is active");
                        packs::make_live(tx, pack, tools, version).await
                    })
                })
                .await
                .unwrap();
            let swept = sweep.await.unwrap();
            assert!(committed != swept, "pack {id}: committed {committed}, swept {swept}");
            let linked = packs::list_of(&mut db.read().await.unwrap(), tools).await.unwrap();
            assert_eq!(linked.iter().any(|linked| linked.id == pack), committed);
        }
    }
}
