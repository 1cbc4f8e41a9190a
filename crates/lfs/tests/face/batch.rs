//! Batches as clients write and read them.

use hakata_lfs::Settings;
use serde_json::{Value, json};

use crate::fixture::{Fixture, MEDIA_TYPE, download, oid, upload};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn b1_b8_an_upload_is_told_where_to_go_and_with_what() {
    let fixture = Fixture::start().await;
    let reply = fixture.batch("alice", "alice/tools", &upload(&[b"hello"])).await;
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!((&answer["transfer"], &answer["hash_algo"]), (&json!("basic"), &json!("sha256")));
    let object = &answer["objects"][0];
    assert_eq!(keys(object), ["actions", "authenticated", "oid", "size"], "the schema forbids other keys");
    assert_eq!((&object["oid"], &object["size"]), (&json!(oid(b"hello")), &json!(5)));
    assert_eq!(object["authenticated"], json!(true), "b9");
    assert_eq!(keys(&object["actions"]), ["upload", "verify"]);
    for (name, tail) in [("upload", ""), ("verify", "/verify")] {
        let action = &object["actions"][name];
        assert_eq!(keys(action), ["expires_at", "expires_in", "header", "href"]);
        let href = format!("http://git.example.org/alice/tools.git/info/lfs/objects/{}{tail}", oid(b"hello"));
        assert_eq!(action["href"], json!(href));
        assert_eq!(action["expires_in"], json!(3600));
        let at = action["expires_at"].as_str().unwrap();
        assert!(at.len() == 20 && at.ends_with('Z') && at.contains('T'), "RFC 3339 by the second: {at}");
        assert!(action["header"]["Authorization"].as_str().unwrap().starts_with("Bearer hkl_"));
    }
}

#[tokio::test]
async fn b2_b3_b4_each_object_has_its_own_answer() {
    let fixture = Fixture::start().await;
    fixture.upload("alice", "alice/tools", b"hello").await;
    let asked = json!({ "operation": "download", "objects": [
        { "oid": oid(b"hello"), "size": 5 },
        { "oid": oid(b"absent"), "size": 6 },
        { "oid": oid(b"hello"), "size": 6 },
        { "oid": "../../../etc/passwd", "size": 1 },
        { "oid": oid(b"hello"), "size": -1 },
        { "oid": oid(b"hello"), "size": 5 },
    ] });
    let reply = fixture.batch("alice", "alice/tools", &asked).await;
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    let codes: Vec<u64> = answer["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| object["error"]["code"].as_u64().unwrap_or(0))
        .collect();
    assert_eq!(codes, [0, 404, 422, 422, 422, 0], "b7: one entry each, in order");
    assert_eq!(keys(&answer["objects"][0]["actions"]), ["download"]);
    assert_eq!(keys(&answer["objects"][1]), ["error", "oid", "size"]);
    assert_eq!(answer["objects"][4]["size"], json!(-1), "what was asked is repeated");
    let nothing = json!({ "operation": "download", "objects": [{ "oid": oid(b"absent"), "size": 6 }] });
    assert_eq!(fixture.batch("alice", "alice/tools", &nothing).await.status, 200, "b2");
}

#[tokio::test]
async fn b5_only_a_transfer_that_was_offered_is_chosen() {
    let fixture = Fixture::start().await;
    for (transfers, status) in [
        (json!(null), 200),
        (json!([]), 200),
        (json!(["basic"]), 200),
        (json!(["lfs-standalone-file", "basic", "ssh"]), 200),
        (json!(["tus"]), 200),
        (json!(["ssh"]), 422),
    ] {
        let asked = json!({ "operation": "upload", "objects": [], "transfers": transfers });
        assert_eq!(fixture.batch("alice", "alice/tools", &asked).await.status, status, "{transfers}");
    }
}

#[tokio::test]
async fn b6_what_is_there_is_not_asked_for() {
    let fixture = Fixture::start().await;
    fixture.upload("alice", "alice/tools", b"hello").await;
    let again = fixture.upload("alice", "alice/tools", b"hello").await;
    assert_eq!(keys(&again["objects"][0]), ["oid", "size"]);
}

#[tokio::test]
async fn b10_other_hashes_are_refused_by_object() {
    let fixture = Fixture::start().await;
    let asked =
        json!({ "operation": "upload", "hash_algo": "blake3", "objects": [{ "oid": "x", "size": 1 }] });
    let reply = fixture.batch("alice", "alice/tools", &asked).await;
    assert_eq!((reply.status, &reply.json()["objects"][0]["error"]["code"]), (200, &json!(409)));
    assert_eq!(reply.json()["hash_algo"], json!("sha256"));
}

#[tokio::test]
async fn b11_counts_and_sizes_are_bounded() {
    let settings = Settings { max_objects: 2, ..Settings::default() };
    let fixture = Fixture::with(hakata_forge::Settings::default(), settings).await;
    let reply = fixture.batch("alice", "alice/tools", &upload(&[b"a", b"b", b"c"])).await;
    assert_eq!(reply.status, 413);
    assert!(reply.json()["message"].as_str().unwrap().contains("2 objects"), "{:?}", reply.json());
    let large = json!({ "operation": "upload", "objects": [{ "oid": oid(b"a"), "size": 1_u64 << 40 }] });
    let reply = fixture.batch("alice", "alice/tools", &large).await.json();
    assert_eq!(reply["objects"][0]["error"]["code"], json!(422));
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "3B" });
    fixture.run(quota).await;
    let reply = fixture.batch("alice", "alice/tools", &upload(&[b"1234"])).await.json();
    let error = &reply["objects"][0]["error"];
    assert_eq!(error["code"], json!(507), "x6");
    assert!(error["message"].as_str().unwrap().contains("3 B are left"), "{error}");
}

