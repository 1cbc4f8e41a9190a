//! An engine and a network that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hakata_blob::{BlobError, BlobKey, PackPart};
use hakata_names::{LfsObjectId, PackId};
use http::Method;
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;

use crate::engine::{Engine, Fault, KEY, PART};
use crate::sources::{Counted, bytes};

#[tokio::test]
async fn an_engine_that_is_busy_is_asked_again() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    let content = bytes(2 * PART + 5);
    for (method, query, fault) in [
        (Method::POST, "uploads", Fault::Answer(503, "SlowDown")),
        (Method::PUT, "partNumber=1", Fault::Answer(500, "InternalError")),
        (Method::PUT, "partNumber=2", Fault::Answer(503, "")),
        (Method::POST, "uploadId", Fault::ErrorInside("InternalError")),
        (Method::GET, "", Fault::Answer(503, "SlowDown")),
    ] {
        engine.fault(method, query, 1, fault);
    }
    blobs.put(KEY, &content[..]).await.unwrap();
    let mut read = Vec::new();
    blobs.get(KEY, None).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read == content);
    assert!(engine.n_asked("PUT /packs/a/b/packs/2c/0000000000012c.pack?partNumber=1") >= 2);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    let before = engine.log().len();
    engine.fault(Method::PUT, "", 9, Fault::Answer(403, "AccessDenied"));
    let error = blobs.put(KEY, &b"x"[..]).await.unwrap_err();
    assert!(
        matches!(&error, BlobError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
    );
    assert_eq!(engine.log().len(), before + 1);
}

#[tokio::test]
async fn an_engine_that_stays_broken_is_given_up() {
    let engine = Engine::start().await;
    let blobs = engine.open_with(|at| at.retry_for = Duration::from_millis(300)).await.unwrap();
    engine.fault(Method::PUT, "", 1_000, Fault::Answer(503, "SlowDown"));
    assert!(blobs.put(KEY, &b"x"[..]).await.is_err());
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn bytes_that_were_damaged_on_their_way_are_sent_again() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    engine.fault(Method::PUT, "", 1, Fault::Damage);
    blobs.put(KEY, &b"whole"[..]).await.unwrap();
    let mut read = String::new();
    blobs.get(KEY, None).await.unwrap().read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "whole");
}

#[tokio::test]
async fn an_answer_that_was_lost_changes_nothing() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    let content = bytes(PART + 5);
    for (method, query) in
        [(Method::PUT, "partNumber=2"), (Method::POST, "uploadId"), (Method::DELETE, ""), (Method::HEAD, "")]
    {
        engine.fault(method, query, 1, Fault::LoseAnswer);
    }
    // The engine has forgotten the upload when it is asked to complete it once more.
    blobs.put(KEY, &content[..]).await.unwrap();
    assert_eq!(blobs.stat(KEY).await.unwrap().unwrap().size_bytes, content.len() as u64);
    blobs.delete(KEY).await.unwrap();
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn a_read_goes_on_where_its_connection_broke() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    let content = bytes(3_000_000);
    blobs.put(KEY, &content[..]).await.unwrap();
    for n_bytes in [1_000_000, 0, 500_000] {
        engine.fault(Method::GET, "", 1, Fault::Cut(n_bytes));
    }
    let mut read = Vec::new();
    blobs.get(KEY, Some(10..2_999_990)).await.unwrap().read_to_end(&mut read).await.unwrap();
    assert!(read == content[10..2_999_990]);
    assert!(engine.n_asked("GET") >= 4, "{:?}", engine.log());
}

#[tokio::test]
async fn a_read_does_not_go_on_in_another_blob() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    blobs.put(KEY, &[1; 3_000_000][..]).await.unwrap();
    // So much that the head of the answer is on its way before the connection is cut.
    engine.fault(Method::GET, "", 1_000, Fault::Cut(1_000_000));
    let mut reader = blobs.get(KEY, None).await.unwrap();
    let mut begun = vec![0; 500_000];
    reader.read_exact(&mut begun).await.unwrap();
    blobs.delete(KEY).await.unwrap();
    assert!(reader.read_to_end(&mut begun).await.is_err());
}

