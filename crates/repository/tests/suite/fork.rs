//! Repositories begin, and some begin as forks.

use std::sync::Arc;
use std::time::Duration;

use hakata_names::{OwnerId, RepositoryId, RepositoryName};
use hakata_repository::{Fork, ForkError, LifeError, NewRepository, no_rows};
use hakata_store::repositories::{self, Erased};
use hakata_store::{RepositoryState, Visibility, on_every_engine, packs};
use tokio::sync::Notify;

use crate::fixture::{World, branch, delete, git, make, moved, node, noise};

fn new(owner: OwnerId, name: &str) -> NewRepository {
    NewRepository {
        owner,
        name: RepositoryName::parse(name).unwrap(),
        object_format: hakata_names::ObjectFormat::Sha1,
        default_ref: branch("trunk"),
        state: RepositoryState::Active,
        visibility: Visibility::Private,
        description: String::new(),
        idempotency_key: None,
    }
}

impl World {
    pub(crate) fn fork(&self, name: &str) -> Fork {
        Fork { new: new(self.alice.owner(), name), prefixes: Vec::new(), actor: Some(self.alice) }
    }

    /// Makes a repository of one large pack, one large pack that nothing leads to any more, and a small one.
    async fn source(&self) -> RepositoryId {
        let id = self.create("tools").await;
        let one = self.client.commit(&noise(100_000), &[]);
        let tag = self.client.tag("v1", one);
        self.push_ok(id, vec![make("refs/heads/main", one), make("refs/tags/v1", tag)]).await;
        let secret = self.client.commit(&noise(90_000), &[]);
        self.push_ok(id, vec![make("refs/heads/secret", secret)]).await;
        self.push_ok(id, vec![delete("refs/heads/secret", secret)]).await;
        let two = self.client.commit(b"2", &[one]);
        self.push_ok(id, vec![moved("refs/heads/main", one, two), make("refs/pull/1/head", two)]).await;
        id
    }

    /// Lists the packs of a repository: id and bytes.
    async fn packs(&self, id: RepositoryId) -> Vec<packs::Pack> {
        packs::list_of(&mut self.db.read().await.unwrap(), id).await.unwrap()
    }

    /// Deletes a repository with all its rows and bytes, as time would.
    async fn erase(&self, id: RepositoryId) {
        self.node.repositories.delete(id, RepositoryState::Active, no_rows, None).await.unwrap();
        let packs = self.packs(id).await;
        self.db
            .transaction(|tx| Box::pin(async move { repositories::erase(tx, id, i64::MAX, 1_000).await }))
            .await
            .map(|erased| assert_eq!(erased, Erased::All))
            .unwrap();
        let now = self.clock.now_ms();
        for pack in packs {
            let killed = self
                .db
                .transaction(|tx| Box::pin(async move { packs::kill_unlinked(tx, pack.id, now).await }));
            killed.await.unwrap();
        }
        self.clock.advance(Duration::from_secs(1));
        self.node.repositories.sweep(0).await.unwrap();
    }
}

