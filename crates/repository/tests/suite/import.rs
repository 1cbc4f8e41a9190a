//! Bringing repositories in, and back.

use std::sync::Arc;

use hakata_git::quarantine::Fsck;
use hakata_names::ObjectFormat;
use hakata_repository::{Atomicity, CommitError, Import, ImportError, Progress, Reason, no_rows};
use hakata_store::testing::run;
use hakata_store::{Engine, RepositoryState, on_every_engine};
use tokio::sync::Notify;

use crate::fixture::{World, git, make, moved};

#[test]
fn a_bare_repository_is_imported_whole() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let source = world.client.dir.path();
        let one = world.client.commit(b"1", &[]);
        let tag = world.client.tag("v1", one);
        git(source, &["update-ref", "refs/heads/trunk", &one.to_string()]);
        git(source, &["update-ref", "refs/tags/v1", &tag.to_string()]);
        git(source, &["symbolic-ref", "HEAD", "refs/heads/trunk"]);
        let id = world.create_as("tools", ObjectFormat::Sha1, RepositoryState::Creating).await;
        let mut told = Vec::new();
        let repository = world.open(id).await;
        let imported =
            repository.import(&Import::new(source), no_rows, |progress| told.push(progress)).await.unwrap();
        assert!(imported.committed.is_complete() && imported.n_objects == 4);
        assert_eq!(told.first(), Some(&Progress::Opened { n_refs: 2 }));
        assert!(matches!(told.last(), Some(Progress::Indexed { n_objects: 4, .. })));
        assert_eq!(world.row(id).await.state, RepositoryState::Active);
        let repository = world.open(id).await;
        assert_eq!(repository.default_ref().as_bytes(), b"refs/heads/trunk");
        assert_eq!(world.listed(id).await, crate::fixture::listed(source));
        world.assert_sound(id).await;
    });
}

#[test]
fn nothing_of_the_source_runs_or_is_followed() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let source = world.client.dir.path();
        let one = world.client.commit(b"1", &[]);
        git(source, &["update-ref", "refs/heads/main", &one.to_string()]);
        let trap = source.join("trap");
        let config = format!(
            "[core]\n\tfsmonitor = touch {0}\n\talternateRefsCommand = touch {0}\n[uploadpack]\n\tpackObjectsHook = touch {0}\n",
            trap.display()
        );
        let text = std::fs::read_to_string(source.join("config")).unwrap();
        std::fs::write(source.join("config"), text + &config).unwrap();
        let id = world.create("tools").await;
        world.open(id).await.import(&Import::new(source), no_rows, |_| {}).await.unwrap();
        assert!(!trap.exists(), "no command of the source was run");

        std::fs::write(source.join("objects/info/alternates"), "/var\n").unwrap();
        let refused = world.open(id).await.import(&Import::new(source), no_rows, |_| {}).await;
        assert!(matches!(refused, Err(ImportError::Foreign(_))), "{refused:?}");
    });
}

#[test]
fn broken_sources_change_nothing() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let source = world.client.dir.path();
        let one = world.client.commit(b"1", &[]);
        git(source, &["update-ref", "refs/heads/main", &one.to_string()]);
        let blob = git(source, &["rev-parse", &format!("{one}:file")]);
        let path = source.join("objects").join(&blob[..2]).join(blob[2..].trim());
        std::fs::remove_file(path).unwrap();
        let id = world.create("tools").await;
        for fsck in [Fsck::Strict, Fsck::Hashes] {
            let import = Import { fsck, ..Import::new(source) };
            let refused = world.open(id).await.import(&import, no_rows, |_| {}).await;
            assert!(matches!(refused, Err(ImportError::Foreign(_))), "{refused:?}");
        }
        let sha256 = world.create_as("other", ObjectFormat::Sha256, RepositoryState::Active).await;
        let refused = world.open(sha256).await.import(&Import::new(source), no_rows, |_| {}).await;
        assert!(matches!(refused, Err(ImportError::Format { .. })));
        assert_eq!(world.row(id).await.version, 0);
        assert_eq!(std::fs::read_dir(world.data.path().join("quarantine")).unwrap().count(), 0);
    });
}

#[test]
fn rows_are_recovered_from_a_cache_directory() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let two = world.client.commit(b"2", &[one]);
        world.push_ok(id, vec![make("refs/heads/main", one), make("refs/heads/x", one)]).await;
        world.push_ok(id, vec![moved("refs/heads/main", one, two)]).await;
        let cache = world.open(id).await.cache().await.unwrap();
        let again = world.create("again").await;
        let import = Import { reason: Reason::Recover, ..Import::new(cache.dir().path()) };
        world.open(again).await.import(&import, no_rows, |_| {}).await.unwrap();
        assert_eq!(world.listed(again).await, world.listed(id).await);
        world.assert_sound(again).await;
    });
}

on_every_engine! {
    /// Until its refs are committed, a repository that is imported takes no pushes, also when whoever imports it dies at
    /// the last moment; and another one takes the import up from there.
    async fn a_repository_is_made_by_the_commit_of_its_import(database: TestDatabase) {
        let mut world = World::new(database).await;
        let source = world.client.dir.path().to_owned();
        let one = world.client.commit(b"1", &[]);
        git(&source, &["update-ref", "refs/heads/main", &one.to_string()]);
        let id = world.create_as("tools", ObjectFormat::Sha1, RepositoryState::Creating).await;
        let import = Import { idempotency_key: Some("import:1".to_owned()), ..Import::new(&source) };
        let inside = Arc::new(Notify::new());
        let (repository, tells, wanted) = (world.open(id).await, inside.clone(), import.clone());
        let importing = tokio::spawn(async move {
            let importing = repository.import(
                &wanted,
                move |_, _| {
                    let tells = tells.clone();
                    Box::pin(async move {
                        tells.notify_one();
                        std::future::pending().await
                    })
                },
                |_| {},
            );
            importing.await
        });
        inside.notified().await;
        world.restart().await;
        assert!(importing.await.unwrap().is_err());
        let row = world.row(id).await;
        assert_eq!((row.state, row.version), (RepositoryState::Creating, 0), "bytes make no repository");
        let pushed = world.push(id, vec![make("refs/heads/x", one)], Atomicity::Each).await.unwrap_err();
        assert!(matches!(pushed, CommitError::Inactive { state: RepositoryState::Creating }), "{pushed:?}");

        let late = world.open(id).await;
        world.open(id).await.import(&import, no_rows, |_| {}).await.unwrap();
        assert_eq!(world.row(id).await.state, RepositoryState::Active);
        let two = world.client.commit(b"2", &[one]);
        world.push_ok(id, vec![moved("refs/heads/main", one, two)]).await;
        let listed = world.listed(id).await;
        late.import(&import, no_rows, |_| {}).await.unwrap();
        assert_eq!(world.listed(id).await, listed, "what was done is not done again over what came since");
        world.assert_sound(id).await;
    }

    /// A source without refs makes an empty repository, by a commit as well.
    async fn an_empty_source_is_imported(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create_as("tools", ObjectFormat::Sha1, RepositoryState::Creating).await;
        let import = Import::new(world.client.dir.path());
        let imported = world.open(id).await.import(&import, no_rows, |_| {}).await.unwrap();
        assert!(imported.committed.version.is_some() && imported.n_objects == 0);
        let row = world.row(id).await;
        assert_eq!((row.state, row.version), (RepositoryState::Active, 1));
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
    }
}
