//! A connection that breaks between COMMIT and its answer: the change is durable or not, and what is said and kept
//! follows from which of the two it is.

use std::sync::Arc;

use hakata_names::{Oid, RepositoryId};
use hakata_repository::{CommitError, Committed};
use hakata_store::page::PageSize;
use hakata_store::testing::{Lost, Others, Relay, TestDatabase, run};
use hakata_store::{Db, Engine, packs, ref_log};

use crate::fixture::{World, make, moved, noise};

/// A world whose database lies behind a relay, with one commit pushed.
struct Broken {
    world: World,
    relay: Arc<Relay>,
    id: RepositoryId,
    one: Oid,
}

impl Broken {
    async fn new(database: TestDatabase) -> Self {
        drop(database.migrated().await);
        let relay = Arc::new(Relay::start(&database).await);
        let db = Db::open(&relay.settings(6)).await.unwrap();
        let world = World::on(database, db, |_| {}).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        Self { world, relay, id, one }
    }

    /// Pushes a pack that needs a blob, and loses its COMMIT.
    async fn push(&self, lost: Lost, others: Others) -> (Oid, Result<Committed, CommitError>) {
        let two = self.world.client.commit(&noise(100_000), &[self.one]);
        let received = self.world.receive(self.id, vec![moved("refs/heads/main", self.one, two)]).await;
        let prepared = received.prepare(self.world.intent());
        let relay = self.relay.clone();
        // Armed at the last moment: everything before has commits of its own.
        let repository = self.world.open(self.id).await;
        let ended = repository.commit(prepared, move |_, _| {
            relay.lose(lost, others);
            Box::pin(async { Ok(()) })
        });
        (two, ended.await)
    }

    async fn n_staged(&self) -> usize {
        let conn = &mut self.world.db.read().await.unwrap();
        packs::staged_older_than(conn, i64::MAX, PageSize::MAX).await.unwrap().len()
    }

    /// The ref is there, the log tells of it once, and the bytes that it needs are kept.
    async fn assert_at(&self, tip: Oid, n_moves: usize) {
        assert_eq!(self.world.listed(self.id).await, [format!("{tip} refs/heads/main")]);
        let conn = &mut self.world.db.read().await.unwrap();
        assert_eq!(ref_log::since(conn, self.id, 0, 10).await.unwrap().len(), n_moves);
        self.world.assert_sound(self.id).await;
    }
}

async fn a_durable_change_is_acknowledged(database: TestDatabase) {
    let broken = Broken::new(database).await;
    let (two, ended) = broken.push(Lost::Answer, Others::Stay).await;
    assert_eq!(ended.unwrap().version, Some(2), "asking shows that it happened");
    broken.assert_at(two, 2).await;
}

async fn a_change_that_did_not_happen_is_taken_back(database: TestDatabase) {
    let broken = Broken::new(database).await;
    let (two, ended) = broken.push(Lost::Commit, Others::Stay).await;
    assert!(matches!(ended, Err(CommitError::RolledBack(_))), "{ended:?}");
    assert_eq!(broken.n_staged().await, 0, "its pack is given back at once");
    broken.assert_at(broken.one, 1).await;
    broken.world.push_ok(broken.id, vec![moved("refs/heads/main", broken.one, two)]).await;
    broken.assert_at(two, 2).await;
}

/// With the database gone nobody can tell: nothing is acknowledged, and the bytes stay, since rows may need them.
async fn what_nobody_knows_keeps_its_bytes(database: TestDatabase) {
    let broken = Broken::new(database).await;
    let (two, ended) = broken.push(Lost::Answer, Others::Go).await;
    assert!(matches!(ended, Err(CommitError::Unknown(_))), "{ended:?}");
    broken.relay.mend();
    broken.assert_at(two, 2).await;
    assert_eq!(broken.n_staged().await, 0, "it happened");
}

async fn what_nobody_knows_and_did_not_happen_is_swept(database: TestDatabase) {
    let broken = Broken::new(database).await;
    let (two, ended) = broken.push(Lost::Commit, Others::Go).await;
    assert!(matches!(ended, Err(CommitError::Unknown(_))), "{ended:?}");
    broken.relay.mend();
    broken.assert_at(broken.one, 1).await;
    assert_eq!(broken.n_staged().await, 1);
    broken.world.push_ok(broken.id, vec![moved("refs/heads/main", broken.one, two)]).await;
    broken.world.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(broken.world.node.repositories.sweep(0).await.unwrap().n_packs, 1);
    broken.assert_at(two, 2).await;
}

macro_rules! on_servers {
    ($($name:ident)+) => {$(
        mod $name {
            #[test]
            fn on_postgres() {
                super::run(super::Engine::Postgres, super::$name);
            }

            #[test]
            fn on_mariadb() {
                super::run(super::Engine::MySql, super::$name);
            }
        }
    )+};
}

on_servers! {
    a_durable_change_is_acknowledged
    a_change_that_did_not_happen_is_taken_back
    what_nobody_knows_keeps_its_bytes
    what_nobody_knows_and_did_not_happen_is_swept
}
