//! Callers who leave in the middle of an answer.

use futures_util::StreamExt;
use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    ArchiveRequest, BlobService, DiffService, GetBlobRequest, PatchRequest, RepositoryKey, RepositoryService,
};
use hakata_rpc::{Answers, Call};

use crate::fixture::World;
use crate::gauges::{OPEN, SPOOLED, until};

async fn first<T>(mut answers: Answers<T>) -> Answers<T> {
    assert!(answers.next().await.unwrap().is_ok());
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_on_for_who_leaves_between_two_pages() {
    hakata_runtime::metrics::register(&hakata_rpc_server::metrics());
    let world = World::new().await;
    let big = "0123456789abcde\n".repeat(500_000);
    let script = format!(
        "commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 0\nM 100644 inline big\ndata {}\n{big}\n",
        big.len()
    );
    world.import(ObjectFormat::Sha1, script.as_bytes());
    world.create("tools", ObjectFormat::Sha1).await;
    let key = || Some(RepositoryKey { path: "alice/tools".to_owned(), id: 0 });
    let to = world.msgpack();

    let request = GetBlobRequest { repository: key(), path: "big".into(), ..GetBlobRequest::default() };
    let by_cursor = first(BlobService::get(&to, Call::default(), request)).await;
    until(OPEN, |n| n == 1).await;
    drop(by_cursor);
    until(OPEN, |n| n == 0).await;

    let request = PatchRequest { repository: key(), ..PatchRequest::default() };
    let by_handle = first(to.patch(Call::default(), request)).await;
    until(OPEN, |n| n == 1).await;
    drop(by_handle);
    until(OPEN, |n| n == 0).await;

    let request = ArchiveRequest { repository: key(), ..ArchiveRequest::default() };
    let spooled = first(to.archive(Call::default(), request)).await;
    until(SPOOLED, |n| n > 0).await;
    drop(spooled);
    until(SPOOLED, |n| n == 0).await;
}
