//! A first start does not wait, a lost fence does, and one process has the file.

use super::*;
use std::time::Duration;

const NOW: i64 = 1_763_740_800_000;
const WISH: Wish = Wish { now_ms: NOW, ahead: Duration::from_secs(3) };

fn worker(n: u64) -> WorkerId {
    WorkerId::new(Layout::Standard, n).unwrap()
}

fn open(dir: &Path) -> Result<FileLease, OpenFenceError> {
    FileLease::open(dir, Layout::Standard, worker(7))
}

fn later(ms: i64) -> Wish {
    Wish { now_ms: NOW + ms, ..WISH }
}

fn fence_path(dir: &Path) -> PathBuf {
    dir.join("id/standard-7.fence")
}

/// Starts, issues for a while, and dies without a release.
async fn die_after_a_term(dir: &Path) {
    let mut lease = open(dir).unwrap();
    lease.acquire(|| WISH).await.unwrap();
    lease.renew(later(1_000)).await.unwrap();
}

#[tokio::test]
async fn a_first_start_issues_at_once_and_a_clean_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut lease = open(dir.path()).unwrap();
    let term = lease.acquire(|| WISH).await.unwrap();
    assert_eq!((term.from_ms, term.fence_ms), (NOW, NOW + 3_000), "nobody issued here before");
    assert_eq!(lease.renew(later(1_000)).await.unwrap().fence_ms, NOW + 4_000);
    lease.release(NOW + 1_200).await.unwrap();
    drop(lease);
    let term = open(dir.path()).unwrap().acquire(|| later(1_201)).await.unwrap();
    assert_eq!(term.from_ms, NOW + 1_201, "a fence lowered at the end makes nobody wait");
}

#[tokio::test]
async fn a_crash_and_a_clock_that_fell_wait_for_the_fence() {
    let dir = tempfile::tempdir().unwrap();
    die_after_a_term(dir.path()).await;
    let term = open(dir.path()).unwrap().acquire(|| later(1_001)).await.unwrap();
    assert_eq!(term.from_ms, NOW + 4_000, "the dead process may have issued up to its fence");
    let hour_ago = Wish { now_ms: NOW - 3_600_000, ..WISH };
    let term = open(dir.path()).unwrap().acquire(|| hour_ago).await.unwrap();
    assert_eq!((term.from_ms, term.fence_ms), (NOW + 4_001, NOW + 4_001), "a fence never falls");
}

#[tokio::test]
async fn a_lost_fence_waits() {
    for (what, harm) in [
        ("missing", (|path| std::fs::remove_file(path).unwrap()) as fn(&Path)),
        ("empty", |path| std::fs::write(path, "").unwrap()),
        ("cut", |path| {
            let text = std::fs::read(path).unwrap();
            std::fs::write(path, &text[..40]).unwrap();
        }),
        ("changed", |path| {
            let text = std::fs::read_to_string(path).unwrap();
            std::fs::write(path, text.replace("000176", "000175")).unwrap();
        }),
        ("longer than a record", |path| std::fs::write(path, vec![b'x'; 1_000]).unwrap()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        die_after_a_term(dir.path()).await;
        harm(&fence_path(dir.path()));
        let mut lease = open(dir.path()).unwrap();
        let term = lease.acquire(|| later(1_001)).await.unwrap();
        assert_eq!(term.from_ms, NOW + 4_001, "a {what} fence: wait for the distance");
        drop(lease);
        let term = open(dir.path()).unwrap().acquire(|| later(1_002)).await.unwrap();
        assert_eq!(term.from_ms, NOW + 4_001, "and a restart does not cut the wait short");
    }
}

#[tokio::test]
async fn another_id_is_a_first_start_unless_the_list_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    die_after_a_term(dir.path()).await;
    let term =
        FileLease::open(dir.path(), Layout::JsSafe, worker(7)).unwrap().acquire(|| WISH).await.unwrap();
    assert_eq!(term.from_ms, NOW, "the other layout's 7 has never issued");
    std::fs::remove_file(dir.path().join("id/known")).unwrap();
    let term =
        FileLease::open(dir.path(), Layout::Standard, worker(8)).unwrap().acquire(|| WISH).await.unwrap();
    assert_eq!(term.from_ms, NOW + 3_000, "without the list nobody knows whether 8 has issued");
    let term = open(dir.path()).unwrap().acquire(|| later(9_000)).await.unwrap();
    assert_eq!(term.from_ms, NOW + 9_000, "a fence that is there is enough");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut lease = open(dir.path()).unwrap();
    lease.acquire(|| WISH).await.unwrap();
    let refused = open(dir.path()).unwrap_err().to_string();
    let wanted = format!("worker id 7 is in use by another process, {} (hint: ", std::process::id());
    assert!(refused.starts_with(&wanted), "{refused}");
    drop(lease);
    assert!(open(dir.path()).is_ok(), "the lock ends with its holder");
}

#[tokio::test]
async fn a_file_taken_away_loses_the_lease() {
    let dir = tempfile::tempdir().unwrap();
    let mut lease = open(dir.path()).unwrap();
    lease.acquire(|| WISH).await.unwrap();
    std::fs::remove_file(fence_path(dir.path())).unwrap();
    assert!(
        matches!(lease.renew(later(1_000)).await, Err(LeaseError::Lost(_))),
        "the name is free for others"
    );
    let other = open(dir.path()).unwrap();
    assert!(
        matches!(lease.acquire(|| later(1_100)).await, Err(LeaseError::Taken { .. })),
        "and another one took it"
    );
    drop(other);
    let term = lease.acquire(|| later(1_200)).await.unwrap();
    assert_eq!(term.from_ms, NOW + 4_200, "whatever the lost file said has passed then");
}
