//! Directories follow rows, and are mended when they do not.

use std::fs;
use std::path::Path;

use hakata_git::GitDir;
use hakata_repository::Finding;
use hakata_store::Engine;
use hakata_store::on_every_engine;
use hakata_store::testing::run;

use crate::fixture::{World, command, delete, git, listed, make, moved, noise};

on_every_engine! {
    /// A directory that was thrown away is made again, equal to the one before.
    async fn a_directory_is_made_again_from_nothing(database: TestDatabase) {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        let two = world.client.commit(&noise(100_000), &[one]);
        world.push_ok(id, vec![make("refs/heads/main", one), make("refs/heads/x/y", one)]).await;
        world.push_ok(id, vec![moved("refs/heads/main", one, two), delete("refs/heads/x/y", one)]).await;
        let before = world.listed(id).await;
        while !world.node.repositories.drop_cache(id).await {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.listed(id).await, before);
        world.assert_sound(id).await;
    }
}

#[test]
fn git_clones_the_path_and_cannot_push_to_it() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let cache = world.open(id).await.cache().await.unwrap();
        let path = cache.dir().path().to_str().unwrap().to_owned();
        let clone = tempfile::tempdir().unwrap();
        git(clone.path(), &["clone", "-q", &path, "c"]);
        let at = clone.path().join("c");
        assert_eq!(git(&at, &["rev-parse", "HEAD"]).trim(), one.to_string());
        let pushed = command(&at, &["push", "origin", "HEAD:refs/heads/new"]).output().unwrap();
        let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
        assert!(
            !pushed.status.success() && said.contains("hint: push to http://localhost:3000/ instead"),
            "{said}"
        );
        world.assert_sound(id).await;
    });
}

#[test]
fn foreign_refs_are_reported_and_foreign_objects_removed() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let dir = world.open(id).await.cache().await.unwrap().dir().clone();
        git(dir.path(), &["update-ref", "refs/heads/foreign", &one.to_string()]);
        let findings = world.open(id).await.foreign_refs().await;
        assert!(matches!(&findings[..], [Finding::Ref { row: None, directory: Some(at), .. }] if *at == one));

        // Somebody "tidies" the directory: our packs go, git's own comes, and loose objects with it.
        git(dir.path(), &["update-ref", "-d", "refs/heads/foreign"]);
        git(dir.path(), &["commit-tree", "-m", "x", &format!("{one}^{{tree}}")]);
        git(dir.path(), &["repack", "-adq"]);
        let names = |dir: &GitDir| -> Vec<String> {
            let entries = fs::read_dir(dir.objects().join("pack")).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.filter(|name| name.ends_with(".pack")).collect();
            names.sort();
            names
        };
        assert!(!names(&dir)[0].starts_with("pack-0000"));
        world.assert_sound(id).await;
        let now = names(&dir);
        assert!(
            now.len() == 1 && now[0].starts_with("pack-0000"),
            "the directory is as the catalogue says: {now:?}"
        );
        assert!(!fs::read_dir(dir.objects()).unwrap().any(|entry| entry.unwrap().file_name().len() == 2));
    });
}

