//! Bitmaps and what else makes reading fast follow the packs, and nobody who reads meanwhile notices.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hakata_git::{Git, GitDir, maintain};
use hakata_names::{Oid, RepositoryId};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::tasks::Tasks;
use hakata_store::Engine;
use hakata_store::testing::{TestDatabase, run};

use crate::fixture::{World, git, make, moved, noise};

const PATIENCE: Duration = Duration::from_secs(60);

async fn eager(database: TestDatabase) -> World {
    let world = World::with(database, |settings| {
        settings.derive_after = Duration::from_millis(1);
        settings.derive_rest = 0;
    });
    world.await
}

/// Pushes commits one upon the other, the first of them a large one; returns the last.
async fn grow(world: &World, id: RepositoryId, mut tip: Option<Oid>, n: usize) -> Oid {
    for at in 0..n {
        let parents = Vec::from_iter(tip);
        let content = if tip.is_none() { noise(400_000) } else { format!("{tip:?} {at}").into_bytes() };
        let new = world.client.commit(&content, &parents);
        let update = match tip {
            None => make("refs/heads/main", new),
            Some(old) => moved("refs/heads/main", old, new),
        };
        world.push_ok(id, vec![update]).await;
        tip = Some(new);
    }
    tip.expect("at least one was pushed")
}

fn bitmap(dir: &Path) -> Option<String> {
    let entries = fs::read_dir(dir.join("objects/pack")).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.find(|name| name.starts_with("multi-pack-index-") && name.ends_with(".bitmap"))
}

