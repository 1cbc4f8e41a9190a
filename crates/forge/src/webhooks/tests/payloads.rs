//! What each format says of the same push.

use hakata_names::WebhookId;
use hakata_store::DeliveryState;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::Told;
use super::receiver::{Got, Receiver};
use crate::jobs::Outcome;
use crate::webhooks::news::hex;

/// Pushes two commits to a new `main` and then a third, and gives the last push as one webhook got it.
async fn third_commit(more: Value) -> (Got, [String; 2]) {
    let told = Told::new().await;
    let dir = told.world.work_tree("w");
    told.world.commit(&dir, "two");
    told.push(&dir, &["main"]).await;
    told.fan_out().await;
    let mut receiver = Receiver::answering(&["200 OK"]).await;
    let hook = told.add(&receiver.url(), more).await;
    std::fs::write(dir.join("one"), "changed").unwrap();
    std::fs::remove_file(dir.join("two")).unwrap();
    told.world.commit(&dir, "drei\n\nGrüße");
    told.push(&dir, &["main"]).await;
    told.fan_out().await;
    let deliveries = told.deliveries(hook).await;
    assert_eq!(deliveries.len(), 1, "one push, nothing of what was before the webhook");
    assert_eq!(told.deliver(deliveries[0].id).await, Outcome::Finish);
    assert_eq!(told.deliveries(hook).await[0].state, DeliveryState::Delivered);
    let oids = ["main~1", "main"].map(|name| told.world.git(&dir, &["rev-parse", name]));
    (receiver.got(), oids)
}

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(body.as_bytes());
    hex(&mac.finalize().into_bytes())
}

#[tokio::test]
async fn gitea_is_told_with_headers_for_three() {
    let (got, [old, new]) = third_commit(json!({})).await;
    let signed = signature(&got.body);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-gitea-event", "push"),
        ("x-gogs-event", "push"),
        ("x-github-event", "push"),
        ("x-hakata-event", "push"),
        ("x-hakata-attempt", "1"),
        ("x-gitea-signature", &signed),
        ("x-gogs-signature", &signed),
        ("x-hub-signature-256", &format!("sha256={signed}")),
        ("x-signature", &format!("sha256={signed}")),
    ] {
        assert_eq!(got.headers[name], value, "{name}");
    }
    assert_eq!(got.headers["x-gitea-delivery"], got.headers["x-github-delivery"]);
    assert_eq!(got.headers["x-gitea-delivery"].len(), 36);
    let body = got.json();
    assert_eq!(
        (&body["ref"], &body["before"], &body["after"]),
        (&json!("refs/heads/main"), &json!(old), &json!(new))
    );
    assert_eq!(body["total_commits"], 1);
    let commit = &body["commits"][0];
    assert_eq!(commit, &body["head_commit"]);
    assert_eq!(commit["id"], json!(new));
    assert_eq!(commit["message"], "drei\n\nGrüße\n");
    assert_eq!(commit["modified"], json!(["one"]));
    assert_eq!(commit["removed"], json!(["two"]));
    assert_eq!(commit["added"].as_array().unwrap().len(), 1, "the file that is named after the message");
    assert_eq!(commit["timestamp"], "2023-11-14T22:13:20+00:00");
    assert_eq!(commit["author"], json!({ "name": "Test", "email": "test@example.org", "username": "" }));
    assert_eq!(body["repository"]["full_name"], "alice/tools");
    assert_eq!(body["repository"]["clone_url"], "http://127.0.0.1:3000/alice/tools.git");
    assert_eq!(body["repository"]["private"], true);
    assert_eq!(body["pusher"]["login"], "alice");
    assert_eq!(body["compare_url"], format!("http://127.0.0.1:3000/alice/tools/compare/{old}...{new}"));
}

#[tokio::test]
async fn github_is_told_in_a_form() {
    let (got, [old, new]) = third_commit(json!({ "format": "github", "content_type": "form" })).await;
    assert_eq!(got.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(got.headers["x-hub-signature-256"], format!("sha256={}", signature(&got.body)));
    assert!(!got.headers.contains_key("x-gitea-event"));
    let field = got.body.strip_prefix("payload=").unwrap().replace('+', " ");
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&body["before"], &body["after"]), (&json!(old), &json!(new)));
    assert_eq!(
        (&body["created"], &body["deleted"], &body["forced"]),
        (&json!(false), &json!(false), &json!(false))
    );
    assert_eq!(body["head_commit"]["id"], json!(new));
    assert_eq!(body["repository"]["owner"]["login"], "alice");
    assert_eq!(body["pusher"]["email"], "alice@noreply.127.0.0.1");
}

