//! Uploads that go on where they were cut.

use hakata_service::http::{Body, BodyWriter};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::fixture::{Ask, Fixture, Reply, objects, oid};

/// The length of a part in a directory.
const PART: usize = 8 << 20;

fn content(n_bytes: usize) -> Vec<u8> {
    (0..n_bytes).map(|at| u8::try_from(at / 1_000 % 251).unwrap()).collect()
}

async fn batch(fixture: &Fixture, who: &str, bytes: &[u8]) -> Value {
    let asked = json!({ "operation": "upload", "transfers": ["tus", "basic"], "objects": objects(&[bytes]) });
    let answer = fixture.batch(who, "alice/tools", &asked).await.json();
    assert_eq!(answer["transfer"], json!("tus"));
    answer["objects"][0]["actions"].clone()
}

fn head<'a>(fixture: &'a Fixture, actions: &Value) -> Ask<'a> {
    fixture.follow("HEAD", &actions["upload"]).header("tus-resumable", "1.0.0")
}

async fn offset(fixture: &Fixture, actions: &Value) -> u64 {
    let reply = head(fixture, actions).send().await;
    assert_eq!(
        (reply.status, reply.field("tus-resumable"), reply.field("cache-control")),
        (200, "1.0.0", "no-store")
    );
    reply.field("upload-offset").parse().unwrap()
}

fn patch<'a>(fixture: &'a Fixture, actions: &Value, offset: u64) -> Ask<'a> {
    fixture
        .follow("PATCH", &actions["upload"])
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", &offset.to_string())
        .header("content-type", "application/offset+octet-stream")
}

/// A request whose bytes are given bit by bit; it breaks when the writer is dropped.
fn slow<'a>(
    fixture: &'a Fixture,
    actions: &Value,
    offset: u64,
) -> (BodyWriter, impl Future<Output = Reply> + 'a) {
    let (writer, body) = Body::pipe();
    (writer, patch(fixture, actions, offset).with(body).send())
}

async fn verified(fixture: &Fixture, actions: &Value, bytes: &[u8]) -> u16 {
    let asked = json!({ "oid": oid(bytes), "size": bytes.len() });
    fixture.follow("POST", &actions["verify"]).json(&asked).send().await.status
}

#[tokio::test]
async fn t10_an_upload_in_one_piece() {
    let fixture = Fixture::start().await;
    let bytes = content(2 * PART + 5);
    let actions = batch(&fixture, "alice", &bytes).await;
    let href = actions["upload"]["href"].as_str().unwrap();
    assert!(href.ends_with(&format!("/objects/{}/tus", oid(&bytes))), "{href}");
    assert_eq!(batch(&fixture, "alice", &bytes).await["upload"]["href"], href, "the same in each batch");
    assert_eq!(offset(&fixture, &actions).await, 0);
    let reply = patch(&fixture, &actions, 0).body(&bytes).send().await;
    assert_eq!((reply.status, reply.field("upload-offset")), (204, &bytes.len().to_string()[..]));
    assert_eq!(verified(&fixture, &actions, &bytes).await, 200);
    assert_eq!(offset(&fixture, &actions).await, bytes.len() as u64, "complete");
    let got = fixture.ask("GET", "alice/tools", &format!("objects/{}", oid(&bytes))).by("alice").send().await;
    assert!(got.status == 200 && got.body == bytes);
    assert_eq!(fixture.n_uploads(), 0, "nothing but the object is left");
}

