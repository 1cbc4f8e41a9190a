//! Objects that are made here.

use hakata_git::write::{Bounds, EntryMode, NewCommit, NewEntry, NewObjects, Signer};
use hakata_names::{ObjectFormat, Oid};
use hakata_repository::{ReceiveError, ReceiveLimits, Received, RefRefusal, no_rows};
use hakata_store::{RepositoryState, on_every_engine};

use crate::fixture::{World, make, moved};

/// Makes a commit of one file.
pub(crate) fn commit(format: ObjectFormat, content: &[u8], parents: &[Oid]) -> (NewObjects, Oid) {
    let mut objects = NewObjects::new(format, Bounds::default());
    let oid = objects.blob(content.to_vec()).unwrap();
    let entry = NewEntry { name: b"file".to_vec(), mode: EntryMode::FILE, oid };
    let tree = objects.tree(vec![entry]).unwrap();
    let by =
        Signer { name: "A".into(), email: "a@example.org".into(), time: 1_700_000_000, offset_minutes: 0 };
    let commit = NewCommit {
        tree,
        parents: parents.to_vec(),
        author: by.clone(),
        committer: by,
        message: b"message\n".to_vec(),
    };
    let tip = objects.commit(&commit).unwrap();
    (objects, tip)
}

/// Takes in a commit as the new tip of `main`.
pub(crate) async fn made(
    world: &World,
    id: hakata_names::RepositoryId,
    content: &[u8],
    old: Option<Oid>,
) -> Received {
    let repository = world.open(id).await;
    let (objects, tip) = commit(repository.format(), content, old.as_slice());
    let update = match old {
        Some(old) => moved("refs/heads/main", old, tip),
        None => make("refs/heads/main", tip),
    };
    repository.make(vec![update], objects, &ReceiveLimits::default()).await.unwrap()
}

on_every_engine! {
    /// What is made is committed as what is pushed, in both formats, and git reads it.
    async fn what_is_made_is_committed_like_a_push(database: TestDatabase) {
        let world = World::new(database).await;
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let id = world.create_as(&format!("tools-{format}"), format, RepositoryState::Active).await;
            let first = made(&world, id, b"1", None).await;
            let one = first.updates()[0].new;
            world.open(id).await.commit(first.prepare(world.intent()), no_rows).await.unwrap();
            let second = made(&world, id, &crate::fixture::noise(100_000), one).await;
            assert_eq!(second.n_objects(), 3);
            let two = second.updates()[0].new.unwrap();
            let committed = world.open(id).await.commit(second.prepare(world.intent()), no_rows).await.unwrap();
            assert!(committed.is_complete());
            assert_eq!(world.listed(id).await, [format!("{two} refs/heads/main")]);
            world.assert_sound(id).await;
        }
    }

    /// What is made must be complete: a commit whose parent is nowhere is refused as a push of it is.
    async fn what_is_made_is_judged(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let nowhere = world.client.commit(b"never pushed", &[]);
        let (objects, tip) = commit(ObjectFormat::Sha1, b"1", &[nowhere]);
        let updates = vec![make("refs/heads/main", tip)];
        let received = world.open(id).await.make(updates, objects, &ReceiveLimits::default()).await;
        // git does not even index a commit whose links lead nowhere, unless it may be somebody else's.
        match received {
            Ok(received) => assert_eq!(received.refusals()[0].1, RefRefusal::Incomplete),
            Err(error) => assert!(matches!(error, ReceiveError::Index(_)), "{error:?}"),
        }
        assert_eq!(world.row(id).await.version, 0);
    }
}
