//! What no client of git would send.

use serde_json::{Value, json};

use crate::fixture::{Fixture, MEDIA_TYPE, download, oid, upload};

#[tokio::test]
async fn every_malformed_request_is_answered_in_kind() {
    let fixture = Fixture::start().await;
    let nested = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    // What is not known is passed over however deep it is; what is known is not read so deep.
    let passed_over = format!(r#"{{"operation":"upload","x":{nested}}}"#);
    let deep = format!(r#"{{"operation":"upload","objects":[{{"oid":"x","size":{nested}}}]}}"#);
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 422),
        ("null", 422),
        ("1", 422),
        ("\u{feff}{}", 400),
        ("{}", 422),
        (r#"{"operation":"upload"}"#, 422),
        (r#"{"operation":"erase","objects":[]}"#, 422),
        (r#"{"operation":1,"objects":[]}"#, 422),
        (r#"{"operation":"upload","objects":{}}"#, 422),
        (r#"{"operation":"upload","objects":[1]}"#, 422),
        (r#"{"operation":"upload","objects":[{"oid":1,"size":1}]}"#, 422),
        (r#"{"operation":"upload","objects":[{"oid":"x"}]}"#, 422),
        (r#"{"operation":"upload","objects":[{"oid":"x","size":"1"}]}"#, 422),
        (r#"{"operation":"upload","operation":"download","objects":[]}"#, 422),
        (passed_over.as_str(), 422),
        (deep.as_str(), 400),
    ] {
        let ask = fixture.ask("POST", "alice/tools", "objects/batch").by("alice");
        let reply = ask.header("content-type", MEDIA_TYPE).body(body.as_bytes()).send().await;
        let shown = &body[..body.len().min(60)];
        assert_eq!(reply.status, status, "{shown}");
        assert!(reply.json()["message"].as_str().is_some_and(|words| !words.is_empty()), "{shown}");
    }
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(2 << 20));
    let ask = fixture.ask("POST", "alice/tools", "objects/batch").by("alice");
    assert_eq!(ask.header("content-type", MEDIA_TYPE).body(large.as_bytes()).send().await.status, 413);
}

#[tokio::test]
async fn security_18_no_oid_is_a_path() {
    let fixture = Fixture::start().await;
    for (tail, status) in [
        ("objects/..%2f..%2f..%2fetc%2fpasswd", 422),
        ("objects/..", 422),
        ("objects/", 422),
        ("objects/%00", 422),
        ("objects/a/b/c", 404),
        ("objects", 404),
        ("", 404),
    ] {
        for method in ["GET", "PUT"] {
            let reply = fixture.ask(method, "alice/tools", tail).by("alice").send().await;
            assert_eq!(reply.status, status, "{method} {tail}");
        }
    }
    let upper = oid(b"hello").to_uppercase();
    let put = fixture.ask("PUT", "alice/tools", &format!("objects/{upper}")).by("alice").body(b"hello");
    assert_eq!(put.send().await.status, 422);
}

/// The token of an action is good for its repository, object, and direction only.
#[tokio::test]
async fn security_19_a_token_opens_nothing_else() {
    let fixture = Fixture::start().await;
    fixture.upload("alice", "alice/tools", b"secret").await;
    let answer = fixture.batch("alice", "alice/tools", &upload(&[b"mine"])).await.json();
    let header = answer["objects"][0]["actions"]["upload"]["header"]["Authorization"].clone();
    let with = |method: &'static str, path: &str, tail: String| {
        fixture.ask(method, path, &tail).header("authorization", header.as_str().unwrap())
    };
    let status = |reply: crate::fixture::Reply| reply.status;
    let (secret, mine) = (format!("objects/{}", oid(b"secret")), format!("objects/{}", oid(b"mine")));
    assert_eq!(status(with("GET", "alice/tools", secret.clone()).send().await), 403, "another object");
    assert_eq!(status(with("PUT", "alice/tools", secret).body(b"secret").send().await), 403);
    assert_eq!(status(with("GET", "alice/tools", mine.clone()).send().await), 403, "another direction");
    assert_eq!(
        status(with("PUT", "alice/open", mine.clone()).body(b"mine").send().await),
        403,
        "another repository"
    );
    assert_eq!(status(with("PUT", "bob/own", mine.clone()).body(b"mine").send().await), 404);
    let batch = with("POST", "alice/tools", "objects/batch".to_owned()).json(&download(&[b"secret"]));
    assert_eq!(status(batch.send().await), 403, "no sign-in");
    assert_eq!(status(with("GET", "alice/tools", "locks".to_owned()).send().await), 403);
    assert_eq!(status(with("PUT", "alice/tools", mine).body(b"mine").send().await), 200, "what it is for");
    let flipped = header.as_str().unwrap().replace("hkl_A", "hkl_B");
    let ask = fixture.ask("GET", "alice/tools", "locks").header("authorization", &flipped);
    assert_eq!(status(ask.send().await), 403);
}

/// Reading a repository that has an object is what opens it, and nothing that is known of it.
#[tokio::test]
async fn b13_x1_an_oid_opens_nothing() {
    let fixture = Fixture::start().await;
    fixture.upload("alice", "alice/tools", b"secret").await;
    let codes = |answer: &Value| answer["objects"][0]["error"]["code"].clone();
    let told = fixture.batch("bob", "bob/own", &download(&[b"secret"])).await.json();
    assert_eq!(codes(&told), json!(404));
    let asked = fixture.batch("bob", "bob/own", &upload(&[b"secret"])).await.json();
    assert!(asked["objects"][0]["actions"]["upload"].is_object(), "he is asked to send it: {asked}");
    let tail = format!("objects/{}", oid(b"secret"));
    assert_eq!(fixture.ask("GET", "bob/own", &tail).by("bob").send().await.status, 404);
}

#[tokio::test]
async fn methods_and_hosts_are_checked() {
    let fixture = Fixture::start().await;
    let reply = fixture.ask("DELETE", "alice/tools", "locks").by("alice").send().await;
    assert_eq!((reply.status, reply.field("allow")), (405, "GET, POST"));
    let ask = fixture.ask("POST", "alice/tools", "objects/batch").by("alice").json(&upload(&[b"a"]));
    let evil = ask.replace_host("evil.example/x?").send().await;
    assert_eq!(evil.status, 400, "a host is no way to write a URL");
}