#[tokio::test]
async fn x2_what_was_cut_goes_on_behind_its_last_part() {
    let fixture = Fixture::start().await;
    let bytes = content(3 * PART);
    let actions = batch(&fixture, "alice", &bytes).await;
    let (mut writer, put) = slow(&fixture, &actions, 0);
    let sending = async {
        writer.write_all(&bytes[..2 * PART + 100]).await.unwrap();
        drop(writer);
    };
    let (reply, ()) = tokio::join!(put, sending);
    assert!(reply.status >= 400, "{reply:?}");
    assert_eq!(verified(&fixture, &actions, &bytes).await, 404, "t2: not visible before it is whole");
    let at = offset(&fixture, &actions).await;
    assert_eq!(at, 2 * PART as u64);
    for wrong in [0, PART as u64, at - 1, at + 1] {
        let reply = patch(&fixture, &actions, wrong).body(&bytes[..1]).send().await;
        assert_eq!(reply.status, 409, "{wrong}: {reply:?}");
    }
    let reply = patch(&fixture, &actions, at).body(&bytes[2 * PART..]).send().await;
    assert_eq!(reply.status, 204, "{reply:?}");
    assert_eq!(verified(&fixture, &actions, &bytes).await, 200);
    let got = fixture.ask("GET", "alice/tools", &format!("objects/{}", oid(&bytes))).by("alice").send().await;
    assert!(got.body == bytes);
}

/// A client that comes again has given up its first request, whatever that still seems to do.
#[tokio::test]
async fn one_request_writes_and_the_next_ends_it() {
    let fixture = Fixture::start().await;
    let bytes = content(2 * PART);
    let actions = batch(&fixture, "alice", &bytes).await;
    let (mut writer, put) = slow(&fixture, &actions, 0);
    let first = async {
        let (reply, ()) = tokio::join!(put, async {
            // It may be ended before it took all of that.
            let _ = writer.write_all(&bytes[..PART + 7]).await;
            writer.gone().await;
        });
        reply
    };
    let again = async {
        loop {
            let at = offset(&fixture, &actions).await;
            let reply =
                patch(&fixture, &actions, at).body(&bytes[usize::try_from(at).unwrap()..]).send().await;
            if reply.status == 204 {
                break;
            }
        }
    };
    let (reply, ()) = tokio::join!(first, again);
    assert!(matches!(reply.status, 409 | 429), "{reply:?}");
    assert_eq!(verified(&fixture, &actions, &bytes).await, 200);
}

#[tokio::test]
async fn t2_other_bytes_are_refused_and_nothing_is_kept() {
    let fixture = Fixture::start().await;
    let bytes = content(PART + 5);
    let actions = batch(&fixture, "alice", &bytes).await;
    let mut wrong = bytes.clone();
    wrong[3] ^= 1;
    let reply = patch(&fixture, &actions, 0).body(&wrong).send().await;
    assert_eq!(reply.status, 422, "{reply:?}");
    assert_eq!((fixture.n_files(), fixture.n_uploads()), (0, 0));
    assert_eq!(offset(&fixture, &actions).await, 0, "it begins again");
    let reply = patch(&fixture, &actions, 0).body(&[&bytes[..], b"more"].concat()).send().await;
    assert_eq!(reply.status, 413, "{reply:?}");
    let reply = patch(&fixture, &actions, 0).body(&bytes[..100]).send().await;
    assert_eq!(reply.status, 422, "less than a part cannot be kept: {reply:?}");
    assert_eq!(patch(&fixture, &actions, 0).body(&bytes).send().await.status, 204);
}

