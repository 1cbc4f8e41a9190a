//! What becomes of deliveries: once each, tried again, held, ended.

use std::time::Duration;

use futures_util::future::join_all;
use hakata_store::DeliveryState::{Delivered, Failed, Held, Waiting};
use hakata_store::jobs;
use serde_json::json;

use super::receiver::Receiver;
use super::{Told, courier};
use crate::jobs::Outcome;

fn later(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Retry { after, .. } => *after,
        other => panic!("to be tried again, not {other:?}"),
    }
}

/// Pushes once to a repository with one webhook.
async fn pushed(url: &str) -> (Told, hakata_names::WebhookId, hakata_names::DeliveryId) {
    let told = Told::new().await;
    let hook = told.add(url, json!({ "events": ["push"] })).await;
    let dir = told.world.work_tree("w");
    told.push(&dir, &["main"]).await;
    told.fan_out().await;
    let deliveries = told.deliveries(hook).await;
    assert_eq!(deliveries.len(), 1);
    let id = deliveries[0].id;
    (told, hook, id)
}

#[tokio::test]
async fn each_event_is_turned_once_by_many() {
    let told = Told::new().await;
    let hook = told.add("http://127.0.0.1:1/", json!({ "events": ["push"] })).await;
    let dir = told.world.work_tree("w");
    for n in 0..5 {
        told.world.commit(&dir, &format!("c{n}"));
        told.push(&dir, &["main"]).await;
    }
    join_all((0..8).map(|_| told.fan_out())).await;
    let deliveries = told.deliveries(hook).await;
    assert_eq!(deliveries.len(), 5, "one delivery a push");
    assert!(deliveries.windows(2).all(|pair| pair[0].new == pair[1].old), "in the order of the pushes");
    let lanes: Vec<&str> = deliveries.iter().map(|one| one.lane.as_str()).collect();
    assert!(lanes.iter().all(|lane| *lane == lanes[0]), "they take turns");
}

/// Each asks the database for more than one connection on its way; none may keep one while it waits for the next.
#[tokio::test]
async fn more_deliveries_than_connections_do_not_wait_for_each_other() {
    let receiver = Receiver::answering(&["200 OK"]).await;
    let told = Told::new().await;
    let hook = told.add(&receiver.url(), json!({ "events": ["push"] })).await;
    let dir = told.world.work_tree("w");
    for n in 0..12 {
        told.world.commit(&dir, &format!("c{n}"));
        told.push(&dir, &["main"]).await;
    }
    told.fan_out().await;
    let deliveries = told.deliveries(hook).await;
    assert_eq!(deliveries.len(), 12, "twice as many as the database has connections here");
    let outcomes = join_all(deliveries.iter().map(|one| told.deliver(one.id))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Finish), "{outcomes:?}");
}

#[tokio::test]
async fn a_failure_is_tried_again_with_the_same_bytes() {
    let mut receiver = Receiver::answering(&[
        "500 Oops",
        "503 Busy\r\nRetry-After: 40",
        "429 Slow\r\nRetry-After: 7",
        "200 OK",
    ])
    .await;
    let (told, hook, id) = pushed(&receiver.url()).await;
    assert_eq!(later(&told.deliver(id).await), None);
    assert_eq!(later(&told.deliver(id).await), Some(Duration::from_secs(40)));
    assert_eq!(later(&told.deliver(id).await), Some(Duration::from_secs(7)));
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    let got: Vec<_> = (0..4).map(|_| receiver.got()).collect();
    assert!(got.iter().all(|one| one.body == got[0].body), "the same body");
    assert!(got.iter().all(|one| one.headers["x-gitea-delivery"] == got[0].headers["x-gitea-delivery"]));
    let attempts: Vec<&str> = got.iter().map(|one| one.headers["x-hakata-attempt"].as_str()).collect();
    assert_eq!(attempts, ["1", "2", "3", "4"]);
    let (delivery, body, attempts) = told.world.forge.get_delivery(hook, id).await.unwrap();
    assert_eq!(delivery.state, Delivered);
    assert_eq!(body.unwrap(), got[0].body.as_bytes());
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(503), Some(429), Some(200)]);
    assert!(attempts.iter().all(|one| one.request_headers.contains("x-gitea-signature: (hidden)")));
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    assert!(receiver.got_nothing(), "what was delivered is not sent again");
}