/// Waits for a bitmap other than `before`.
async fn next_bitmap(dir: &Path, before: Option<&str>) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match bitmap(dir) {
            Some(name) if Some(name.as_str()) != before => return name,
            _ => assert!(Instant::now() < deadline, "no bitmap follows {before:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn bitmaps_follow_pushes() {
    run(Engine::Sqlite, |database| async {
        let world = eager(database).await;
        let id = world.create("tools").await;
        let tip = grow(&world, id, None, 1).await;
        let dir = world.open(id).await.cache().await.unwrap().dir().clone();
        let first = next_bitmap(dir.path(), None).await;
        let tip = grow(&world, id, Some(tip), 1).await;
        next_bitmap(dir.path(), Some(&first)).await;
        git(dir.path(), &["rev-list", "--test-bitmap", &tip.to_string()]);
        world.assert_sound(id).await;
    });
}

#[test]
fn a_repository_of_a_few_small_packs_has_none() {
    run(Engine::Sqlite, |database| async {
        let world = eager(database).await;
        let id = world.create("tools").await;
        let one = world.client.commit(b"1", &[]);
        world.push_ok(id, vec![make("refs/heads/main", one)]).await;
        let dir = world.open(id).await.cache().await.unwrap().dir().clone();
        let deadline = Instant::now() + PATIENCE;
        while !dir.objects().join("info/commit-graphs/commit-graph-chain").exists() {
            assert!(Instant::now() < deadline, "a commit-graph is written");
            tokio::task::yield_now().await;
        }
        world.assert_sound(id).await;
        assert_eq!(bitmap(dir.path()), None);
    });
}

#[test]
fn a_stranger_s_pack_goes_although_derived_files_are_written() {
    run(Engine::Sqlite, |database| async {
        let world = eager(database).await;
        let id = world.create("tools").await;
        let tip = grow(&world, id, None, 1).await;
        let dir = world.open(id).await.cache().await.unwrap().dir().clone();
        let first = next_bitmap(dir.path(), None).await;
        git(dir.path(), &["commit-tree", "-m", "x", &format!("{tip}^{{tree}}")]);
        grow(&world, id, Some(tip), 1).await;
        next_bitmap(dir.path(), Some(&first)).await;
        world.assert_sound(id).await;
        let is_loose = |name: &str| name.len() == 2;
        assert!(
            !fs::read_dir(dir.objects())
                .unwrap()
                .any(|at| is_loose(at.unwrap().file_name().to_str().unwrap()))
        );
    });
}

/// A process that dies between git's index and the look at what became of its packs leaves the note that it was writing,
/// or that packs went while somebody was.
#[test]
fn an_index_that_nobody_looked_at_again_goes_with_the_next_process() {
    run(Engine::Sqlite, |database| async {
        let mut world = World::new(database).await;
        let id = world.create("tools").await;
        grow(&world, id, None, 2).await;
        let dir = world.open(id).await.cache().await.unwrap().dir().clone();
        let packs = dir.objects().join("pack");
        for note in ["hakata-deriving", "hakata-removing"] {
            world.restart().await;
            let parts = index_with_a_pack_that_goes(&dir);
            parts.iter().for_each(|part| fs::remove_file(part).unwrap());
            assert!(packs.join("multi-pack-index").exists());
            fs::write(dir.path().join(note), "").unwrap();
            world.assert_sound(id).await;
            assert!(!packs.join("multi-pack-index").exists(), "{note}: it named a pack that is gone");
            assert!(!dir.path().join(note).exists());
        }
    });
}

/// Writes an index over all packs and a copy of one; returns the copy's files.
fn index_with_a_pack_that_goes(dir: &GitDir) -> Vec<std::path::PathBuf> {
    let packs = dir.objects().join("pack");
    let name = format!("pack-{:040x}", 1_u64 << 40);
    let entries = fs::read_dir(&packs).unwrap().map(|entry| entry.unwrap().path());
    let idx = entries.filter(|path| path.extension().is_some_and(|is| is == "idx")).min().unwrap();
    let mut parts = Vec::new();
    for extension in ["pack", "rev", "idx"] {
        let part = packs.join(&name).with_extension(extension);
        fs::copy(idx.with_extension(extension), &part).unwrap();
        parts.push(part);
    }
    git(dir.path(), &["multi-pack-index", "write", "--no-progress"]);
    parts
}

/// Clones and reads in process while packs come and derived files are written and removed all the time.
#[test]
fn readers_never_notice_that_derived_files_are_rewritten() {
    run(Engine::Sqlite, |database| async {
        let world = eager(database).await;
        let id = world.create("tools").await;
        let first = grow(&world, id, None, 1).await;
        let dir = world.open(id).await.cache().await.unwrap().dir().clone();
        next_bitmap(dir.path(), None).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let cloner = std::thread::spawn(cloning(dir.clone(), is_over.clone()));
        let (dir_, is_over_) = (dir.clone(), is_over.clone());
        let remover = std::thread::spawn(move || {
            while !is_over_.load(Ordering::Relaxed) {
                let before = bitmap(dir_.path());
                if before.is_some() {
                    maintain::remove_derived(&dir_).unwrap();
                }
                std::thread::yield_now();
            }
        });
        let reading = tokio::spawn(reading(dir.clone(), first, is_over.clone()));
        grow(&world, id, Some(first), 30).await;
        is_over.store(true, Ordering::Relaxed);
        let n_clones = cloner.join().unwrap();
        remover.join().unwrap();
        let n_reads = reading.await.unwrap();
        assert!(n_clones > 0 && n_reads > 0, "{n_clones} clones and {n_reads} reads");
        world.assert_sound(id).await;
    });
}

/// Clones a directory over and over; returns how often.
fn cloning(dir: GitDir, is_over: Arc<AtomicBool>) -> impl FnOnce() -> usize {
    move || {
        let at = tempfile::tempdir().unwrap();
        let url = format!("file://{}", dir.path().display());
        let mut n = 0;
        while n == 0 || !is_over.load(Ordering::Relaxed) {
            n += 1;
            let clone = at.path().join(n.to_string());
            git(at.path(), &["clone", "-q", "--bare", &url, clone.to_str().unwrap()]);
            git(&clone, &["fsck", "--strict", "--connectivity-only"]);
            fs::remove_dir_all(clone).unwrap();
        }
        n
    }
}

/// Reads a commit over and over through one open database; returns how often.
async fn reading(dir: GitDir, commit: Oid, is_over: Arc<AtomicBool>) -> usize {
    let scratch = tempfile::tempdir().unwrap();
    let settings = hakata_git::Settings::new(scratch.path());
    let git = Git::find(settings, &Tasks::new(), Blocking::new(2)).await.unwrap();
    let mut n = 0;
    while n == 0 || !is_over.load(Ordering::Relaxed) {
        n += 1;
        let objects = git.objects(&dir, 0).await.unwrap();
        objects.read(move |view| view.commit(&commit)).await.unwrap();
        let unknown = Oid::from_bytes(&[7; 20]).unwrap();
        assert!(!objects.read(move |view| Ok(view.exists(&unknown))).await.unwrap(), "looks at every pack");
    }
    n
}
