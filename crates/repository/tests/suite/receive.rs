//! What is offered and not accepted yet.

use hakata_names::{ObjectFormat, Oid};
use hakata_repository::{CommitError, Push, ReceiveError, ReceiveLimits, RefRefusal, no_rows};
use hakata_store::page::PageSize;
use hakata_store::testing::run;
use hakata_store::{Engine, RepositoryState, packs};

use crate::fixture::{Client, World, branch, delete, make, noise};

#[test]
fn objects_are_readable_and_gone_when_dropped() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let two = world.client.commit(b"2", &[one]);
        let received = world.receive(id, vec![make("refs/heads/x", two)]).await;
        assert_eq!(received.n_objects(), 3);
        let is_ancestor = received.objects().unwrap().read(move |view| view.is_ancestor(&one, &two));
        assert!(is_ancestor.await.unwrap(), "history is read across quarantine and repository");
        let quarantine = world.data.path().join("quarantine");
        assert_eq!(std::fs::read_dir(&quarantine).unwrap().count(), 1);
        drop(received);
        assert_eq!(std::fs::read_dir(&quarantine).unwrap().count(), 0);
        world.assert_sound(id).await;
    });
}

/// What the rows of a change need is there before its bytes are kept, or nobody would take them back.
#[test]
fn a_push_without_row_ids_leaves_no_bytes() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(&noise(100_000), &[]);
        let received = world.receive(id, vec![make("refs/heads/main", one)]).await;
        world.refuse_rows("id_block", "NEW.family = 'event'").await;
        let ended = world.open(id).await.commit(received.prepare(world.intent()), no_rows).await;
        assert!(matches!(ended, Err(CommitError::Store(_))), "{ended:?}");
        let conn = &mut world.db.read().await.unwrap();
        assert!(packs::staged_older_than(conn, i64::MAX, PageSize::MAX).await.unwrap().is_empty());
        let kept = std::fs::read_dir(world.data.path().join("blobs/packs")).unwrap().count();
        assert_eq!(kept, 0, "no pack is left to the sweeper");
    });
}

#[test]
fn a_tip_that_nobody_sent_is_refused_alone() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let pack = world.client.pack(&[one], &[]);
        let absent = Oid::from_bytes(&[9; 20]).unwrap();
        let push = Push {
            updates: vec![make("refs/heads/a", absent), make("refs/heads/b", one)],
            shallow: Vec::new(),
        };
        let limits = ReceiveLimits::default();
        let received = world.open(id).await.receive(push, Some(&mut &pack[..]), &limits).await.unwrap();
        assert_eq!(received.refusals(), [(branch("a"), RefRefusal::Incomplete)]);
        assert_eq!(received.updates(), [make("refs/heads/b", one)]);
    });
}

#[test]
fn bad_packs_are_refused_and_leave_nothing() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(&noise(10_000), &[]);
        let pack = world.client.pack(&[one], &[]);
        let mut flipped = pack.clone();
        flipped[2_000] ^= 1;
        for bad in [&pack[..pack.len() / 2], &flipped[..], b"", b"PACK"] {
            let push = Push { updates: vec![make("refs/heads/a", one)], shallow: Vec::new() };
            let limits = ReceiveLimits::default();
            let refused = world.open(id).await.receive(push, Some(&mut &bad[..]), &limits).await;
            assert!(matches!(refused, Err(ReceiveError::Index(_))), "{refused:?}");
        }
        let small = ReceiveLimits { max_pack_bytes: Some(5_000), ..ReceiveLimits::default() };
        let push = Push { updates: vec![make("refs/heads/a", one)], shallow: Vec::new() };
        let refused = world.open(id).await.receive(push, Some(&mut &pack[..]), &small).await;
        assert!(matches!(refused, Err(ReceiveError::Index(_))));
        assert_eq!(std::fs::read_dir(world.data.path().join("quarantine")).unwrap().count(), 0);
    });
}

#[test]
fn large_objects_are_listed_with_a_path() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(&noise(50_000), &[]);
        let pack = world.client.pack(&[one], &[]);
        let limits = ReceiveLimits { max_object_bytes: Some(40_000), ..ReceiveLimits::default() };
        let push = Push { updates: vec![make("refs/heads/a", one)], shallow: Vec::new() };
        let received = world.open(id).await.receive(push, Some(&mut &pack[..]), &limits).await.unwrap();
        let [large] = received.large() else { panic!("one object is too large") };
        assert_eq!(large.object.size_bytes, 50_000);
        assert_eq!(large.path.as_ref().unwrap().as_bytes(), b"file");
    });
}

#[test]
fn a_deletion_reads_no_pack_and_makes_no_directory() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let push = Push { updates: vec![delete("refs/heads/a", one)], shallow: Vec::new() };
        let limits = ReceiveLimits::default();
        let none = None::<&mut tokio::io::Empty>;
        let received = world.open(id).await.receive(push, none, &limits).await.unwrap();
        assert!(received.objects().is_none() && received.n_objects() == 0);
        assert_eq!(std::fs::read_dir(world.data.path().join("repositories")).unwrap().count(), 0);
    });
}

#[test]
fn sha256_repositories_work_the_same() {
    run(Engine::Sqlite, |database| async {
        let mut world = World::new(database).await;
        world.client = Client::new(ObjectFormat::Sha256);
        let id = world.create_as("tools", ObjectFormat::Sha256, RepositoryState::Active).await;
        let one = world.client.commit(b"1", &[]);
        let tag = world.client.tag("v", one);
        world.push_ok(id, vec![make("refs/heads/main", one), make("refs/tags/v", tag)]).await;
        assert_eq!(world.listed(id).await.len(), 2);
        world.restart().await;
        while !world.node.repositories.drop_cache(id).await {
            tokio::task::yield_now().await;
        }
        world.assert_sound(id).await;
    });
}