#[tokio::test]
async fn trying_ends() {
    let receiver = Receiver::answering(&["500 Oops"]).await;
    let (told, hook, id) = pushed(&receiver.url()).await;
    later(&told.deliver(id).await);
    told.world.clock.advance(Duration::from_secs(3 * 24 * 60 * 60 + 1));
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    assert_eq!(told.deliveries(hook).await[0].state, Failed);
    let row = told.world.forge.get_webhook(hook).await.unwrap();
    assert_eq!(row.paused.unwrap().reason, "failing", "days of failure pause it");
}

#[tokio::test]
async fn final_answers_are_final() {
    for answer in [&["404 Not Found"][..], &["302 Found\r\nLocation: http://127.0.0.1:1/"], &["401 No"]] {
        let answers: &'static [&'static str] = answer.to_vec().leak();
        let mut receiver = Receiver::answering(answers).await;
        let (told, hook, id) = pushed(&receiver.url()).await;
        assert_eq!(told.deliver(id).await, Outcome::Finish);
        assert_eq!(told.deliveries(hook).await[0].state, Failed, "{answer:?}");
        receiver.got();
        assert!(receiver.got_nothing());
        assert!(told.world.forge.get_webhook(hook).await.unwrap().paused.is_none());
    }
}

#[tokio::test]
async fn who_is_gone_is_paused_and_what_comes_is_held() {
    let mut receiver = Receiver::answering(&["410 Gone", "200 OK"]).await;
    let (told, hook, first) = pushed(&receiver.url()).await;
    assert_eq!(told.deliver(first).await, Outcome::Finish);
    let dir = told.world.path("w");
    for n in 0..3 {
        told.world.commit(&dir, &format!("c{n}"));
        told.push(&dir, &["main"]).await;
        told.fan_out().await;
    }
    let states: Vec<_> = told.deliveries(hook).await.iter().map(|one| one.state).collect();
    assert_eq!(states, [Failed, Held, Held, Held]);
    told.hook("resume", hook).await.unwrap();
    let deliveries = told.deliveries(hook).await;
    assert!(deliveries[1..].iter().all(|one| one.state == Waiting));
    let mut conn = told.world.forge.db().read().await.unwrap();
    let mut sequences = Vec::new();
    for id in 1..200 {
        if let Some(job) = jobs::find(&mut conn, id.into()).await.unwrap().filter(|job| job.kind == "webhook")
        {
            sequences.push(job.sequence.unwrap());
        }
    }
    drop(conn);
    assert_eq!(sequences.len(), 4, "one job for what was sent and three for what was held");
    assert!(sequences.is_sorted(), "in their order");
    for one in &deliveries[1..] {
        assert_eq!(told.deliver(one.id).await, Outcome::Finish);
    }
    receiver.got();
    let after: Vec<_> = (0..3).map(|_| receiver.got().json()["after"].clone()).collect();
    let expected = ["main~2", "main~1", "main"].map(|name| json!(told.world.git(&dir, &["rev-parse", name])));
    assert_eq!(after, expected);
}

#[tokio::test]
async fn a_waiting_delivery_of_a_paused_webhook_is_held() {
    let mut receiver = Receiver::answering(&["200 OK"]).await;
    let (told, hook, id) = pushed(&receiver.url()).await;
    told.hook("pause", hook).await.unwrap();
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    assert_eq!(told.deliveries(hook).await[0].state, Held);
    assert!(receiver.got_nothing());
    assert!(told.hook("pause", hook).await.is_err(), "it is paused already");
}