#[tokio::test]
async fn an_upload_has_no_more_than_its_parts_in_memory() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    engine.fault(Method::PUT, "partNumber", 3, Fault::Hold);
    let taken = Arc::new(AtomicU64::new(0));
    let source = Counted { left: 10 * PART as u64, taken: taken.clone(), rest: None };
    let putting = async { blobs.put(KEY, source).await };
    let watching = async {
        engine.held(3).await;
        assert_eq!(
            taken.load(Ordering::Relaxed),
            3 * PART as u64,
            "three parts are in memory, and no byte more"
        );
        engine.release();
    };
    let (put, ()) = tokio::join!(putting, watching);
    assert_eq!(put.unwrap().size_bytes, 10 * PART as u64);
}

#[tokio::test]
async fn all_uploads_together_have_no_more_than_their_memory() {
    let engine = Engine::start().await;
    // Half of it is for packs.
    let memory = hakata_runtime::units::ByteSize::new(8 * PART as u64);
    let blobs = engine.open_with(|at| at.upload_memory = memory).await.unwrap();
    engine.fault(Method::PUT, "partNumber", 4, Fault::Hold);
    let taken = Arc::new(AtomicU64::new(0));
    let put = |id| {
        let source = Counted { left: 5 * PART as u64, taken: taken.clone(), rest: None };
        let (blobs, key) = (blobs.clone(), BlobKey::pack(PackId::new(id), PackPart::Pack));
        async move { blobs.put(key, source).await }
    };
    let watching = async {
        engine.held(4).await;
        assert_eq!(
            taken.load(Ordering::Relaxed),
            4 * PART as u64,
            "four parts are in memory over three uploads"
        );
        engine.release();
    };
    let (one, two, three, ()) = tokio::join!(put(1), put(2), put(3), watching);
    for put in [one, two, three] {
        assert_eq!(put.unwrap().size_bytes, 5 * PART as u64, "each comes to its end");
    }
}

/// Clients send LFS objects as slowly as they like; a push is not to wait for them.
#[tokio::test]
async fn packs_do_not_wait_for_lfs_objects_that_trickle() {
    let engine = Engine::start().await;
    let memory = hakata_runtime::units::ByteSize::new(2 * PART as u64);
    let blobs = engine.open_with(|at| at.upload_memory = memory).await.unwrap();
    let (_client, silent) = tokio::io::duplex(1);
    let trickling = blobs.put(BlobKey::lfs(hakata_names::LfsObjectId::new(1)), silent);
    let pack = blobs.put(BlobKey::pack(PackId::new(1), PackPart::Pack), &b"pack"[..]);
    let stat = tokio::select! {
        biased;
        put = trickling => panic!("its client has sent nothing yet: {put:?}"),
        put = pack => put.unwrap(),
    };
    assert_eq!(stat.size_bytes, 4);
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_is_taken_back() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    let n_objects = engine.objects().len();
    let (tell, rest) = oneshot::channel();
    let source = Counted { left: 2 * PART as u64, taken: Arc::default(), rest: Some(rest) };
    let mut putting = Box::pin(blobs.put(KEY, source));
    // The upload itself, and two parts.
    let sent = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while engine.n_upload_files() < 3 {
            ticks.tick().await;
        }
    };
    let sent = tokio::time::timeout(Duration::from_secs(60), sent);
    tokio::select! {
        put = &mut putting => panic!("the source has not ended: {put:?}"),
        sent = sent => sent.unwrap(),
    }
    drop(putting);
    drop(tell);
    engine.tasks.empty().await;
    assert_eq!(engine.n_upload_files(), 0, "{:?}", engine.log());
    assert_eq!(engine.objects().len(), n_objects);
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn a_part_that_fails_for_good_takes_the_upload_back() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    engine.fault(Method::PUT, "partNumber=3", 9, Fault::Answer(403, "AccessDenied"));
    assert!(blobs.put(KEY, &bytes(5 * PART)[..]).await.is_err());
    engine.tasks.empty().await;
    assert!(engine.n_asked("DELETE /packs/a/b/packs/2c/0000000000012c.pack?uploadId") >= 1);
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn completing_ends_within_its_time() {
    let engine = Engine::start().await;
    let blobs = engine.open_with(|at| at.complete_timeout = Duration::from_millis(200)).await.unwrap();
    engine.fault(Method::POST, "uploadId", 9, Fault::Hold);
    let error = blobs.put(KEY, &bytes(PART + 1)[..]).await.unwrap_err();
    assert!(matches!(&error, BlobError::Io { source, .. } if source.kind() == std::io::ErrorKind::TimedOut));
    engine.tasks.empty().await;
    assert_eq!(blobs.stat(KEY).await.unwrap(), None);
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    for _ in 0..20 {
        blobs.put(KEY, &b"x"[..]).await.unwrap();
        let mut read = Vec::new();
        blobs.get(KEY, None).await.unwrap().read_to_end(&mut read).await.unwrap();
    }
    assert!(engine.n_connections() <= 4, "{} connections for 40 requests", engine.n_connections());
}

