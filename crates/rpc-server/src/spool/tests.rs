use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use hakata_rpc::{Code, Operation, Status};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::secret::Secret;
use hakata_runtime::tasks::Tasks;

use super::{AFTERWARDS, Bounds, EncodedParts, LENGTH, Spool};
use crate::tokens::{Owner, Tokens};

const ARCHIVE: Operation = Operation::RepositoryArchive;
const LIFE: Duration = Duration::from_secs(600);

/// A spool, its directory, the owner of its tasks, and two who show different tokens.
struct World {
    spool: Spool,
    tasks: Tasks,
    dir: tempfile::TempDir,
    one: Owner,
    other: Owner,
}

fn world(max_bytes: u64, max_files: usize) -> World {
    let (dir, tasks) = (tempfile::tempdir().unwrap(), Tasks::new());
    let bounds = Bounds { dir: dir.path().join("spool"), max_bytes, max_files, life: LIFE };
    let tokens = Tokens::new(["one", "other"].map(|token| Secret::new(token.to_owned())).into());
    World {
        spool: Spool::new(bounds, tasks.clone(), Blocking::new(2)),
        tasks,
        dir,
        one: tokens.owner(Some("one")),
        other: tokens.owner(Some("other")),
    }
}

fn parts(n: u8, length: usize) -> EncodedParts {
    Box::pin(stream::iter((0..n).map(move |n| Ok(vec![n; length]))))
}

impl World {
    async fn begin(&self, parts: EncodedParts) -> Result<String, Status> {
        self.spool.begin(self.one.clone(), ARCHIVE, parts).await
    }

    /// Reads all pages; some twice.
    async fn read(&self, mut handle: String) -> Result<Vec<Vec<u8>>, Status> {
        let mut all = Vec::new();
        loop {
            let page = self.spool.page(&self.one, ARCHIVE, &handle, 1_000).await?;
            let again = self.spool.page(&self.one, ARCHIVE, &handle, 1_000).await?;
            assert!(again.parts.starts_with(&page.parts), "a page can be asked for again");
            all.extend(page.parts);
            match page.handle {
                Some(next) => handle = next,
                None => return Ok(all),
            }
        }
    }

    async fn idle(&self) {
        self.tasks.empty().await;
        assert_eq!(self.spool.0.n_bytes.load(std::sync::atomic::Ordering::SeqCst), 0, "room is given back");
    }
}

#[tokio::test]
async fn pages_are_read_by_their_owner_alone() {
    let world = world(1 << 20, 4);
    let handle = world.begin(parts(50, 300)).await.unwrap();
    let all = world.read(handle.clone()).await.unwrap();
    assert_eq!(all, (0..50).map(|n| vec![n; 300]).collect::<Vec<_>>());
    let refused = [
        world.spool.page(&world.other, ARCHIVE, &handle, 1_000).await,
        world.spool.page(&world.one, Operation::RepositoryFsck, &handle, 1_000).await,
        world.spool.page(&world.one, ARCHIVE, &format!("{}1", handle), 1_000).await,
        world.spool.page(&world.one, ARCHIVE, &handle.replace(".0", ".99999999999"), 1_000).await,
        world.spool.page(&world.one, ARCHIVE, "nobody.0", 1_000).await,
    ];
    for page in refused {
        assert_eq!(page.unwrap_err().code, Code::NotFound);
    }
    assert_eq!(std::fs::read_dir(world.dir.path().join("spool")).unwrap().count(), 0, "files have no names");
    world.spool.forget(&world.other, &handle);
    assert!(world.spool.page(&world.one, ARCHIVE, &handle, 1_000).await.is_ok());
    world.spool.forget(&world.one, &handle);
    world.idle().await;
}

#[tokio::test]
async fn what_came_before_an_error_is_told_before_it() {
    let world = world(1 << 20, 4);
    let failing = parts(3, 10).chain(stream::iter([Err(Status::new(Code::Aborted, "no"))]));
    let handle = world.begin(failing.boxed()).await.unwrap();
    let ended = world.read(handle).await.unwrap_err();
    assert_eq!(ended.code, Code::Aborted);
    world.idle().await;
}

#[tokio::test]
async fn room_is_bounded_in_bytes_and_files() {
    let room = (100 + LENGTH as u64) * 5;
    let world = world(room, 2);
    let (full, next) = (world.begin(parts(5, 100)).await.unwrap(), world.begin(parts(9, 100)).await.unwrap());
    assert_eq!(world.begin(parts(1, 1)).await.unwrap_err().code, Code::ResourceExhausted);
    let (one, other) = (world.read(full.clone()).await, world.read(next.clone()).await);
    let codes = [one.map_err(|status| status.code), other.map_err(|status| status.code)];
    assert!(codes.contains(&Err(Code::ResourceExhausted)), "both together are too long");
    world.spool.forget(&world.one, &full);
    world.spool.forget(&world.one, &next);
    world.idle().await;
    let alone = world.begin(parts(5, 100)).await.unwrap();
    assert_eq!(world.read(alone.clone()).await.unwrap().len(), 5);
    world.spool.forget(&world.one, &alone);
    world.idle().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_goes_and_so_does_what_makes_it() {
    let world = world(1 << 20, 4);
    let endless: EncodedParts = Box::pin(parts(2, 10).chain(stream::pending()));
    let handle = world.begin(endless).await.unwrap();
    let page = world.spool.page(&world.one, ARCHIVE, &handle, 1_000).await.unwrap();
    let waiting = world.spool.page(&world.one, ARCHIVE, &page.handle.unwrap(), 1_000).await.unwrap();
    assert!(waiting.handle.is_some(), "a page without parts says where to go on");
    // The clock of the test jumps to the end of its life.
    world.idle().await;
    assert_eq!(world.spool.page(&world.one, ARCHIVE, &handle, 1_000).await.unwrap_err().code, Code::NotFound);

    let handle = world.begin(parts(2, 10)).await.unwrap();
    world.read(handle).await.unwrap();
    let before = tokio::time::Instant::now();
    world.idle().await;
    assert!(before.elapsed() <= AFTERWARDS, "what was read to its end goes soon");
}