#[tokio::test]
async fn whether_it_may_be_told_is_asked_again() {
    let mut receiver = Receiver::answering(&["200 OK"]).await;
    let (told, hook, id) = pushed(&receiver.url()).await;
    let archive = json!({ "command": "repo", "action": "archive", "path": "alice/tools", "archived": true });
    told.world.admin(archive).await.unwrap();
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    let (delivery, _, attempts) = told.world.forge.get_delivery(hook, id).await.unwrap();
    assert_eq!(delivery.state, Failed);
    assert_eq!(attempts[0].error.as_deref(), Some("the repository was archived"));
    let (told, hook, id) = pushed(&receiver.url()).await;
    told.hook("remove", hook).await.unwrap();
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    assert!(receiver.got_nothing(), "nobody was told");
}

#[tokio::test]
async fn what_must_not_be_reached_is_not() {
    let mut receiver = Receiver::answering(&["200 OK"]).await;
    let (told, hook, id) = pushed(&receiver.url()).await;
    let strict = courier(&told.world, &[]);
    assert_eq!(strict.deliver(&format!("{{\"delivery\":{id}}}")).await, Outcome::Finish);
    assert!(receiver.got_nothing());
    let (delivery, _, attempts) = told.world.forge.get_delivery(hook, id).await.unwrap();
    assert_eq!(delivery.state, Failed, "no rule changes by itself");
    assert!(attempts[0].error.as_deref().unwrap().contains("loopback"));
}

#[tokio::test]
async fn a_delivery_can_be_sent_again_and_a_test_at_any_time() {
    let mut receiver = Receiver::answering(&["404 No", "200 OK"]).await;
    let (told, hook, id) = pushed(&receiver.url()).await;
    told.deliver(id).await;
    let first = receiver.got();
    let failed =
        json!({ "command": "hook", "action": "redeliver_failed", "id": hook.to_string(), "since_s": 60 });
    let again = told.world.admin(failed).await.unwrap();
    assert_eq!(again.objects()[0]["n_deliveries"], 1);
    assert_eq!(told.deliver(id).await, Outcome::Finish);
    let second = receiver.got();
    assert_eq!(first.headers["x-gitea-delivery"], second.headers["x-gitea-delivery"]);
    assert_eq!(first.body, second.body);
    told.hook("test", hook).await.unwrap();
    let test = told.deliveries(hook).await.pop().unwrap();
    assert_eq!(told.deliver(test.id).await, Outcome::Finish);
    let got = receiver.got();
    assert_eq!(got.headers["x-gitea-event"], "ping");
    assert_eq!(got.json()["repository"]["full_name"], "alice/tools");
}

#[tokio::test]
async fn a_secret_is_sealed_and_never_shown() {
    let told = Told::new().await;
    let hook = told.add("http://127.0.0.1:1/", json!({ "secret": "correct horse" })).await;
    let row = told.world.forge.get_webhook(hook).await.unwrap();
    let sealed = row.secret.unwrap();
    assert!(!sealed.windows(7).any(|part| part == b"correct"), "the row does not hold it");
    let opened = told.world.forge.open_secret(hook, &sealed).await.unwrap();
    assert_eq!(opened.expose(), b"correct horse");
    let other = hakata_names::WebhookId::new(hook.get() + 1);
    assert!(told.world.forge.open_secret(other, &sealed).await.is_err(), "a secret belongs to its webhook");
    let list = told.world.admin(json!({ "command": "hook", "action": "list" })).await.unwrap();
    assert!(!format!("{:?}", list.objects()).contains("horse"));
    assert_eq!(list.objects()[0]["signed"], true);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let told = Told::new().await;
    for (url, branches) in
        [("ftp://x/", None), ("http://a:b@x/", None), ("nonsense", None), ("http://x/", Some("a b"))]
    {
        let command = json!({
            "command": "hook", "action": "add", "place": "everywhere", "url": url, "format": "gitea",
            "content_type": "json", "events": ["push"], "branches": branches,
        });
        let error = told.world.admin(command).await.unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Invalid, "{url} {branches:?}");
    }
}
