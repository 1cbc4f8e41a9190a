//! Small packs become one, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use hakata_names::{Oid, RepositoryId};
use hakata_repository::{Compacted, Fork, NewRepository, no_rows};
use hakata_store::packs::{self, Pack};
use hakata_store::page::PageSize;
use hakata_store::testing::TestDatabase;
use hakata_store::{Engine, PackState, RepositoryState, Visibility, on_every_engine, owners};

use crate::fixture::{World, branch, delete, git, make, moved, node, noise};

impl World {
    /// Makes a repository with a pack of one commit, again and again; returns its id and the last commit.
    async fn pushed(&self, n: u32, bytes: usize) -> (RepositoryId, Oid) {
        let id = self.create("tools").await;
        let mut tip = self.client.commit(&noise(bytes), &[]);
        self.push_ok(id, vec![make("refs/heads/main", tip)]).await;
        for round in 1..n {
            tip = self.push_next(id, tip, &format!("{round}"), bytes).await;
        }
        (id, tip)
    }

    async fn push_next(&self, id: RepositoryId, tip: Oid, name: &str, bytes: usize) -> Oid {
        let content = [name.as_bytes(), &noise(bytes)].concat();
        let next = self.client.commit(&content, &[tip]);
        self.push_ok(id, vec![moved("refs/heads/main", tip, next)]).await;
        next
    }

    async fn compact(&self, id: RepositoryId) -> Option<Compacted> {
        self.open(id).await.compact().await.unwrap()
    }

    async fn kept(&self, id: RepositoryId) -> Vec<Pack> {
        packs::list_of(&mut self.db.read().await.unwrap(), id).await.unwrap()
    }

    async fn state(&self, pack: &Pack) -> Option<PackState> {
        let row = packs::find(&mut self.db.read().await.unwrap(), pack.id).await.unwrap();
        row.map(|row| row.state)
    }

    /// Lists all objects of the directory on this node.
    async fn objects(&self, id: RepositoryId) -> Vec<String> {
        let cache = self.open(id).await.cache().await.unwrap();
        let all = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"];
        git(cache.dir().path(), &all).lines().map(str::to_owned).collect()
    }

    fn fork_of(&self, name: &str) -> Fork {
        let new = NewRepository {
            owner: self.alice.owner(),
            name: hakata_names::RepositoryName::parse(name).unwrap(),
            object_format: hakata_names::ObjectFormat::Sha1,
            default_ref: branch("main"),
            state: RepositoryState::Active,
            visibility: Visibility::Private,
            description: String::new(),
            idempotency_key: None,
        };
        Fork { new, prefixes: Vec::new(), actor: None }
    }
}