#[tokio::test]
async fn c1_c5_paths_and_refs_are_taken_as_clients_write_them() {
    let fixture = Fixture::start().await;
    for spec in [json!(null), json!({}), json!({ "name": "" }), json!({ "name": "refs/heads/main", "x": 1 })]
    {
        let asked = json!({ "operation": "upload", "ref": spec, "objects": [], "more": [1, { "a": null }] });
        assert_eq!(fixture.batch("alice", "alice/tools", &asked).await.status, 200, "{spec}");
    }
}

#[tokio::test]
async fn c4_who_may_not_is_told_in_the_protocols_way() {
    let fixture = Fixture::start().await;
    let nobody = fixture.batch("-", "alice/tools", &download(&[b"a"])).await;
    assert_eq!((nobody.status, nobody.field("lfs-authenticate")), (401, "Basic realm=\"Hakata\""));
    assert_eq!(nobody.json()["request_id"], json!("request-1"), "c7");
    let absent = fixture.batch("-", "alice/absent", &download(&[b"a"])).await;
    assert_eq!((absent.status, absent.body), (nobody.status, nobody.body), "absent and hidden are one");
    assert_eq!(fixture.batch("bob", "alice/tools", &download(&[b"a"])).await.status, 404);
    assert_eq!(fixture.batch("bob", "alice/open", &upload(&[b"a"])).await.status, 403);
    assert_eq!(fixture.batch("-", "alice/open", &upload(&[b"a"])).await.status, 401);
    assert_eq!(fixture.batch("-", "alice/open", &download(&[b"a"])).await.status, 200);
    let wrong = fixture
        .ask("POST", "alice/tools", "objects/batch")
        .header("authorization", "Basic !")
        .json(&json!({}));
    assert_eq!(wrong.send().await.status, 401);
}

#[tokio::test]
async fn c2_other_media_types_are_refused() {
    let fixture = Fixture::start().await;
    let ask = |content: &str, accept: &str| {
        let ask = fixture.ask("POST", "alice/tools", "objects/batch").by("alice");
        let ask = ask.header("content-type", content).header("accept", accept);
        ask.body(br#"{"operation":"upload","objects":[]}"#).send()
    };
    let with_charset = format!("{MEDIA_TYPE}; charset=utf-8");
    assert_eq!(ask(&with_charset, &with_charset).await.status, 200);
    assert_eq!(ask("application/json", "*/*").await.status, 200);
    assert_eq!(ask("text/plain", MEDIA_TYPE).await.status, 415);
    assert_eq!(ask(MEDIA_TYPE, "text/html").await.status, 406);
}

/// The first objects of a repository come before its first push.
#[tokio::test]
async fn the_first_upload_makes_a_repository_where_a_push_would() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.batch("alice", "alice/new", &upload(&[b"a"])).await.status, 200);
    fixture.upload("alice", "alice/new", b"a").await;
    assert_eq!(fixture.batch("bob", "alice/other", &upload(&[b"a"])).await.status, 404, "not his place");
    assert_eq!(fixture.batch("alice", "alice/newer", &download(&[b"a"])).await.status, 404);
}
