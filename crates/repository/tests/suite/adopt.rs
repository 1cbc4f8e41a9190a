//! Changes that are prepared in one place and committed in another.

use hakata_names::ObjectFormat;
use hakata_repository::{
    AdoptError, Atomicity, CommitError, Intent, PackClaim, Reason, ReceiveLimits, RefRefusal, Staged, no_rows,
};
use hakata_runtime::fault;
use hakata_store::page::PageSize;
use hakata_store::{RepositoryState, on_every_engine, packs, repositories};

use crate::fixture::{World, branch, make, moved, noise};
use crate::make::{commit, made};

fn intent(world: &World) -> Intent {
    Intent { reason: Reason::Rpc, atomicity: Atomicity::Whole, ..world.intent() }
}

/// Prepares a commit on `main`.
async fn staged(
    world: &World,
    id: hakata_names::RepositoryId,
    content: &[u8],
    old: Option<hakata_names::Oid>,
) -> Staged {
    let received = made(world, id, content, old).await;
    assert_eq!(received.refusals(), []);
    world.open(id).await.stage(received.prepare(intent(world))).await.unwrap()
}

async fn n_staged(world: &World) -> usize {
    let mut conn = world.db.read().await.unwrap();
    packs::staged_older_than(&mut conn, i64::MAX, PageSize::MAX).await.unwrap().len()
}