on_every_engine! {
    /// Packs become one that has every object, reachable or not; what is counted is what is kept; the old bytes go when
    /// their time has come, and another node follows.
    async fn many_packs_become_one_and_nothing_is_lost(database: TestDatabase) {
        for (inline_bytes, bytes) in [(0, 100), (64 << 10, 100), (64 << 10, 20_000)] {
            let world = World::with(TestDatabase::create(database.engine()).await, |settings| {
                settings.compact_packs = 4;
                settings.inline_bytes = inline_bytes;
            })
            .await;
            let (id, tip) = world.pushed(5, bytes).await;
            let lost = world.client.commit(b"nothing leads here", &[]);
            world.push_ok(id, vec![make("refs/heads/lost", lost)]).await;
            world.push_ok(id, vec![delete("refs/heads/lost", lost)]).await;
            let data = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(world.data.path().join("blobs"), data.path().join("blobs")).unwrap();
            let other = node(&world.db, data.path(), &world.clock, |_| {}).await;
            drop(other.repositories.open(id).await.unwrap().cache().await.unwrap());
            let (before, olds) = (world.objects(id).await, world.kept(id).await);

            let done = world.compact(id).await.unwrap();
            assert_eq!((done.n_packs, olds.len()), (6, 6));
            let packs = world.kept(id).await;
            assert_eq!((packs.len(), packs[0].kind.as_str()), (1, "compact"));
            assert_eq!(packs[0].is_inline, done.size_bytes <= inline_bytes);
            assert_eq!(world.objects(id).await, before);
            assert_eq!(world.row(id).await.size_bytes, packs[0].size_bytes);
            let owner = owners::find(&mut world.db.read().await.unwrap(), world.alice.owner()).await.unwrap();
            assert_eq!(owner.unwrap().size_bytes, packs[0].size_bytes);
            world.assert_sound(id).await;
            assert_eq!(world.compact(id).await, None, "there is nothing more to do");
            let there = other.repositories.open(id).await.unwrap();
            assert_eq!(there.verify().await.unwrap(), [], "the other node has followed");

            for old in &olds {
                assert_eq!(world.state(old).await, Some(PackState::Dead));
            }
            world.node.repositories.sweep(0).await.unwrap();
            assert_eq!(world.state(&olds[0]).await, Some(PackState::Dead), "a clone may still read it");
            world.clock.advance(Duration::from_secs(24 * 3_600 + 1));
            assert_eq!(world.node.repositories.sweep(0).await.unwrap().n_packs, 6);
            assert_eq!(world.state(&olds[0]).await, None);
            assert!(world.node.repositories.drop_cache(id).await);
            assert_eq!(world.objects(id).await, before, "from rows and bytes alone");
            let next = world.push_next(id, tip, "next", bytes).await;
            assert_eq!(world.listed(id).await, [format!("{next} refs/heads/main")]);
            world.assert_sound(id).await;
        }
    }

    /// Pushes go on while packs are compacted again and again: none fails, none is lost, and what is counted is what is
    /// kept.
    async fn pushes_and_compactions_meet(database: TestDatabase) {
        let world = Arc::new(World::with(database, |settings| {
            settings.compact_packs = 2;
            settings.inline_bytes = 500;
        }).await);
        let (id, _) = world.pushed(2, 100).await;
        let pushing: Vec<_> = (0..4)
            .map(|nth| {
                let world = world.clone();
                tokio::spawn(async move {
                    let name = format!("refs/heads/{nth}");
                    let mut tip = world.client.commit(name.as_bytes(), &[]);
                    world.push_ok(id, vec![make(&name, tip)]).await;
                    for round in 0..8_usize {
                        let content = [name.as_bytes(), &noise(round * 200)].concat();
                        let next = world.client.commit(&content, &[tip]);
                        world.push_ok(id, vec![moved(&name, tip, next)]).await;
                        tip = next;
                    }
                    format!("{tip} {name}")
                })
            })
            .collect();
        let compacting: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                tokio::spawn(async move {
                    let mut n = 0;
                    for _ in 0..10 {
                        n += usize::from(world.compact(id).await.is_some());
                    }
                    n
                })
            })
            .collect();
        let mut n_compacted = 0;
        for task in compacting {
            n_compacted += task.await.unwrap();
        }
        let mut tips = Vec::new();
        for task in pushing {
            tips.push(task.await.unwrap());
        }
        n_compacted += usize::from(world.compact(id).await.is_some());
        assert!(n_compacted > 1, "{n_compacted}");
        let listed = world.listed(id).await;
        assert!(tips.iter().all(|tip| listed.contains(tip)), "{tips:?} {listed:?}");
        let kept: i64 = world.kept(id).await.iter().map(|pack| pack.size_bytes).sum();
        assert_eq!(world.row(id).await.size_bytes, kept);
        let staged = packs::staged_older_than(&mut world.db.read().await.unwrap(), i64::MAX, PageSize::MAX).await;
        assert_eq!(staged.unwrap(), [], "who was overtaken took its pack back");
        world.assert_sound(id).await;
    }

    /// A pack that a fork shares lives on for it.
    async fn a_fork_keeps_what_its_source_compacts(database: TestDatabase) {
        let world = World::with(database, |settings| {
            settings.compact_packs = 2;
            settings.inline_bytes = 0;
        }).await;
        let (id, tip) = world.pushed(3, 1_000).await;
        let fork = world.open(id).await.fork(&world.fork_of("fork"), no_rows).await.unwrap();
        assert_eq!(fork.n_shared, 3);
        let olds = world.kept(id).await;
        world.compact(id).await.unwrap();
        assert_eq!(world.state(&olds[0]).await, Some(PackState::Live), "the fork uses it");
        world.clock.advance(Duration::from_secs(48 * 3_600));
        world.node.repositories.sweep(0).await.unwrap();
        assert!(world.node.repositories.drop_cache(id).await);
        world.assert_sound(fork.id).await;
        world.assert_sound(id).await;
        world.compact(fork.id).await.unwrap();
        assert_eq!(world.state(&olds[0]).await, Some(PackState::Dead), "nobody uses it any more");
        assert_eq!(world.listed(fork.id).await, [format!("{tip} refs/heads/main")]);
        world.assert_sound(fork.id).await;
    }
}

/// A compaction that dies before its transaction changes nothing, and its pack is swept.
#[tokio::test]
async fn a_death_half_way_leaves_the_old_packs() {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let world = World::with(database, |settings| {
        settings.compact_packs = 2;
        settings.inline_bytes = 0;
    })
    .await;
    let (id, _) = world.pushed(3, 1_000).await;
    world.refuse_rows("repository_pack", "1").await;
    let error = world.open(id).await.compact().await.unwrap_err();
    assert!(matches!(error, hakata_repository::CompactError::Store(_)), "{error:?}");
    assert_eq!(world.kept(id).await.len(), 3);
    world.assert_sound(id).await;
    let staged = packs::staged_older_than(&mut world.db.read().await.unwrap(), i64::MAX, PageSize::MAX).await;
    assert_eq!(staged.unwrap(), []);
}