#[tokio::test]
async fn backlog_is_told_an_activity() {
    let (got, [_, new]) = third_commit(json!({ "format": "backlog" })).await;
    let body = got.json();
    assert_eq!(body["type"], 12);
    assert_eq!(body["content"]["change_type"], "update");
    assert_eq!(body["content"]["revision_count"], 1);
    assert_eq!(body["content"]["revisions"], json!([{ "rev": new, "comment": "drei\n\nGrüße\n" }]));
    assert_eq!(body["project"]["projectKey"], "alice");
    assert_eq!(body["createdUser"]["name"], "alice");
}

#[tokio::test]
async fn slack_is_told_a_sentence() {
    let (got, [old, new]) = third_commit(json!({ "format": "slack" })).await;
    let base = "http://127.0.0.1:3000/alice/tools";
    let short = &new[..10];
    let expected = format!(
        "<{base}|alice/tools>: alice pushed to branch main, <{base}/compare/{old}...{new}|1 commit>\n\
         <{base}/commit/{new}|{short}> drei — Test"
    );
    assert_eq!(got.json(), json!({ "text": expected }));
}

/// Tells what was made for each webhook, as `kind ref` in order.
async fn kinds(told: &Told, id: WebhookId) -> Vec<String> {
    let deliveries = told.deliveries(id).await;
    for one in &deliveries {
        let lane = deliveries.iter().filter(|other| other.lane == one.lane).map(|other| other.sequence);
        assert!(lane.is_sorted(), "sequences of a ref rise with time");
    }
    let shown = |name: &hakata_names::RefName| String::from_utf8_lossy(name.short()).into_owned();
    deliveries
        .iter()
        .map(|one| format!("{} {}", one.kind, one.ref_name.as_ref().map_or("-".into(), shown)))
        .collect()
}

#[tokio::test]
async fn new_and_gone_refs_are_told_of_as_each_format_has_it() {
    let told = Told::new().await;
    let url = "http://127.0.0.1:1/";
    let gitea = told.add(url, json!({})).await;
    let github = told.add(url, json!({ "format": "github" })).await;
    let slack = told.add(url, json!({ "format": "slack" })).await;
    let deletes = told.add(url, json!({ "format": "backlog", "events": ["delete"] })).await;
    let releases = told.add(url, json!({ "events": ["push"], "branches": "release/*" })).await;
    let dir = told.world.work_tree("w");
    told.push(&dir, &["main", "main:refs/heads/release/1", "main:refs/tags/v1", "main:refs/notes/x"]).await;
    told.fan_out().await;
    told.push(&dir, &[":refs/heads/release/1"]).await;
    told.fan_out().await;
    assert_eq!(
        kinds(&told, gitea).await,
        [
            "create main",
            "push main",
            "create release/1",
            "push release/1",
            "create v1",
            "push v1",
            "delete release/1"
        ]
    );
    assert_eq!(kinds(&told, github).await.split_off(6), ["push release/1", "delete release/1"]);
    assert_eq!(kinds(&told, slack).await, ["push main", "push release/1", "push v1", "push release/1"]);
    assert_eq!(kinds(&told, deletes).await, ["delete release/1"]);
    assert_eq!(kinds(&told, releases).await, ["push release/1", "push v1"]);
}

#[tokio::test]
async fn a_forced_push_says_so_and_lists_only_what_is_new() {
    let told = Told::new().await;
    let dir = told.world.work_tree("w");
    told.world.commit(&dir, "two");
    told.push(&dir, &["main"]).await;
    told.fan_out().await;
    let mut receiver = Receiver::answering(&["200 OK"]).await;
    let hook = told.add(&receiver.url(), json!({ "format": "github" })).await;
    told.world.git(&dir, &["reset", "-q", "--hard", "HEAD~1"]);
    told.world.commit(&dir, "zwei");
    told.push(&dir, &["--force", "main"]).await;
    told.fan_out().await;
    let id = told.deliveries(hook).await[0].id;
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    let body = receiver.got().json();
    assert_eq!(body["forced"], true);
    assert_eq!(body["commits"].as_array().unwrap().len(), 1);
}
