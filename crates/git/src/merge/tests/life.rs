//! Processes that merge: bounded, used again, replaced when they die, and gone when nobody needs them.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hakata_names::{ObjectFormat, Oid};

use crate::merge::MergeQuery;
use crate::objects::{Objects, ReadError};
use crate::read::{Allowance, Exhausted};
use crate::testing::{self, Bench};
use crate::{Git, GitDir};

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Makes a repository with two commits that merge.
fn fork(bench: &Bench) -> (GitDir, MergeQuery, Oid) {
    let dir = bench.repository(ObjectFormat::Sha1);
    let base = testing::commit(&dir, "base", &[]);
    let blob = testing::object(&dir, "blob", b"new\n");
    let ours = testing::commit(&dir, "ours", &[base]);
    let old = testing::git(&dir, &["rev-parse", &format!("{base}:file")]);
    let tree = format!("100644 blob {}\tfile\n100644 blob {blob}\tother\n", old.trim());
    let theirs = testing::commit_tree(&dir, &tree, "theirs", &[base]);
    let merged = testing::git(&dir, &["merge-tree", "--write-tree", &ours.to_string(), &theirs.to_string()]);
    let query = MergeQuery { base: None, ours, theirs };
    (dir, query, Oid::parse_hex(merged.trim().as_bytes()).unwrap())
}

async fn merge(git: &Git, dir: &GitDir, query: &MergeQuery) -> Result<Oid, ReadError> {
    let objects = git.objects(dir, 0).await?;
    let mut merging = objects.start_merging(&Allowance::default()).await?;
    Ok(merging.merge(query).await?.tree)
}

fn pid(merging: &crate::merge::Merging) -> u32 {
    merging.running.as_ref().and_then(crate::merge::running::Running::id).unwrap()
}

#[tokio::test]
async fn a_process_is_used_again_for_the_same_open_repository_only() {
    let bench = Bench::new().await;
    let (dir, query, tree) = fork(&bench);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    let mut first = objects.start_merging(&Allowance::default()).await.unwrap();
    let one = pid(&first);
    assert_eq!(first.merge(&query).await.unwrap().tree, tree);
    let second = objects.start_merging(&Allowance::default()).await.unwrap();
    assert_ne!(pid(&second), one, "two callers never share");
    drop((first, second));
    let mut again = objects.start_merging(&Allowance::default()).await.unwrap();
    assert_eq!(bench.git.merges().counts(), (1, 1));
    assert_eq!(again.merge(&query).await.unwrap().tree, tree);
    drop(again);
    let newer = bench.git.objects(&dir, 1).await.unwrap();
    assert_eq!(bench.git.merges().counts(), (0, 0), "packs may be gone: those who knew them are too");
    let mut merging = newer.start_merging(&Allowance::default()).await.unwrap();
    assert_eq!(merging.merge(&query).await.unwrap().tree, tree);
    bench.git.forget(&dir);
    drop(merging);
    bench.git.forget(&dir);
    wait_for("all are reaped", || bench.git.children() == 0).await;
}

