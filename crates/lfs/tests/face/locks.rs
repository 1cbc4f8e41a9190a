//! Locks as clients write and read them.

use serde_json::{Value, json};

use crate::fixture::{Fixture, Reply};

async fn lock(fixture: &Fixture, who: &str, path: &str) -> Reply {
    fixture.ask("POST", "alice/tools", "locks").by(who).json(&json!({ "path": path, "ref": {} })).send().await
}

async fn list(fixture: &Fixture, who: &str, query: &str) -> Value {
    let reply = fixture.ask("GET", "alice/tools", &format!("locks{query}")).by(who).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn paths(locks: &Value) -> Vec<&str> {
    locks.as_array().unwrap().iter().map(|lock| lock["path"].as_str().unwrap()).collect()
}

/// Bob may push to `alice/tools`.
async fn start() -> Fixture {
    let fixture = Fixture::start().await;
    let invite = json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": "developer" });
    fixture.run(invite).await;
    fixture
}

#[tokio::test]
async fn l1_l2_a_path_has_one_lock() {
    let fixture = start().await;
    let made = lock(&fixture, "alice", "art/a b.psd").await;
    assert_eq!(made.status, 201);
    let made = made.json()["lock"].clone();
    assert_eq!((&made["path"], &made["owner"]), (&json!("art/a b.psd"), &json!({ "name": "alice" })));
    assert!(made["id"].is_string());
    let at = made["locked_at"].as_str().unwrap();
    assert!(at.len() == 20 && at.ends_with('Z'), "{at}");
    for who in ["alice", "bob"] {
        let held = lock(&fixture, who, "art/a b.psd").await;
        assert_eq!((held.status, &held.json()["lock"]), (409, &made), "{who}");
        assert_eq!(held.json()["message"], json!("already locked by alice"));
    }
    for bad in ["", "/a", "a/../b", "a//b", "a\u{0}"] {
        assert_eq!(lock(&fixture, "alice", bad).await.status, 422, "{bad:?}");
    }
    let open =
        fixture.ask("POST", "alice/open", "locks").by("bob").json(&json!({ "path": "a" })).send().await;
    assert_eq!(open.status, 403, "reading is not enough");
}

#[tokio::test]
async fn l3_l5_locks_are_listed_in_pages_newest_first() {
    let fixture = start().await;
    assert_eq!(list(&fixture, "bob", "").await, json!({ "locks": [] }));
    for path in ["a", "b", "c"] {
        lock(&fixture, "alice", path).await;
    }
    let first = list(&fixture, "bob", "?limit=2&refspec=refs%2Fheads%2Fmain").await;
    assert_eq!(paths(&first["locks"]), ["c", "b"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = list(&fixture, "bob", &format!("?limit=2&cursor={cursor}")).await;
    assert_eq!((paths(&second["locks"]), &second["next_cursor"]), (vec!["a"], &Value::Null));
    assert_eq!(paths(&list(&fixture, "bob", "?path=b").await["locks"]), ["b"]);
    let id = list(&fixture, "bob", "?path=b").await["locks"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(paths(&list(&fixture, "bob", &format!("?path=b&id={id}")).await["locks"]), ["b"]);
    for none in [format!("?path=a&id={id}"), "?id=nonsense".to_owned(), "?path=..".to_owned()] {
        assert_eq!(list(&fixture, "bob", &none).await["locks"], json!([]), "{none}");
    }
    let bad = fixture.ask("GET", "alice/tools", "locks?cursor=x").by("bob").send().await;
    assert_eq!(bad.status, 422);
}

#[tokio::test]
async fn l4_ours_and_theirs_are_told_apart_in_pages() {
    let fixture = start().await;
    lock(&fixture, "alice", "a").await;
    lock(&fixture, "bob", "b").await;
    let verify = async |body: Value| {
        fixture.ask("POST", "alice/tools", "locks/verify").by("bob").json(&body).send().await
    };
    let all = verify(json!({})).await.json();
    assert_eq!((paths(&all["ours"]), paths(&all["theirs"])), (vec!["b"], vec!["a"]));
    assert!(all.get("next_cursor").is_none());
    let first = verify(json!({ "limit": 1, "ref": { "name": "refs/heads/main" } })).await.json();
    assert_eq!((paths(&first["ours"]), &first["theirs"]), (vec!["b"], &json!([])), "both are always lists");
    let second = verify(json!({ "limit": 1, "cursor": first["next_cursor"] })).await.json();
    assert_eq!((&second["ours"], paths(&second["theirs"])), (&json!([]), vec!["a"]));
    let reader = fixture.ask("POST", "alice/open", "locks/verify").by("bob").json(&json!({})).send().await;
    assert_eq!(reader.status, 403);
}

#[tokio::test]
async fn l6_l8_locks_are_taken_away_by_those_who_may() {
    let fixture = start().await;
    let id = lock(&fixture, "bob", "b").await.json()["lock"]["id"].as_str().unwrap().to_owned();
    let unlock = async |who: &str, path: &str, id: &str, body: Value| {
        fixture.ask("POST", path, &format!("locks/{id}/unlock")).by(who).json(&body).send().await
    };
    assert_eq!(unlock("alice", "alice/tools", &id, json!({})).await.status, 403, "not without force");
    let elsewhere = unlock("bob", "bob/own", &id, json!({ "force": true })).await;
    assert_eq!(elsewhere.status, 404, "l8: not in another repository");
    assert!(elsewhere.json()["message"].is_string());
    let taken = unlock("alice", "alice/tools", &id, json!({ "force": true, "ref": null })).await;
    assert_eq!((taken.status, &taken.json()["lock"]["owner"]["name"]), (200, &json!("bob")));
    assert_eq!(unlock("bob", "alice/tools", &id, json!({})).await.status, 404);
    let id = lock(&fixture, "alice", "a").await.json()["lock"]["id"].as_str().unwrap().to_owned();
    assert_eq!(unlock("bob", "alice/tools", &id, json!({ "force": true })).await.status, 403, "a developer");
    assert_eq!(unlock("alice", "alice/tools", &id, json!({ "force": false })).await.status, 200);
}