/// Whoever reads an LFS object slowly holds a connection; pushes have others.
#[tokio::test]
async fn slow_downloads_do_not_keep_pushes_waiting() {
    let engine = Engine::start().await;
    let change = |at: &mut hakata_blob::S3Settings| {
        (at.connections, at.downloads, at.timeout) = (1, 2, Duration::from_secs(1));
    };
    let blobs = engine.open_with(change).await.unwrap();
    let lfs = BlobKey::lfs(LfsObjectId::new(7));
    blobs.put(lfs, &bytes(30 << 20)[..]).await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut reader = blobs.get(lfs, None).await.unwrap();
        reader.read_exact(&mut [0; 10]).await.unwrap();
        slow.push(reader);
    }
    blobs.put(KEY, &b"PACK"[..]).await.unwrap();
    let mut pack = Vec::new();
    blobs.get(KEY, None).await.unwrap().read_to_end(&mut pack).await.unwrap();
    assert_eq!(pack, b"PACK");
    let error = blobs.get(lfs, None).await.unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("storage.s3.downloads"), "one more of them waits in vain: {said}");
    slow.clear();
    blobs.get(lfs, None).await.unwrap();
}

#[tokio::test]
async fn a_read_that_breaks_again_and_again_pauses_between() {
    let engine = Engine::start().await;
    let blobs = engine.open_with(|at| at.retry_for = Duration::from_secs(1)).await.unwrap();
    blobs.put(KEY, &bytes(30 << 20)[..]).await.unwrap();
    // So much that the head of the answer is on its way before the connection is cut.
    engine.fault(Method::GET, "", 1_000, Fault::Cut(1_000_000));
    let before = engine.n_asked("GET");
    let read = blobs.get(KEY, None).await.unwrap().read_to_end(&mut Vec::new()).await;
    assert!(read.is_err(), "it never comes to its end");
    // Pauses of at least 50, 100, 200, 400 and 800 ms fit into the time, and one attempt behind them.
    let n = engine.n_asked("GET") - before;
    assert!(n <= 7, "{n} requests");
}

/// Amazon says yes at once, and then sends blanks for as long as it works.
#[tokio::test]
async fn an_upload_is_completed_as_long_as_the_engine_says_something() {
    let engine = Engine::start().await;
    let blobs = engine.open_with(|at| at.timeout = Duration::from_secs(1)).await.unwrap();
    let content = bytes(PART + 5);
    engine.fault(Method::POST, "uploadId", 1, Fault::Blanks(8, Duration::from_millis(200)));
    blobs.put(KEY, &content[..]).await.unwrap();
    assert_eq!(blobs.stat(KEY).await.unwrap().unwrap().size_bytes, content.len() as u64);

    engine.fault(Method::POST, "uploadId", 1, Fault::Blanks(1, Duration::from_secs(3)));
    let error = blobs.put(KEY, &content[..]).await.unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("did not answer"), "silence is none: {said}");

    let change = |at: &mut hakata_blob::S3Settings| at.complete_timeout = Duration::from_secs(1);
    let blobs = engine.open_with(change).await.unwrap();
    engine.fault(Method::POST, "uploadId", 1, Fault::Blanks(1_000, Duration::from_millis(100)));
    assert!(blobs.put(KEY, &content[..]).await.is_err(), "and it ends some time");
}