#[tokio::test]
async fn new_packs_are_seen_by_a_process_that_waited() {
    let bench = Bench::new().await;
    let (dir, query, tree) = fork(&bench);
    assert_eq!(merge(&bench.git, &dir, &query).await.unwrap(), tree);
    let theirs = testing::commit_tree(&dir, "", "nothing left", &[query.theirs]);
    testing::git(&dir, &["update-ref", "refs/heads/theirs", &theirs.to_string()]);
    testing::git(&dir, &["update-ref", "refs/heads/ours", &query.ours.to_string()]);
    testing::git(&dir, &["repack", "-adq"]);
    assert_eq!(bench.git.merges().counts(), (1, 0));
    let newer = MergeQuery { theirs, ..query };
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    let mut merging = objects.start_merging(&Allowance::default()).await.unwrap();
    assert!(!merging.merge(&newer).await.unwrap().is_clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_merges_run_on_two_processes() {
    let bench = Bench::with(|settings| settings.max_merging = 2).await;
    let repositories: Vec<_> = (0..3).map(|_| fork(&bench)).collect();
    let most = Arc::new(AtomicUsize::new(0));
    let mut running = Vec::new();
    for n in 0..50 {
        let (dir, query, tree) = repositories[n % 3].clone();
        let (git, most) = (bench.git.clone(), most.clone());
        running.push(tokio::spawn(async move {
            let objects = git.objects(&dir, 0).await.unwrap();
            let mut merging = objects.start_merging(&Allowance::default()).await.unwrap();
            let (idle, out) = git.merges().counts();
            most.fetch_max(idle + out, Ordering::Relaxed);
            assert_eq!(merging.merge(&query).await.unwrap().tree, tree);
        }));
    }
    for task in running {
        task.await.unwrap();
    }
    assert_eq!(most.load(Ordering::Relaxed), 2, "never more than two, those that wait included");
}

#[tokio::test]
async fn who_waits_for_nobody_goes() {
    let bench = Bench::with(|settings| settings.merging_idle = Duration::from_millis(20)).await;
    let (dir, query, tree) = fork(&bench);
    assert_eq!(merge(&bench.git, &dir, &query).await.unwrap(), tree);
    let scratch = bench.git.settings().scratch.clone();
    wait_for("it goes", || bench.git.merges().counts() == (0, 0) && bench.git.children() == 0).await;
    wait_for("its directory goes", || std::fs::read_dir(&scratch).unwrap().count() == 0).await;
}

#[tokio::test]
async fn draining_lets_all_go() {
    let root = tempfile::tempdir().unwrap();
    let tasks = testing::tasks();
    let settings = testing::settings(&root.path().join("scratch"));
    let git = Git::find(settings, &tasks, testing::blocking()).await.unwrap();
    let bench = Bench { git, root };
    let (dir, query, _) = fork(&bench);
    merge(&bench.git, &dir, &query).await.unwrap();
    let drained = tasks.drain(Duration::from_secs(20)).await;
    assert_eq!((drained.cut, bench.git.merges().counts()), (0, (0, 0)));
}

#[tokio::test]
async fn a_process_that_died_while_it_waited_is_replaced() {
    let bench = Bench::new().await;
    let (dir, query, tree) = fork(&bench);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    let mut merging = objects.start_merging(&Allowance::default()).await.unwrap();
    let first = pid(&merging);
    let raw = rustix::process::Pid::from_raw(first.cast_signed()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    assert_eq!(merging.merge(&query).await.unwrap().tree, tree);
    assert_ne!(pid(&merging), first);
}

/// Makes a git that answers the first merges it is asked for with half an answer.
async fn dying(n: usize) -> Bench {
    let root = tempfile::tempdir().unwrap();
    let (binary, left) = (root.path().join("git"), root.path().join("left"));
    std::fs::write(&left, "x".repeat(n)).unwrap();
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" = merge-tree ] && merges=1; done\n\
         if [ -n \"$merges\" ] && [ -s '{0}' ]; then\n\
         left=$(cat '{0}'); printf %s \"${{left#x}}\" > '{0}'\nread line; printf '1\\0004b825d'; exit 3\nfi\n\
         exec git \"$@\"\n",
        left.display()
    );
    std::fs::write(&binary, script).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = testing::settings(&root.path().join("scratch"));
    settings.binary = binary;
    Bench { git: Git::find(settings, &testing::tasks(), testing::blocking()).await.unwrap(), root }
}

#[tokio::test]
async fn a_process_that_dies_in_the_middle_is_replaced_once() {
    let bench = dying(0).await;
    let (dir, query, tree) = fork(&bench);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    let mut merging = objects.start_merging(&Allowance::default()).await.unwrap();
    let left = bench.root.path().join("left");
    for (n, is_merged) in [(1, true), (2, false)] {
        // The process that is there dies, and so do the next ones that start.
        let raw = rustix::process::Pid::from_raw(pid(&merging).cast_signed()).unwrap();
        rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
        std::fs::write(&left, "x".repeat(n - 1)).unwrap();
        let merged = merging.merge(&query).await;
        assert_eq!(merged.as_ref().ok().map(|merged| merged.tree), is_merged.then_some(tree), "{merged:?}");
    }
    assert!(merging.merge(&query).await.is_ok(), "a later merge starts anew");
}

/// Makes a repository whose merge takes long: all files of one side are moved and changed.
fn large(bench: &Bench, n_files: usize) -> (GitDir, MergeQuery) {
    let dir = bench.repository(ObjectFormat::Sha1);
    let mut stream = Vec::new();
    let commit = |stream: &mut Vec<u8>, branch: &str, mark: usize, from: usize| {
        let from = if from == 0 { String::new() } else { format!("from :{from}\n") };
        let head = format!(
            "commit refs/heads/{branch}\nmark :{mark}\ncommitter A <a@b> 1 +0000\ndata 1\nx\n{from}deleteall\n"
        );
        stream.extend_from_slice(head.as_bytes());
    };
    let file = |stream: &mut Vec<u8>, path: &str, content: &str| {
        stream.extend_from_slice(
            format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()).as_bytes(),
        );
    };
    let many = |stream: &mut Vec<u8>, side: &str| {
        for n in 0..n_files {
            file(stream, &format!("{}/{n}", n % 100), &format!("{side} {n}"));
        }
    };
    commit(&mut stream, "base", 1, 0);
    many(&mut stream, "base");
    commit(&mut stream, "ours", 2, 1);
    many(&mut stream, "ours");
    commit(&mut stream, "theirs", 3, 1);
    many(&mut stream, "theirs");
    stream.extend_from_slice(b"done\n");
    testing::pipe(&dir, &["fast-import", "--quiet", "--done"], &stream);
    let tip =
        |name: &str| Oid::parse_hex(testing::git(&dir, &["rev-parse", name]).trim().as_bytes()).unwrap();
    let query = MergeQuery { base: None, ours: tip("ours"), theirs: tip("theirs") };
    (dir, query)
}

async fn is_slow(objects: &Objects, query: &MergeQuery, time: Duration) -> bool {
    let allowance = Allowance { time: Some(time), ..Allowance::default() };
    let mut merging = match objects.start_merging(&allowance).await {
        Ok(merging) => merging,
        Err(error) => return matches!(error, ReadError::Exhausted(Exhausted::Time)),
    };
    matches!(merging.merge(query).await, Err(ReadError::Exhausted(Exhausted::Time)))
}

#[tokio::test]
async fn a_merge_of_very_many_files_ends_at_its_deadline_and_leaves_nothing() {
    let bench = Bench::new().await;
    let (dir, query) = large(&bench, 100_000);
    let objects = bench.git.objects(&dir, 0).await.unwrap();
    assert!(is_slow(&objects, &query, Duration::from_millis(100)).await);
    wait_for("git is dead", || bench.git.children() == 0 && bench.git.merges().counts() == (0, 0)).await;
    // A caller who leaves is the same.
    let mut merging = objects.start_merging(&Allowance::default()).await.unwrap();
    let left = tokio::time::timeout(Duration::from_millis(100), merging.merge(&query)).await;
    assert!(left.is_err(), "it takes longer");
    assert_eq!(bench.git.children(), 1);
    drop(merging);
    wait_for("git is dead", || bench.git.children() == 0).await;
    let scratch = bench.git.settings().scratch.clone();
    wait_for("what it wrote is gone", || std::fs::read_dir(&scratch).unwrap().count() == 0).await;
}