#[tokio::test]
async fn t10_requests_are_checked() {
    let fixture = Fixture::start().await;
    let bytes = content(100);
    let actions = batch(&fixture, "alice", &bytes).await;
    let plain = fixture.follow("HEAD", &actions["upload"]).send().await;
    assert_eq!((plain.status, plain.field("tus-version")), (412, "1.0.0"));
    let options = fixture.follow("OPTIONS", &actions["upload"]).send().await;
    assert_eq!((options.status, options.field("tus-version")), (204, "1.0.0"));
    assert_eq!(fixture.follow("PUT", &actions["upload"]).send().await.status, 405);
    let typed = |content: &str, offset: Option<&str>| {
        let ask = fixture.follow("PATCH", &actions["upload"]).header("tus-resumable", "1.0.0");
        let ask = ask.header("content-type", content).body(&bytes);
        match offset {
            Some(offset) => ask.header("upload-offset", offset).send(),
            None => ask.send(),
        }
    };
    let right = "application/offset+octet-stream";
    assert_eq!(typed("application/octet-stream", Some("0")).await.status, 415);
    for bad in [None, Some(""), Some("-1"), Some("x"), Some("99999999999999999999999")] {
        assert_eq!(typed(right, bad).await.status, 400, "{bad:?}");
    }
    assert_eq!(typed(right, Some("101")).await.status, 413);
    // An account without an action has not said how long the object is.
    let tail = format!("objects/{}/tus", oid(&bytes));
    let bare = fixture.ask("HEAD", "alice/tools", &tail).by("alice").header("tus-resumable", "1.0.0");
    assert_eq!(bare.send().await.status, 404);
    assert_eq!(typed(right, Some("0")).await.status, 204);
    let bare = fixture.ask("HEAD", "alice/tools", &tail).by("alice").header("tus-resumable", "1.0.0");
    assert_eq!(bare.send().await.field("upload-offset"), "100");
}

/// Clients send nothing to an upload that is at its end, so that one of nothing is there when that was said.
#[tokio::test]
async fn an_object_of_nothing_is_there_at_once() {
    let fixture = Fixture::start().await;
    let actions = batch(&fixture, "alice", b"").await;
    assert_eq!(offset(&fixture, &actions).await, 0);
    assert_eq!(verified(&fixture, &actions, b"").await, 200);
}

#[tokio::test]
async fn security_19_an_upload_is_of_who_began_it() {
    let fixture = Fixture::start().await;
    let invite = json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": "developer" });
    fixture.run(invite).await;
    let bytes = content(2 * PART);
    let actions = batch(&fixture, "alice", &bytes).await;
    assert_eq!(
        patch(&fixture, &actions, 0).body(&bytes[..PART]).send().await.field("upload-offset"),
        PART.to_string()
    );
    let bobs = batch(&fixture, "bob", &bytes).await;
    assert_eq!(
        offset(&fixture, &bobs).await,
        0,
        "nobody learns how far another is, or goes on with what it sent"
    );
    assert_eq!(offset(&fixture, &actions).await, PART as u64);
    assert_eq!(patch(&fixture, &bobs, 0).body(&bytes).send().await.status, 204);
    assert_eq!(offset(&fixture, &actions).await, bytes.len() as u64, "it is there for both");
    let other = content(50);
    let header = actions["upload"]["header"]["Authorization"].as_str().unwrap();
    for (path, bytes) in [("alice/tools", &other), ("alice/open", &bytes)] {
        let tail = format!("objects/{}/tus", oid(bytes));
        let ask = fixture.ask("HEAD", path, &tail).header("tus-resumable", "1.0.0");
        assert_eq!(ask.header("authorization", header).send().await.status, 403, "a token is for one object");
    }
}

/// Room for an upload is kept from its first part on, and is free again when it was refused.
#[tokio::test]
async fn x6_an_upload_has_its_room() {
    let fixture = Fixture::start().await;
    let bytes = content(2 * PART);
    let quota = json!({ "command": "repo", "action": "quota", "path": "alice/tools", "quota": "20MiB" });
    fixture.run(quota).await;
    let actions = batch(&fixture, "alice", &bytes).await;
    patch(&fixture, &actions, 0).body(&bytes[..PART]).send().await;
    let other = content(PART + 1);
    let asked = json!({ "operation": "upload", "objects": objects(&[&other]) });
    let full = fixture.batch("alice", "alice/tools", &asked).await.json();
    assert_eq!(full["objects"][0]["error"]["code"], json!(507));
    let mut wrong = bytes[PART..].to_vec();
    wrong[0] ^= 1;
    assert_eq!(patch(&fixture, &actions, PART as u64).body(&wrong).send().await.status, 422);
    let free = fixture.batch("alice", "alice/tools", &asked).await.json();
    assert!(free["objects"][0]["actions"].is_object(), "{free}");
}