on_every_engine! {
    /// A process that only shares database and blobs commits what another prepared, small and large, in both formats.
    async fn another_process_commits_what_was_prepared(database: TestDatabase) {
        fault::record();
        let mut world = World::new(database).await;
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let id = world.create_as(&format!("tools-{format}"), format, RepositoryState::Active).await;
            let mut old = None;
            for content in [b"small".to_vec(), noise(200_000)] {
                let staged = staged(&world, id, &content, old).await;
                assert_eq!(world.row(id).await.version, i64::from(old.is_some()), "preparing moves nothing");
                let tip = staged.updates[0].new;
                world.restart().await;
                let received = world.open(id).await.adopt(staged.clone(), &ReceiveLimits::default()).await.unwrap();
                assert_eq!((received.updates(), received.n_objects()), (&staged.updates[..], 3));
                let committed = world.open(id).await.commit(received.prepare(intent(&world)), no_rows).await.unwrap();
                assert!(committed.is_complete());
                assert_eq!(world.listed(id).await, [format!("{} refs/heads/main", tip.unwrap())]);
                let again = world.open(id).await.adopt(staged, &ReceiveLimits::default()).await;
                assert!(matches!(again, Err(AdoptError::Gone)), "a change is committed once: {again:?}");
                old = tip;
            }
            world.assert_sound(id).await;
        }
        assert_eq!(n_staged(&world).await, 0);
        for point in ["stage.kept", "adopt.pack"] {
            assert!(fault::reached().contains(&point), "{point} is passed");
        }
    }

    /// Of two that adopt one change, one commits it; the other is told so and harms nothing.
    async fn a_change_that_two_adopt_is_committed_once(database: TestDatabase) {
        let world = World::new(database).await;
        for (name, content) in [("small", b"1".to_vec()), ("large", noise(200_000))] {
            let id = world.create(name).await;
            let staged = staged(&world, id, &content, None).await;
            let limits = ReceiveLimits::default();
            let one = world.open(id).await.adopt(staged.clone(), &limits).await.unwrap();
            let other = world.open(id).await.adopt(staged, &limits).await.unwrap();
            assert!(world.open(id).await.commit(one.prepare(intent(&world)), no_rows).await.unwrap().is_complete());
            let other = world.open(id).await.commit(other.prepare(intent(&world)), no_rows).await;
            assert!(matches!(other, Err(CommitError::PackSwept)), "{other:?}");
            world.assert_sound(id).await;
        }
    }

    /// A branch that moved meanwhile refuses the change, and what was prepared is given back at once.
    async fn a_branch_that_moved_refuses_what_was_prepared(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let late = staged(&world, id, &noise(200_000), None).await;
        let first = staged(&world, id, b"first", None).await;
        let limits = ReceiveLimits::default();
        for (staged, is_complete) in [(first, true), (late, false)] {
            let received = world.open(id).await.adopt(staged, &limits).await.unwrap();
            let committed = world.open(id).await.commit(received.prepare(intent(&world)), no_rows).await.unwrap();
            assert_eq!(committed.is_complete(), is_complete);
        }
        assert_eq!((n_staged(&world).await, world.row(id).await.version), (0, 1));
        world.assert_sound(id).await;
    }

    /// What was prepared on objects that are collected before the commit is refused, not committed without them.
    async fn what_was_collected_meanwhile_is_missed(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let base = made(&world, id, b"base", None).await;
        let old = base.updates()[0].new.unwrap();
        world.open(id).await.commit(base.prepare(intent(&world)), no_rows).await.unwrap();
        let (objects, tip) = commit(ObjectFormat::Sha1, b"next", &[old]);
        let updates = vec![make("refs/heads/topic", tip)];
        let received = world.open(id).await.make(updates, objects, &ReceiveLimits::default()).await.unwrap();
        let staged = world.open(id).await.stage(received.prepare(intent(&world))).await.unwrap();

        // The branch moves away, and a collection drops what it led to.
        let (objects, root) = commit(ObjectFormat::Sha1, b"other", &[]);
        let updates = vec![moved("refs/heads/main", old, root)];
        let received = world.open(id).await.make(updates, objects, &ReceiveLimits::default()).await.unwrap();
        world.open(id).await.commit(received.prepare(intent(&world)), no_rows).await.unwrap();
        let dropped = packs::list_of(&mut world.db.read().await.unwrap(), id).await.unwrap()[0].id;
        let version = world.row(id).await.version;
        let collect = world.db.transaction(|tx| {
            Box::pin(async move {
                assert!(packs::unlink(tx, dropped, id).await?);
                repositories::raise_prune_epoch(tx, id, version).await
            })
        });
        assert!(collect.await.unwrap());

        let received = world.open(id).await.adopt(staged, &ReceiveLimits::default()).await.unwrap();
        let committed = world.open(id).await.commit(received.prepare(intent(&world)), no_rows).await.unwrap();
        assert_eq!(committed.refs, [(branch("topic"), Err(RefRefusal::Incomplete))]);
        assert_eq!(n_staged(&world).await, 0);
        world.assert_sound(id).await;
    }

    /// What a caller mixes up or invents is refused.
    async fn a_claim_must_be_right(database: TestDatabase) {
        let world = World::new(database).await;
        let (id, other) = (world.create("tools").await, world.create("other").await);
        let staged = staged(&world, id, b"1", None).await;
        let limits = ReceiveLimits::default();
        let foreign = world.open(other).await.adopt(staged.clone(), &limits).await;
        assert!(matches!(foreign, Err(AdoptError::Foreign(of)) if of == id), "{foreign:?}");
        let claim = staged.pack.unwrap();
        let guessed = PackClaim { checksum: staged.updates[0].new.unwrap(), ..claim };
        let guessed = world.open(id).await.adopt(Staged { pack: Some(guessed), ..staged.clone() }, &limits).await;
        assert!(matches!(guessed, Err(AdoptError::Gone)), "{guessed:?}");
        // A tip that is not in the pack: nothing that is said is believed.
        let nowhere = world.client.commit(b"never sent", &[]);
        let updates = vec![make("refs/heads/main", nowhere)];
        let lie = world.open(id).await.adopt(Staged { updates, ..staged.clone() }, &limits).await;
        match lie {
            Ok(received) => assert_eq!(received.refusals()[0].1, RefRefusal::Incomplete),
            Err(error) => panic!("{error:?}"),
        }
        world.clock.advance(std::time::Duration::from_secs(25 * 3_600));
        assert_eq!(world.node.repositories.sweep(24 * 3_600_000).await.unwrap().n_packs, 1);
        let swept = world.open(id).await.adopt(staged, &limits).await;
        assert!(matches!(swept, Err(AdoptError::Gone)), "what nobody commits is swept: {swept:?}");
    }
}
