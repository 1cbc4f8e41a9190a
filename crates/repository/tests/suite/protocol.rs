//! The commit protocol, step by step, on every engine.

use hakata_names::{PackId, RefUpdate};
use hakata_repository::{Atomicity, CommitError, Intent, Prepared, RefRefusal, no_rows};
use hakata_store::page::PageSize;
use hakata_store::{JobState, PackState, RepositoryState};
use hakata_store::{events, jobs, on_every_engine, packs, ref_log, refs, repositories, settings};

use crate::fixture::{World, branch, delete, make, moved, noise};

on_every_engine! {
    /// A push leaves exactly the rows that it promises.
    async fn a_push_is_one_change(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let (one, two) = (world.client.commit(b"1", &[]), world.client.commit(b"2", &[]));
        let tag = world.client.tag("v1", one);
        let updates = vec![make("refs/heads/main", one), make("refs/heads/x", two), make("refs/tags/v1", tag)];
        let committed = world.push_ok(id, updates).await;
        assert_eq!(committed.version, Some(1));

        let mut conn = world.db.read().await.unwrap();
        let stored = refs::list(&mut conn, id).await.unwrap();
        assert_eq!(stored.len(), 3);
        assert_eq!((stored[2].oid, stored[2].peeled), (tag, Some(one)), "tags know what they are about");
        let log = ref_log::since(&mut conn, id, 0, 100).await.unwrap();
        assert!(log.len() == 3 && log.iter().all(|at| at.version == 1 && at.actor == Some(world.alice)));
        let event = events::find(&mut conn, committed.event.unwrap()).await.unwrap().unwrap();
        assert_eq!((event.kind.as_str(), event.version), ("push", 1));
        let waiting = jobs::list(&mut conn, JobState::Waiting, None, None, PageSize::MAX).await.unwrap().rows;
        let kinds: Vec<&str> = waiting.iter().map(|job| job.kind.as_str()).collect();
        assert_eq!(kinds, ["commits", "disk_usage", "fan_out", "maintain"]);
        let catalogue = packs::list_of(&mut conn, id).await.unwrap();
        assert!(catalogue.len() == 1 && catalogue[0].state == PackState::Live && catalogue[0].is_inline);
        drop(conn);
        assert_eq!(world.row(id).await.size_bytes, catalogue[0].size_bytes);
        world.assert_sound(id).await;

        world.push_ok(id, vec![moved("refs/heads/x", two, one)]).await;
        let mut conn = world.db.read().await.unwrap();
        let waiting = jobs::list(&mut conn, JobState::Waiting, None, None, PageSize::MAX).await.unwrap().rows;
        assert_eq!(waiting.len(), 5, "one more for the commits; the others wait for both");
        assert_eq!(packs::list_of(&mut conn, id).await.unwrap().len(), 1, "a push of known objects keeps no pack");
    }

    /// A large pack is a blob whose bytes exist before any row leans on them.
    async fn a_large_pack_becomes_a_blob(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(&noise(200_000), &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let catalogue = packs::list_of(&mut world.db.read().await.unwrap(), id).await.unwrap();
        assert!(!catalogue[0].is_inline && catalogue[0].state == PackState::Live);
        let key = hakata_blob::BlobKey::pack(catalogue[0].id, hakata_blob::PackPart::Pack);
        let stat = world.node.blobs.stat(key).await.unwrap().unwrap();
        assert_eq!(i64::try_from(stat.size_bytes).unwrap(), catalogue[0].size_bytes);
        world.assert_sound(id).await;
    }

    /// Each ref is judged by itself; stale ones say where the ref is.
    async fn refs_are_judged_one_by_one(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let (one, two) = (world.client.commit(b"1", &[]), world.client.commit(b"2", &[]));
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let updates = || vec![make("refs/heads/main", two), moved("refs/heads/gone", one, two), make("refs/heads/new", two)];
        let committed = world.push(id, updates(), Atomicity::Each).await.unwrap();
        let expected = vec![
            (branch("gone"), Err(RefRefusal::Stale { actual: None })),
            (branch("main"), Err(RefRefusal::Stale { actual: Some(one) })),
            (branch("new"), Ok(())),
        ];
        assert_eq!((committed.version, committed.refs), (Some(2), expected));

        let committed = world.push(id, updates(), Atomicity::Whole).await.unwrap();
        assert_eq!(committed.version, None, "an atomic push falls as a whole");
        assert_eq!(committed.n_accepted(), 0);
        assert_eq!(world.row(id).await.version, 2, "and raises no version");
        world.assert_sound(id).await;
    }

    /// A name cannot be the directory of another: in the table, nor within one push.
    async fn a_name_is_no_directory_of_another(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let updates = vec![make("refs/heads/a", one), make("refs/heads/a/b", one), make("refs/heads/c/d", one)];
        let committed = world.push(id, updates, Atomicity::Each).await.unwrap();
        let conflict = Err(RefRefusal::Conflict { other: branch("a") });
        assert_eq!(committed.refs[1], (branch("a/b"), conflict));
        let committed = world.push(id, vec![make("refs/heads/c", one)], Atomicity::Each).await.unwrap();
        assert_eq!(committed.refs[0].1, Err(RefRefusal::Conflict { other: branch("c/d") }));
        assert_eq!(committed.version, None);

        let swap = vec![delete("refs/heads/a", one), make("refs/heads/a/b", one)];
        world.push_ok(id, swap).await;
        let missed = vec![delete("refs/heads/c/d", world.client.commit(b"2", &[])), make("refs/heads/c", one)];
        let committed = world.push(id, missed, Atomicity::Each).await.unwrap();
        assert_eq!(committed.n_accepted(), 0, "a deletion that misses leaves its ref in the way");
        world.assert_sound(id).await;
    }

    /// Deletions need no pack, no quarantine and no directory.
    async fn deletions_bring_nothing(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one), make("refs/heads/x", one)]).await;
        let repository = world.open(id).await;
        let deletion = vec![delete("refs/heads/x", one)];
        let prepared = Prepared::without_objects(deletion, world.intent(), repository.prune_epoch());
        assert!(repository.commit(prepared, no_rows).await.unwrap().is_complete());
        assert_eq!(world.listed(id).await, [format!("{one} refs/heads/main")]);
        let set = vec![RefUpdate { name: branch("y"), old: None, new: Some(one) }];
        let prepared = Prepared::without_objects(set, world.intent(), repository.prune_epoch());
        let committed = repository.commit(prepared, no_rows).await.unwrap();
        assert_eq!(committed.refs, [(branch("y"), Err(RefRefusal::Incomplete))]);
    }

    /// HEAD moves in a change of its own, and every reader follows.
    async fn head_follows_the_default_ref(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/trunk", one)]).await;
        let repository = world.open(id).await;
        let intent = Intent { default_ref: Some(branch("trunk")), ..world.intent() };
        let prepared = Prepared::without_objects(Vec::new(), intent, repository.prune_epoch());
        assert_eq!(repository.commit(prepared, no_rows).await.unwrap().version, Some(2));
        let repository = world.open(id).await;
        assert_eq!(repository.default_ref(), &branch("trunk"));
        let cache = repository.cache().await.unwrap();
        assert_eq!(crate::fixture::git(cache.dir().path(), &["rev-parse", "HEAD"]).trim(), one.to_string());
    }

    /// Rows of the caller are part of the change; when they fail, nothing of it stays.
    async fn rows_of_the_caller_stand_and_fall_with_the_change(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        let repository = world.open(id).await;
        let fails = repository.commit(prepared, |conn, _| {
            Box::pin(async move {
                settings::set(conn, "also", "1").await?;
                Err(hakata_store::StoreError::Broken)
            })
        });
        assert!(matches!(fails.await, Err(CommitError::Store(_))));
        assert_eq!(settings::find(&mut world.db.read().await.unwrap(), "also").await.unwrap(), None);
        assert_eq!(world.row(id).await.version, 0);
        let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        let counted = repository.commit(prepared, |conn, committed| {
            let version = committed.version.unwrap().to_string();
            Box::pin(async move { settings::set(conn, "also", &version).await })
        });
        counted.await.unwrap();
        let kept = settings::find(&mut world.db.read().await.unwrap(), "also").await.unwrap();
        assert_eq!(kept.as_deref(), Some("1"));
    }

    /// A change that is repeated under its key gets the first answer.
    async fn a_key_makes_a_change_happen_once(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let intent = || Intent { idempotency_key: Some("k".to_owned()), ..world.intent() };
        let mut answers = Vec::new();
        for _ in 0..2 {
            let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(intent());
            answers.push(world.open(id).await.commit(prepared, no_rows).await.unwrap());
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(world.row(id).await.version, 1);
    }

    /// Changed rules give the change back for another judgement.
    async fn changed_rules_are_judged_again(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let (one, two) = (world.client.commit(b"1", &[]), world.client.commit(&noise(100_000), &[]));
        let updates = vec![make("refs/heads/main", one), make("refs/heads/x", two)];
        let prepared = world.receive(id, updates).await.prepare(world.intent());
        repositories::raise_policy_version(&mut world.db.write().await.unwrap(), id).await.unwrap();
        let repository = world.open(id).await;
        let again = repository.commit(prepared, no_rows).await;
        let Err(CommitError::PolicyChanged { mut prepared, policy_version }) = again else { panic!("{again:?}") };
        prepared.refuse(&branch("main"), RefRefusal::Denied("protected".to_owned()));
        prepared.set_policy_version(policy_version);
        let committed = repository.commit(*prepared, no_rows).await.unwrap();
        assert_eq!(committed.refs[0].1, Err(RefRefusal::Denied("protected".to_owned())));
        assert_eq!(committed.refs[1].1, Ok(()));
        assert_eq!(packs::list_of(&mut world.db.read().await.unwrap(), id).await.unwrap().len(), 1);
        world.assert_sound(id).await;
    }

    /// Rules that never rest end in a refusal, not in a loop.
    async fn rules_that_never_rest_end_the_attempts(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let mut prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        let repository = world.open(id).await;
        for n in 0.. {
            repositories::raise_policy_version(&mut world.db.write().await.unwrap(), id).await.unwrap();
            match repository.commit(prepared, no_rows).await {
                Err(CommitError::PolicyChanged { prepared: again, .. }) => prepared = *again,
                ended => {
                    assert!(matches!(ended, Err(CommitError::Contended)), "{ended:?}");
                    assert_eq!(n, 4);
                    break;
                }
            }
        }
        assert_eq!(world.row(id).await.version, 0);
    }

    /// A repository that is archived or gone takes no change, and says which.
    async fn only_active_repositories_change(database: TestDatabase) {
        let world = World::new(database).await;
        let one = world.client.commit(b"1", &[]);
        let id = world.create("tools").await;
        let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        let deleted = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        let repository = world.open(id).await;
        repositories::archive(&mut world.db.write().await.unwrap(), id).await.unwrap();
        let state = RepositoryState::Archived;
        let refused = repository.commit(prepared, no_rows).await;
        assert!(matches!(refused, Err(CommitError::Inactive { state: at }) if at == state), "{refused:?}");
        let mut conn = world.db.write().await.unwrap();
        repositories::set_state(&mut conn, id, state, RepositoryState::Deleted, 9).await.unwrap();
        drop(conn);
        let refused = repository.commit(deleted, no_rows).await;
        assert!(matches!(refused, Err(CommitError::Absent(at)) if at == id), "{refused:?}");
        world.node.repositories.forget(id);
        assert!(world.node.repositories.open(id).await.is_err());
    }

    /// A pack that the sweeper took is not committed, and one that a commit took is not swept.
    async fn sweeper_and_commit_exclude_each_other(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(&noise(100_000), &[]);
        // An attempt that must be judged again leaves its pack staged.
        let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await.prepare(world.intent());
        repositories::raise_policy_version(&mut world.db.write().await.unwrap(), id).await.unwrap();
        let repository = world.open(id).await;
        let again = repository.commit(prepared, no_rows).await;
        let Err(CommitError::PolicyChanged { mut prepared, policy_version }) = again else { panic!("{again:?}") };
        let staged = packs::staged_older_than(&mut world.db.read().await.unwrap(), i64::MAX, PageSize::MAX).await.unwrap();
        assert_eq!(staged.len(), 1);
        assert_eq!(world.node.repositories.sweep(1_000).await.unwrap().n_packs, 0, "it is young");
        world.clock.advance(std::time::Duration::from_secs(2));
        assert_eq!(world.node.repositories.sweep(1_000).await.unwrap().n_packs, 1);
        assert_eq!(packs::find(&mut world.db.read().await.unwrap(), staged[0].id).await.unwrap(), None);
        assert_no_blob(&world, staged[0].id).await;
        prepared.set_policy_version(policy_version);
        let late = hakata_blob::BlobKey::pack(staged[0].id, hakata_blob::PackPart::Pack);
        world.node.blobs.put(late, &b"written after the sweep"[..]).await.unwrap();
        let missed = repository.commit(*prepared, no_rows).await;
        assert!(matches!(missed, Err(CommitError::PackSwept)), "{missed:?}");
        assert_no_blob(&world, staged[0].id).await;
        assert_eq!(world.row(id).await.version, 0);

        let prepared = world.receive(id, vec![make("refs/heads/main", one)]).await;
        let prepared = prepared.prepare(Intent { policy_version, ..world.intent() });
        repository.commit(prepared, no_rows).await.unwrap();
        world.clock.advance(std::time::Duration::from_secs(1_000_000));
        assert_eq!(world.node.repositories.sweep(0).await.unwrap().n_packs, 0);
        world.assert_sound(id).await;
    }

    /// The bytes of a change that was refused as a whole go at once.
    async fn refused_bytes_go_at_once(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let (one, two) = (world.client.commit(b"1", &[]), world.client.commit(&noise(100_000), &[]));
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let committed = world.push(id, vec![make("refs/heads/main", two)], Atomicity::Each).await.unwrap();
        assert_eq!(committed.version, None);
        let staged = packs::staged_older_than(&mut world.db.read().await.unwrap(), i64::MAX, PageSize::MAX).await.unwrap();
        assert!(staged.is_empty());
        let blobs = walk(&world.data.path().join("blobs/packs"));
        assert!(blobs.is_empty(), "{blobs:?}");
    }

    /// Ten thousand refs in one push, and all of them gone in the next.
    async fn many_refs_move_at_once(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let names: Vec<String> = (0..10_000).map(|n| format!("refs/heads/{}/{n}", n % 7)).collect();
        let committed = world.push_ok(id, names.iter().map(|name| make(name, one)).collect()).await;
        assert_eq!(committed.n_accepted(), 10_000);
        assert_eq!(world.listed(id).await.len(), 10_000);
        world.push_ok(id, names.iter().map(|name| delete(name, one)).collect()).await;
        assert!(world.listed(id).await.is_empty());
        assert_eq!(world.open(id).await.recent_tips().await.unwrap().first(), Some(&one));
    }
}

async fn assert_no_blob(world: &World, id: PackId) {
    for part in hakata_blob::PackPart::ALL {
        assert_eq!(world.node.blobs.stat(hakata_blob::BlobKey::pack(id, part)).await.unwrap(), None);
    }
}

/// Lists files below a directory.
fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
