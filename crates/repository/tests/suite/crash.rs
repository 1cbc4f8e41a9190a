//! What is true after a process died between two steps. Killing real processes is testkit's; here a task is cut, and
//! another engine starts on the same rows and directory.

use std::sync::Arc;

use hakata_repository::no_rows;
use hakata_store::page::PageSize;
use hakata_store::{on_every_engine, packs};
use tokio::sync::Notify;

use crate::fixture::{World, make, noise};

on_every_engine! {
    /// A process that dies inside the transaction leaves a staged pack and nothing else; the push can be repeated.
    async fn a_death_before_commit_leaves_only_a_staged_pack(database: TestDatabase) {
        let mut world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(&noise(100_000), &[]);
        let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        let inside = Arc::new(Notify::new());
        let (repository, tells) = (world.open(id).await, inside.clone());
        let committing = tokio::spawn(async move {
            let also = repository.commit(prepared, move |_, _| {
                let tells = tells.clone();
                Box::pin(async move {
                    tells.notify_one();
                    std::future::pending().await
                })
            });
            also.await
        });
        inside.notified().await;
        world.restart().await;
        assert!(committing.await.unwrap().is_err());
        assert_eq!(world.row(id).await.version, 0);
        let staged = packs::staged_older_than(&mut world.db.read().await.unwrap(), i64::MAX, PageSize::MAX).await.unwrap();
        assert_eq!(staged.len(), 1);
        assert_eq!(std::fs::read_dir(world.data.path().join("quarantine")).unwrap().count(), 0);

        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        world.clock.advance(std::time::Duration::from_secs(10));
        assert_eq!(world.node.repositories.sweep(0).await.unwrap().n_packs, 1);
        world.assert_sound(id).await;
    }

    /// A caller that leaves does not stop a change half-way: it happens, and this process sees it.
    async fn a_caller_that_leaves_changes_nothing(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        let repository = world.open(id).await;
        {
            let commit = repository.commit(prepared, no_rows);
            futures_util::pin_mut!(commit);
            assert!(futures_util::poll!(&mut commit).is_pending());
        }
        while world.row(id).await.version == 0 {
            tokio::task::yield_now().await;
        }
        while world.open(id).await.version() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.listed(id).await, [format!("{one} refs/heads/main")]);
    }
}