/// Damages a directory in a way that a power cut can.
fn tear(dir: &Path, n: usize) {
    // A directory that was mended has its refs packed.
    let main = ["refs/heads/main", "packed-refs"]
        .map(|name| dir.join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap();
    let pack = fs::read_dir(dir.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().is_some_and(|ext| ext == "pack")).unwrap();
    let overwrite = |path: &Path, bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    match n {
        0 => overwrite(&main, b""),
        1 => fs::remove_file(&main).unwrap(),
        2 => overwrite(&pack, &vec![0; usize::try_from(fs::metadata(&pack).unwrap().len()).unwrap()]),
        3 => overwrite(&pack, b""),
        _ => overwrite(&pack.with_extension("idx"), b""),
    }
}

#[test]
fn what_a_power_cut_tore_is_mended() {
    run(Engine::Sqlite, |database| async {
        let mut world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        for n in 0..5 {
            let dir = world.open(id).await.cache().await.unwrap().dir().clone();
            world.restart().await;
            tear(dir.path(), n);
            // The record names a boot that is over and did not end well.
            let record = dir.path().join("hakata-version");
            let text = fs::read_to_string(&record).unwrap();
            let fields: Vec<&str> = text.trim().split(' ').collect();
            fs::write(&record, format!("{} {} another-boot {}\n", fields[0], fields[1], fields[3])).unwrap();
            assert_eq!(world.listed(id).await, [format!("{one} refs/heads/main")], "damage {n}");
            world.assert_sound(id).await;
        }
    });
}

#[test]
fn a_directory_of_another_database_is_set_aside() {
    run(Engine::Sqlite, |database| async {
        let world = World::new(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let dir = world.open(id).await.cache().await.unwrap().dir().clone();
        world.node.tasks.cut().await;

        let database = hakata_store::testing::TestDatabase::create(Engine::Sqlite).await;
        let mut other = World::new(database).await;
        other.data = world.data;
        other.restart().await;
        let new = other.create("new").await;
        assert_eq!(new, id, "ids start again with a new database");
        assert!(other.listed(new).await.is_empty());
        let aside = dir.path().parent().unwrap().parent().unwrap().join("set-aside");
        let kept = fs::read_dir(aside).unwrap().next().unwrap().unwrap().path();
        assert_eq!(listed(&kept), [format!("{one} refs/heads/main")], "nobody's work is overwritten");
    });
}

on_every_engine! {
    /// However full the disk and however long the handle is held: a directory goes when nobody reads it.
    async fn a_directory_in_use_is_never_evicted(database: TestDatabase) {
        let world = World::with(database, |settings| {
            settings.cache_bytes = Some(1);
            settings.cache_idle = std::time::Duration::ZERO;
        });
        let world = world.await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let held = world.open(id).await.cache().await.unwrap();
        let copies = [held.clone(), held.clone()];
        world.clock.advance(std::time::Duration::from_secs(30 * 24 * 3_600));
        for copy in copies {
            assert_eq!(world.node.repositories.sweep(i64::MAX / 2).await.unwrap().n_caches, 0);
            assert!(!world.node.repositories.drop_cache(id).await, "nor by command");
            assert_eq!(listed(copy.dir().path()), [format!("{one} refs/heads/main")]);
        }
        let dir = held.dir().path().to_owned();
        drop(held);
        // The step that followed the push may still hold it.
        while world.node.repositories.sweep(i64::MAX / 2).await.unwrap().n_caches == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!dir.exists(), "it goes when the last handle has gone");
        assert_eq!(world.listed(id).await, [format!("{one} refs/heads/main")]);
    }

    /// Readers that come and go beside an evictor that never rests find a whole directory each time.
    async fn readers_and_evictions_do_not_meet(database: TestDatabase) {
        let world = World::with(database, |settings| settings.cache_bytes = Some(1)).await;
        let world = std::sync::Arc::new(world);
        let id = world.create("tools").await;
        let one = world.client.commit(&noise(100_000), &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let world = world.clone();
                tokio::spawn(async move {
                    for _ in 0..10 {
                        let held = world.open(id).await.cache().await.unwrap();
                        let at = held.dir().path().to_owned();
                        let fsck = || git(&at, &["rev-list", "--objects", "--quiet", "main"]);
                        tokio::task::block_in_place(fsck);
                    }
                })
            })
            .collect();
        let mut n_evicted = 0;
        while readers.iter().any(|reader| !reader.is_finished()) || n_evicted == 0 {
            n_evicted += world.node.repositories.sweep(i64::MAX / 2).await.unwrap().n_caches;
        }
        for reader in readers {
            reader.await.unwrap();
        }
        world.assert_sound(id).await;
    }
}
