//! The kind `disk_usage`, as a push causes it.

use hakata_names::{EventId, OwnerName, RepositoryId, RepositoryPath};
use hakata_runtime::tasks::Tasks;
use hakata_store::events::Event;
use hakata_store::jobs::NewJob;
use hakata_store::page::PageSize;
use hakata_store::{JobState, events, on_every_engine, owners, packs, repositories};
use hakata_worker::{Handlers, Worker};

use crate::fixture::{World, admin, new_job, settings};

/// Gives a repository a live pack of so many bytes that nobody has counted.
async fn add_pack(world: &World, repository: RepositoryId, id: i64, size_bytes: i64) {
    let new = packs::NewPack {
        id: hakata_names::PackId::new(id),
        node: "local",
        checksum: &[7; 20],
        size_bytes,
        n_objects: 3,
        kind: "push",
        inline: None,
        created_at: 1,
    };
    let new = &new;
    let added = world.db.transaction(|tx| {
        Box::pin(async move {
            packs::insert_staged(tx, new).await?;
            packs::make_live(tx, new.id, repository, 1).await
        })
    });
    assert!(added.await.unwrap());
}

async fn quota_events(world: &World, repository: RepositoryId) -> Vec<Event> {
    let mut conn = world.db.read().await.unwrap();
    events::list(&mut conn, repository, None, PageSize::MAX).await.unwrap().rows
}

on_every_engine! {
    /// Sizes become what the packs say, and each level of a quota is told of once when it is reached.
    async fn sizes_are_those_of_the_rows(database: TestDatabase) {
        let engine = database.engine();
        let world = World::new(database).await;
        let (forge, _db, _engines) = world.forge("one").await;
        let worker = Worker::new(&forge, Handlers::of(&forge), settings("one", 1), None);
        let tasks = Tasks::new();
        worker.start(&tasks);
        admin(&forge, serde_json::json!({ "command": "user", "action": "add", "name": "alice" })).await;
        admin(&forge, serde_json::json!({ "command": "repo", "action": "create", "path": "alice/tools", "visibility": "private" })).await;
        admin(&forge, serde_json::json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "1000B" })).await;
        let path: RepositoryPath = "alice/tools".parse().unwrap();
        let find = async || {
            repositories::find_by_path(&mut world.db.read().await.unwrap(), &path).await.unwrap().unwrap()
        };
        let id = find().await.id;
        let mut sizes = Vec::new();
        for (n, size_bytes) in [(1, 700), (2, 100), (3, 10), (4, 200)] {
            add_pack(&world, id, n, size_bytes).await;
            world.enqueue_all(vec![NewJob { repository: Some(id), ..new_job(n) }]).await;
            world.until(JobState::Done, n).await;
            sizes.push((find().await.size_bytes, quota_events(&world, id).await.len()));
        }
        assert_eq!(sizes, [(700, 0), (800, 1), (810, 1), (1_010, 2)], "on {engine:?}");
        let alice = OwnerName::parse("alice").unwrap();
        let owner = owners::find_by_name(&mut world.db.read().await.unwrap(), &alice).await.unwrap().unwrap();
        assert_eq!(owner.size_bytes, 1_010);
        let told = quota_events(&world, id).await;
        let mut percents: Vec<i64> = told
            .iter()
            .map(|event| serde_json::from_str::<serde_json::Value>(&event.payload).unwrap()["percent"].as_i64().unwrap())
            .collect();
        percents.sort_unstable();
        assert_eq!(percents, [80, 100]);
        assert!(told.iter().all(|event| event.kind == "quota" && event.id != EventId::new(0)));
        tasks.drain(std::time::Duration::from_secs(10)).await;
        worker.stop().await;
    }
}
