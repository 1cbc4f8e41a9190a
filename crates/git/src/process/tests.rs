use std::time::{Duration, Instant};

use hakata_names::ObjectFormat;
use tokio::io::AsyncWriteExt;

use super::{Child, ChildError, ask};
use crate::command::{Command, Subcommand};
use crate::quarantine::{IndexPackError, PackLimits, Quarantine};
use crate::settings::Budget;
use crate::testing::{self, Bench};

fn is_gone(pid: u32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A command that waits for its input with a child of its own.
fn waiting(bench: &Bench) -> Command {
    Command::new(Subcommand::UploadArchive).dir(&bench.repository(ObjectFormat::Sha1)).flag(".")
}

#[tokio::test]
async fn a_dropped_child_is_killed_with_its_own_and_reaped() {
    let bench = Bench::new().await;
    let child = Child::spawn(&bench.git, &waiting(&bench)).await.unwrap();
    let pid = child.id().unwrap();
    let mut grandchildren: Vec<u32> = Vec::new();
    wait_for("git starts a process of its own", || {
        let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        grandchildren = listed.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect();
        !grandchildren.is_empty()
    })
    .await;
    assert_eq!(bench.git.children(), 1);
    drop(child);
    assert_eq!(bench.git.children(), 0, "its permit is free at once");
    wait_for("the child is reaped", || is_gone(pid)).await;
    for pid in grandchildren {
        let is_dead = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        wait_for("what it started is dead", is_dead).await;
    }
}

#[tokio::test]
async fn what_a_running_child_used_is_known_before_its_end() {
    let bench = Bench::new().await;
    let dir = bench.repository(ObjectFormat::Sha1);
    let command = Command::new(Subcommand::IndexPack).dir(&dir).flag("--stdin");
    let mut child = Child::spawn(&bench.git, &command).await.unwrap();
    let mut stdin = child.stdin().unwrap();
    // A gigabyte of zeros that are not compressed: git computes as long as it is fed.
    let head = b"PACK\0\0\0\x02\0\0\0\x01\xb0\x80\x80\x80\x20\x78\x01";
    let zeros = [[0, 0xff, 0xff, 0, 0].as_slice(), &[0; 0xffff]].concat().repeat(16);
    stdin.write_all(head).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.cpu_so_far().is_zero() {
        assert!(Instant::now() < deadline, "its processor time is seen while it runs");
        stdin.write_all(&zeros).await.unwrap();
    }
}

#[tokio::test]
async fn time_is_bounded() {
    let bench = Bench::with(|settings| {
        settings.budgets.fetch = Budget { wall: Some(Duration::from_millis(50)), ..settings.budgets.fetch };
    })
    .await;
    let mut child = Child::spawn(&bench.git, &waiting(&bench)).await.unwrap();
    let _held = (child.stdin(), child.stdout());
    let finished = child.finish().await;
    assert!(matches!(finished, Err(ChildError::TimedOut { .. })), "{finished:?}");
}

#[tokio::test]
async fn children_of_one_repository_are_bounded() {
    let bench = Bench::with(|settings| {
        settings.max_children_per_repository = 1;
        settings.wait = Duration::from_millis(20);
    })
    .await;
    let command = waiting(&bench);
    let first = Child::spawn(&bench.git, &command).await.unwrap();
    let second = Child::spawn(&bench.git, &command).await;
    assert!(matches!(second.err(), Some(ChildError::Limited(_))));
    assert!(Child::spawn(&bench.git, &waiting(&bench)).await.is_ok(), "another repository is served");
    drop(first);
    assert!(Child::spawn(&bench.git, &command).await.is_ok());
}

#[tokio::test]
async fn memory_is_bounded() {
    let bench = Bench::with(|settings| {
        settings.budgets.index = Budget { memory_bytes: Some(32 << 20), ..settings.budgets.index };
    })
    .await;
    let dir = bench.repository(ObjectFormat::Sha1);
    let blob = testing::object(&dir, "blob", &vec![0; 60 << 20]);
    let pack = testing::pipe(&dir, &["pack-objects", "--stdout", "-q"], format!("{blob}\n").as_bytes());
    assert!(pack.len() < 1 << 20, "a small pack, a large object");
    let parent = bench.root.path().join("quarantine");
    let quarantine = Quarantine::create(&parent, None, ObjectFormat::Sha1).unwrap();
    let refused = quarantine.index_pack(&bench.git, &mut &pack[..], &PackLimits::default()).await;
    let message = match refused {
        Err(IndexPackError::Refused { message }) => message,
        Err(IndexPackError::Child(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(message.to_lowercase().contains("memory"), "{message}");
}

#[tokio::test]
async fn what_a_child_says_is_bounded_and_safe() {
    let bench = Bench::new().await;
    let dir = bench.repository(ObjectFormat::Sha1);
    let command = Command::new(Subcommand::RevList).dir(&dir).flag("--stdin");
    let (finished, _) = ask(&bench.git, &command, b"\x1b[31mno\n".to_vec(), 100).await.unwrap();
    let error = finished.success().unwrap_err().to_string();
    assert!(error.contains("rev-list") && !error.contains('\u{1b}'), "{error}");
}

#[tokio::test]
async fn output_beyond_the_bound_does_not_hang() {
    let bench = Bench::new().await;
    let (dir, _) = bench.history(ObjectFormat::Sha1);
    let command = Command::new(Subcommand::RevList).dir(&dir).flag("--all").flag("--objects");
    let (_, said) = ask(&bench.git, &command, Vec::new(), 10).await.unwrap();
    assert_eq!(said.len(), 10);
}
