//! The end of deleted repositories: not too early, all of it, and nothing of what forks share.

use std::time::Duration;

use hakata_blob::{BlobKey, PackPart};
use hakata_names::PackId;
use hakata_repository::no_rows;
use hakata_store::{PackState, RepositoryState, on_every_engine, packs, repositories};

use crate::fixture::{World, make, noise};

const DAY: Duration = Duration::from_secs(24 * 3_600);

on_every_engine! {
    /// A deleted repository can be restored for its time; then rows and bytes go, and a fork loses nothing.
    async fn deleted_repositories_are_erased_when_their_time_is_over(database: TestDatabase) {
        let world = World::with(database, |settings| settings.restore_for = 3 * DAY).await;
        let (source, other) = (world.create("source").await, world.create("other").await);
        let one = world.client.commit(&noise(100_000), &[]);
        let two = world.client.commit(&noise(90_000), &[]);
        world.push_ok(source, vec![make("refs/heads/main", one)]).await;
        world.push_ok(other, vec![make("refs/heads/main", two)]).await;
        let fork = world.fork("fork");
        let forked = world.open(source).await.fork(&fork, no_rows).await.unwrap();
        assert_eq!(forked.n_shared, 1);
        let (shared, own) = (world.pack_of(source).await, world.pack_of(other).await);
        let directory = world.open(other).await.cache().await.unwrap().dir().path().to_owned();
        for id in [source, other] {
            world.node.repositories.delete(id, RepositoryState::Active, no_rows, None).await.unwrap();
        }
        world.clock.advance(2 * DAY);
        let swept = world.node.repositories.sweep(0).await.unwrap();
        assert_eq!(swept.n_erased, 0, "there is time to restore it");
        assert!(!directory.exists(), "a directory can be made again");
        let restored = repositories::restore(&mut world.db.write().await.unwrap(), other).await.unwrap();
        restored.unwrap();
        world.node.repositories.forget(other);
        world.assert_sound(other).await;
        world.node.repositories.delete(other, RepositoryState::Active, no_rows, None).await.unwrap();
        world.clock.advance(DAY);
        let swept = world.node.repositories.sweep(0).await.unwrap();
        assert_eq!(swept.n_erased, 1, "the time of the restored one began anew");
        assert!(world.find(source).await.is_none() && world.find(other).await.is_some());
        world.clock.advance(2 * DAY);
        assert_eq!(world.node.repositories.sweep(0).await.unwrap().n_erased, 1);
        assert!(world.find(other).await.is_none());
        assert_eq!(world.state_of(shared).await, Some(PackState::Live), "the fork has it");
        assert_eq!(world.state_of(own).await, Some(PackState::Dead));
        world.clock.advance(DAY + Duration::from_millis(1));
        world.node.repositories.sweep(0).await.unwrap();
        assert_eq!(world.state_of(own).await, None);
        let bytes = world.node.blobs.stat(BlobKey::pack(own, PackPart::Pack)).await.unwrap();
        assert!(bytes.is_none(), "its bytes are gone");
        world.node.repositories.forget(forked.id);
        world.assert_sound(forked.id).await;
        let of_owner = hakata_store::owners::find(&mut world.db.read().await.unwrap(), world.alice.owner()).await;
        let fork_bytes = world.row(forked.id).await.size_bytes;
        assert_eq!(of_owner.unwrap().unwrap().size_bytes, fork_bytes, "the owner has its room again");
    }

    /// Bytes that cannot be deleted keep their row for the next sweep, and hold up no others.
    async fn one_pack_that_stays_holds_up_no_other(database: TestDatabase) {
        let world = World::with(database, |settings| settings.restore_for = Duration::ZERO).await;
        let mut packs = Vec::new();
        for name in ["a", "b"] {
            let id = world.create(name).await;
            let tip = world.client.commit(&noise(100_000), &[]);
            world.push_ok(id, vec![make("refs/heads/main", tip)]).await;
            packs.push(world.pack_of(id).await);
            world.node.repositories.delete(id, RepositoryState::Active, no_rows, None).await.unwrap();
        }
        assert_eq!(world.node.repositories.sweep(0).await.unwrap().n_erased, 2);
        // A directory in the place of a file cannot be deleted as one.
        let path = world.data.path().join("blobs").join(BlobKey::pack(packs[0], PackPart::Pack).to_string());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        world.clock.advance(2 * DAY);
        let swept = world.node.repositories.sweep(0).await.unwrap();
        assert_eq!((swept.n_failed, swept.n_packs), (1, 1), "{swept:?}");
        assert_eq!(world.state_of(packs[0]).await, Some(PackState::Dead), "its row still names the bytes");
        assert_eq!(world.state_of(packs[1]).await, None);
        std::fs::remove_dir(&path).unwrap();
        let swept = world.node.repositories.sweep(0).await.unwrap();
        assert_eq!((swept.n_failed, swept.n_packs), (0, 1), "{swept:?}");
        assert_eq!(world.state_of(packs[0]).await, None);
    }

    /// A repository that the database does not let go holds up no other.
    async fn one_repository_that_stays_holds_up_no_other(database: TestDatabase) {
        let world = World::with(database, |settings| settings.restore_for = Duration::ZERO).await;
        let (stays, goes) = (world.create("stays").await, world.create("goes").await);
        for id in [stays, goes] {
            world.node.repositories.delete(id, RepositoryState::Active, no_rows, None).await.unwrap();
        }
        // A row of a table that we do not know leans on it.
        world
            .execute("CREATE TABLE other (repository_id BIGINT NOT NULL, FOREIGN KEY (repository_id) REFERENCES repository (id))")
            .await;
        world.execute(&format!("INSERT INTO other VALUES ({stays})")).await;
        assert_eq!(world.node.repositories.sweep(0).await.unwrap().n_erased, 1);
        assert!(world.find(stays).await.is_some() && world.find(goes).await.is_none());
        world.execute("DROP TABLE other").await;
        assert_eq!(world.node.repositories.sweep(0).await.unwrap().n_erased, 1);
    }
}

impl World {
    async fn pack_of(&self, id: hakata_names::RepositoryId) -> PackId {
        packs::list_of(&mut self.db.read().await.unwrap(), id).await.unwrap()[0].id
    }

    async fn state_of(&self, pack: PackId) -> Option<PackState> {
        let found = packs::find(&mut self.db.read().await.unwrap(), pack).await.unwrap();
        found.map(|pack| pack.state)
    }

    async fn find(&self, id: hakata_names::RepositoryId) -> Option<repositories::Repository> {
        repositories::find(&mut self.db.read().await.unwrap(), id).await.unwrap()
    }
}
