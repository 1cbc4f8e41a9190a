//! Objects on their way in and out.

use serde_json::json;

use crate::fixture::{Fixture, download, oid, upload};

#[tokio::test]
async fn t1_t4_what_was_sent_comes_back() {
    let fixture = Fixture::start().await;
    let large = vec![b'x'; 300_000];
    for bytes in [&b"hello"[..], b"", &large] {
        fixture.upload("alice", "alice/tools", bytes).await;
        let answer = fixture.batch("alice", "alice/tools", &download(&[bytes])).await.json();
        let action = &answer["objects"][0]["actions"]["download"];
        let reply = fixture.follow("GET", action).send().await;
        assert_eq!((reply.status, reply.body.len()), (200, bytes.len()));
        assert!(reply.body == bytes);
        assert_eq!(reply.field("content-length"), bytes.len().to_string());
        assert_eq!(reply.field("content-type"), "application/octet-stream");
        assert_eq!(reply.field("etag"), format!("\"{}\"", oid(bytes)), "t7");
        assert!(reply.field("cache-control").contains("immutable"), "t7");
        let head = fixture.follow("HEAD", action).send().await;
        assert_eq!((head.status, head.field("content-length")), (200, reply.field("content-length")), "t7");
        assert!(head.body.is_empty());
    }
}

#[tokio::test]
async fn t5_ranges() {
    let fixture = Fixture::start().await;
    fixture.upload("alice", "alice/tools", b"0123456789").await;
    let tag = format!("\"{}\"", oid(b"0123456789"));
    for (range, if_range, status, shown, bytes) in [
        ("bytes=4-9", "", 206, "bytes 4-9/10", &b"456789"[..]),
        ("bytes=4-", tag.as_str(), 206, "bytes 4-9/10", b"456789"),
        ("bytes=-3", "", 206, "bytes 7-9/10", b"789"),
        ("bytes=4-", "\"other\"", 200, "", b"0123456789"),
        ("bytes=1-2,4-5", "", 200, "", b"0123456789"),
    ] {
        let mut ask = fixture.ask("GET", "alice/tools", &format!("objects/{}", oid(b"0123456789")));
        ask = ask.by("alice").header("range", range);
        if !if_range.is_empty() {
            ask = ask.header("if-range", if_range);
        }
        let reply = ask.send().await;
        assert_eq!(
            (reply.status, reply.field("content-range"), &reply.body[..]),
            (status, shown, bytes),
            "{range}"
        );
        assert_eq!(reply.field("content-length"), bytes.len().to_string());
    }
    let ask = fixture.ask("GET", "alice/tools", &format!("objects/{}", oid(b"0123456789")));
    let behind = ask.by("alice").header("range", "bytes=10-").send().await;
    assert_eq!((behind.status, behind.field("content-range")), (416, "bytes */10"));
    let ask = fixture.ask("GET", "alice/tools", &format!("objects/{}", oid(b"0123456789")));
    assert_eq!(ask.by("alice").header("if-none-match", &tag).send().await.status, 304);
}

#[tokio::test]
async fn t2_wrong_content_is_refused_and_absent() {
    let fixture = Fixture::start().await;
    let answer = fixture.batch("alice", "alice/tools", &upload(&[b"hello"])).await.json();
    let actions = &answer["objects"][0]["actions"];
    for bytes in [&b"jello"[..], b"hell", b"hello!", b""] {
        let put = fixture.follow("PUT", &actions["upload"]).body(bytes).send().await;
        assert_eq!(put.status, 422, "{bytes:?}");
        assert!(put.json()["message"].as_str().unwrap().contains("content"), "{put:?}");
    }
    let asked = json!({ "oid": oid(b"hello"), "size": 5 });
    assert_eq!(fixture.follow("POST", &actions["verify"]).json(&asked).send().await.status, 404, "t6");
    let put = fixture.follow("PUT", &actions["upload"]).header("content-type", "image/png").body(b"hello");
    assert_eq!(put.send().await.status, 200, "t1: whatever the content is called");
    assert_eq!(fixture.follow("POST", &actions["verify"]).json(&asked).send().await.status, 200);
    let other = json!({ "oid": oid(b"hello"), "size": 6 });
    assert_eq!(fixture.follow("POST", &actions["verify"]).json(&other).send().await.status, 422);
    let other = json!({ "oid": oid(b"other"), "size": 5 });
    assert_eq!(fixture.follow("POST", &actions["verify"]).json(&other).send().await.status, 422);
}

#[tokio::test]
async fn t1_an_account_may_send_without_an_action() {
    let fixture = Fixture::start().await;
    let tail = format!("objects/{}", oid(b"hello"));
    assert_eq!(fixture.ask("PUT", "alice/tools", &tail).by("alice").body(b"hello").send().await.status, 200);
    assert_eq!(fixture.ask("PUT", "alice/tools", &tail).by("bob").body(b"hello").send().await.status, 404);
    assert_eq!(fixture.ask("PUT", "alice/open", &tail).by("bob").body(b"hello").send().await.status, 403);
    assert_eq!(fixture.ask("PUT", "alice/open", &tail).body(b"hello").send().await.status, 401);
}

#[tokio::test]
async fn c6_too_many_transfers_are_told_to_come_again() {
    let mut policy = hakata_forge::Settings::default();
    policy.lfs.transfers_per_client = 1;
    policy.lfs.transfer_wait = std::time::Duration::from_millis(20);
    let fixture = Fixture::with(policy, hakata_lfs::Settings::default()).await;
    fixture.upload("alice", "alice/tools", b"hello").await;
    let (slow, body) = hakata_service::http::Body::pipe();
    let answer = fixture.batch("alice", "alice/tools", &upload(&[b"more"])).await.json();
    let put = fixture.follow("PUT", &answer["objects"][0]["actions"]["upload"]).with(body);
    let tail = format!("objects/{}", oid(b"hello"));
    let get = async {
        loop {
            let reply = fixture.ask("GET", "alice/tools", &tail).by("alice").send().await;
            if reply.status == 429 {
                break reply;
            }
            tokio::task::yield_now().await;
        }
    };
    let put = put.send();
    tokio::pin!(put);
    let reply = tokio::select! {
        reply = &mut put => panic!("nothing was sent yet: {reply:?}"),
        reply = get => reply,
    };
    assert!(reply.field("retry-after").parse::<u64>().unwrap() >= 1, "{reply:?}");
    drop(slow);
}