on_every_engine! {
    /// A fork has branches, tags and `HEAD` of its source, shares what may be shared, and nothing else.
    async fn a_fork_shares_only_what_its_refs_lead_to(database: TestDatabase) {
        let world = World::new(database).await;
        let source = world.source().await;
        let forked = world.open(source).await.fork(&world.fork("fork"), no_rows).await.unwrap();
        assert_eq!(forked.n_shared, 1, "the pack that nothing leads to is not shared");
        let wanted: Vec<String> =
            world.listed(source).await.into_iter().filter(|line| !line.contains("refs/pull/")).collect();
        assert_eq!(world.listed(forked.id).await, wanted);
        assert_eq!(world.open(forked.id).await.default_ref(), world.open(source).await.default_ref());
        let (ours, theirs) = (world.packs(forked.id).await, world.packs(source).await);
        let shared: Vec<_> = ours.iter().filter(|pack| theirs.iter().any(|other| other.id == pack.id)).collect();
        assert_eq!((ours.len(), shared.len()), (2, 1));
        assert_eq!(world.row(forked.id).await.size_bytes, ours.iter().map(|pack| pack.size_bytes).sum::<i64>());
        let cache = world.open(forked.id).await.cache().await.unwrap();
        let objects = git(cache.dir().path(), &["cat-file", "--batch-all-objects", "--batch-check"]);
        let reachable = git(cache.dir().path(), &["rev-list", "--objects", "--all"]);
        assert_eq!(objects.lines().count(), reachable.lines().count(), "nothing is in it that no ref leads to");
        world.assert_sound(forked.id).await;
    }

    /// A fork of a version is not disturbed by packs that came after it and that its directory does not have.
    async fn a_fork_does_not_lean_on_packs_that_came_meanwhile(database: TestDatabase) {
        let world = World::new(database).await;
        let source = world.source().await;
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(world.data.path().join("blobs"), data.path().join("blobs")).unwrap();
        let other = node(&world.db, data.path(), &world.clock, |_| {}).await;
        let before = other.repositories.open(source).await.unwrap();
        drop(before.cache().await.unwrap());
        let tip = before.snapshot().head_target().unwrap();
        let later = world.client.commit(&noise(100_000), &[tip]);
        world.push_ok(source, vec![moved("refs/heads/main", tip, later)]).await;
        let forked = before.fork(&world.fork("fork"), no_rows).await.unwrap();
        assert_eq!((world.open(forked.id).await.snapshot().head_target(), forked.n_shared), (Some(tip), 1));
        world.assert_sound(forked.id).await;
    }

    /// The source can be deleted with all its bytes: the fork has what it needs. And the other way round.
    async fn a_fork_and_its_source_live_alone(database: TestDatabase) {
        let mut world = World::new(database).await;
        let source = world.source().await;
        let one = world.open(source).await.fork(&world.fork("one"), no_rows).await.unwrap();
        let two = world.open(one.id).await.fork(&world.fork("two"), no_rows).await.unwrap();
        assert_eq!((two.n_shared, two.own_bytes > 0), (1, true));
        world.erase(two.id).await;
        world.assert_sound(source).await;
        world.erase(source).await;
        world.restart().await;
        assert!(world.node.repositories.drop_cache(one.id).await || world.listed(one.id).await.len() == 2);
        world.assert_sound(one.id).await;
        let tip = world.open(one.id).await.snapshot().head_target().unwrap();
        let three = world.client.commit(b"3", &[tip]);
        world.push_ok(one.id, vec![moved("refs/heads/main", tip, three)]).await;
        world.assert_sound(one.id).await;
    }

    /// A process that dies inside the transaction leaves no repository, and the fork can be repeated.
    async fn a_death_before_commit_leaves_no_fork(database: TestDatabase) {
        let mut world = World::with(database, |settings| settings.inline_bytes = 0).await;
        let source = world.source().await;
        let inside = Arc::new(Notify::new());
        let (repository, tells, fork) = (world.open(source).await, inside.clone(), world.fork("fork"));
        let forking = tokio::spawn(async move {
            let forked = repository.fork(&fork, move |_, _| {
                let tells = tells.clone();
                Box::pin(async move {
                    tells.notify_one();
                    std::future::pending().await
                })
            });
            forked.await
        });
        inside.notified().await;
        world.restart().await;
        assert!(forking.await.unwrap().is_err());
        let path = hakata_names::RepositoryPath::parse("alice/fork").unwrap();
        assert!(world.node.repositories.find(&path).await.unwrap().is_none());
        let forked = world.open(source).await.fork(&world.fork("fork"), no_rows).await.unwrap();
        world.clock.advance(Duration::from_secs(10));
        world.node.repositories.sweep(0).await.unwrap();
        world.assert_sound(forked.id).await;
        world.assert_sound(source).await;
    }

    /// What is done under a key is done once, whoever asks again and however many at a time.
    async fn a_key_makes_one_repository(database: TestDatabase) {
        let world = World::new(database).await;
        let source = world.source().await;
        let mut wish = new(world.alice.owner(), "empty");
        wish.idempotency_key = Some("key".to_owned());
        let engine = &world.node.repositories;
        let (one, other) = tokio::join!(engine.create(&wish, no_rows), engine.create(&wish, no_rows));
        assert_eq!(one.unwrap(), other.unwrap());
        wish.idempotency_key = None;
        assert!(matches!(engine.create(&wish, no_rows).await, Err(LifeError::Taken(_))));

        let mut fork = world.fork("fork");
        fork.new.idempotency_key = Some("key".to_owned());
        let source = world.open(source).await;
        let (one, other) = tokio::join!(source.fork(&fork, no_rows), source.fork(&fork, no_rows));
        assert_eq!(one.unwrap().id, other.unwrap().id);
        fork.new.idempotency_key = None;
        assert!(matches!(source.fork(&fork, no_rows).await, Err(ForkError::Taken(_))));
        let empty = world.fork("other");
        let empty = Fork { prefixes: vec![b"refs/none/".to_vec()], ..empty };
        let forked = source.fork(&empty, no_rows).await.unwrap();
        assert!(world.open(forked.id).await.snapshot().is_empty());
        world.assert_sound(forked.id).await;
    }
}
