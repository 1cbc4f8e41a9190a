//! Webhooks: found by what they are about, paused and resumed without losing anything, told of each event once.

use hakata_names::{DeliveryId, EventId, RepositoryId, WebhookId};
use hakata_store::page::PageSize;
use hakata_store::webhooks::deliveries::{self, Attempt, Delivery};
use hakata_store::webhooks::{self, Webhook, cursor};
use hakata_store::{DeliveryState, on_every_engine, repositories, users};

use crate::fixture::{self, Fixture, oid, ref_name};

fn webhook(id: i64, repository: Option<RepositoryId>) -> Webhook {
    Webhook {
        id: WebhookId::new(id),
        repository,
        owner: None,
        url: "https://hooks.example.org/é".to_owned(),
        secret: Some(vec![0, 255, 7]),
        format: "gitea".to_owned(),
        content_type: "json".to_owned(),
        events: "push create".to_owned(),
        branches: "release/*".to_owned(),
        is_active: true,
        paused: None,
        failing_since: None,
        created_at: 5,
    }
}

fn delivery(id: i64, webhook: i64) -> Delivery {
    Delivery {
        id: DeliveryId::new(id),
        guid: format!("guid-{id}"),
        webhook: WebhookId::new(webhook),
        event: Some(EventId::new(1)),
        kind: "push".to_owned(),
        repository: Some(RepositoryId::new(1)),
        ref_name: Some(ref_name(b"refs/heads/\xff")),
        old: None,
        new: Some(oid(2)),
        actor: None,
        at: 3,
        lane: "1:1:x".to_owned(),
        sequence: id,
        state: DeliveryState::Waiting,
        attempts: 0,
        give_up_at: None,
        created_at: id * 10,
        finished_at: None,
    }
}

on_every_engine! {
    /// A repository's own, its owner's and everybody's are about it; inactive and others' ones are not.
    async fn webhooks_are_found_by_what_they_are_about(database: TestDatabase) {
        let Fixture { db, ids, alice, tools } = Fixture::new(&database).await;
        let other = fixture::repository(&db, &ids, alice, "other").await;
        let conn = &mut db.write().await.unwrap();
        webhooks::insert(conn, &webhook(1, Some(tools))).await.unwrap();
        webhooks::insert(conn, &Webhook { owner: Some(alice.owner()), ..webhook(2, None) }).await.unwrap();
        webhooks::insert(conn, &webhook(3, None)).await.unwrap();
        webhooks::insert(conn, &webhook(4, Some(other))).await.unwrap();
        webhooks::insert(conn, &Webhook { is_active: false, ..webhook(5, Some(tools)) }).await.unwrap();
        let about = webhooks::list_about(conn, tools).await.unwrap();
        assert_eq!(about.iter().map(|hook| hook.id.get()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(about[0], webhook(1, Some(tools)), "it reads back as it was written");
        assert_eq!(webhooks::list_of_repository(conn, tools).await.unwrap().len(), 2);
        assert_eq!(webhooks::list_of_owner(conn, alice.owner()).await.unwrap().len(), 1);
        assert!(webhooks::delete(conn, WebhookId::new(3)).await.unwrap());
        assert!(!webhooks::delete(conn, WebhookId::new(3)).await.unwrap());
        assert_eq!(webhooks::list(conn, None, PageSize::new(2)).await.unwrap().next, Some(WebhookId::new(2)));
        assert_eq!(webhooks::count(conn).await.unwrap(), (4, 0));
    }

    /// Webhooks go with what they are about; a repository or an owner that has some can be erased.
    async fn webhooks_go_with_their_repository_and_owner(database: TestDatabase) {
        let Fixture { db, alice, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        webhooks::insert(conn, &webhook(1, Some(tools))).await.unwrap();
        webhooks::insert(conn, &Webhook { owner: Some(alice.owner()), ..webhook(2, None) }).await.unwrap();
        webhooks::insert(conn, &webhook(3, None)).await.unwrap();
        let listed = async |conn: &mut _| -> Vec<i64> {
            let page = webhooks::list(conn, None, PageSize::default()).await.unwrap();
            page.rows.iter().map(|hook| hook.id.get()).collect()
        };
        assert!(!users::delete(conn, alice).await.unwrap(), "she owns a repository");
        assert_eq!(listed(conn).await, [1, 2, 3], "a refusal deletes nothing");
        assert!(repositories::remove_unused(conn, tools).await.unwrap());
        assert_eq!(listed(conn).await, [2, 3]);
        assert!(users::delete(conn, alice).await.unwrap());
        assert_eq!(listed(conn).await, [3]);
    }

    /// A pause begins and ends once; the first failure counts until a success.
    async fn pauses_and_failures_are_noted_once(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let id = WebhookId::new(1);
        webhooks::insert(conn, &webhook(1, Some(tools))).await.unwrap();
        assert!(!webhooks::lock_paused(conn, id).await.unwrap());
        assert!(webhooks::pause(conn, id, 70, "gone").await.unwrap());
        assert!(!webhooks::pause(conn, id, 80, "failing").await.unwrap(), "the first reason stays");
        assert!(webhooks::lock_paused(conn, id).await.unwrap());
        let paused = webhooks::find(conn, id).await.unwrap().unwrap().paused.unwrap();
        assert_eq!((paused.at, paused.reason.as_str()), (70, "gone"));
        webhooks::note_failure(conn, id, 60).await.unwrap();
        webhooks::note_failure(conn, id, 90).await.unwrap();
        assert_eq!(webhooks::find(conn, id).await.unwrap().unwrap().failing_since, Some(60));
        assert!(webhooks::resume(conn, id).await.unwrap());
        assert!(!webhooks::resume(conn, id).await.unwrap());
        let resumed = webhooks::find(conn, id).await.unwrap().unwrap();
        assert_eq!((resumed.paused, resumed.failing_since), (None, None));
    }

    /// The cursor moves from where its mover saw it, and for one of two.
    async fn a_cursor_moves_once(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        assert_eq!(cursor::read(conn, tools).await.unwrap(), 0);
        assert!(cursor::advance(conn, tools, 0, 3).await.unwrap());
        assert!(!cursor::advance(conn, tools, 0, 3).await.unwrap());
        assert!(!cursor::advance(conn, tools, 2, 4).await.unwrap());
        assert!(cursor::advance(conn, tools, 3, 4).await.unwrap());
        assert_eq!(cursor::read(conn, tools).await.unwrap(), 4);
    }

    /// A delivery keeps its first body, counts its attempts, ends once and can begin anew.
    async fn a_delivery_lives(database: TestDatabase) {
        let db = database.migrated().await;
        let conn = &mut db.write().await.unwrap();
        let all: Vec<Delivery> = (1..=3).map(|id| delivery(id, 1)).collect();
        deliveries::insert(conn, &all).await.unwrap();
        let id = DeliveryId::new(2);
        assert_eq!(deliveries::find(conn, id).await.unwrap(), Some(delivery(2, 1)));
        deliveries::keep_body(conn, id, b"first").await.unwrap();
        deliveries::keep_body(conn, id, b"second").await.unwrap();
        assert_eq!(deliveries::body(conn, id).await.unwrap().as_deref(), Some(&b"first"[..]));
        assert_eq!(deliveries::begin_attempt(conn, id, 500).await.unwrap(), Some((1, 500)));
        assert_eq!(deliveries::begin_attempt(conn, id, 900).await.unwrap(), Some((2, 500)), "the first word counts");
        let (from, to) = (DeliveryState::Waiting, DeliveryState::Delivered);
        assert!(deliveries::set_state(conn, id, from, to, 77).await.unwrap());
        assert!(!deliveries::set_state(conn, id, from, DeliveryState::Failed, 78).await.unwrap());
        assert_eq!(deliveries::begin_attempt(conn, id, 900).await.unwrap(), None, "it has ended");
        assert_eq!(deliveries::find(conn, id).await.unwrap().unwrap().finished_at, Some(77));
        assert!(deliveries::renew(conn, id).await.unwrap());
        assert!(!deliveries::renew(conn, id).await.unwrap());
        assert_eq!(deliveries::begin_attempt(conn, id, 900).await.unwrap(), Some((3, 900)));
        let page = deliveries::list(conn, WebhookId::new(1), None, PageSize::new(2)).await.unwrap();
        assert_eq!(page.rows.iter().map(|row| row.id.get()).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(deliveries::count_in(conn, WebhookId::new(1), from).await.unwrap(), 3);
        let since = deliveries::list_in(conn, WebhookId::new(1), from, 20, PageSize::MAX).await.unwrap();
        assert_eq!(since.iter().map(|row| row.id.get()).collect::<Vec<_>>(), [2, 3]);
    }

    /// Attempts are recorded once each and go with their delivery.
    async fn attempts_go_with_their_delivery(database: TestDatabase) {
        let db = database.migrated().await;
        let conn = &mut db.write().await.unwrap();
        deliveries::insert(conn, &[delivery(1, 1), delivery(2, 1)]).await.unwrap();
        let attempt = Attempt {
            delivery: DeliveryId::new(1),
            number: 1,
            at: 9,
            url: "http://x/".to_owned(),
            request_headers: "A: b".to_owned(),
            status: Some(503),
            response_headers: Some(String::new()),
            response_body: Some(vec![0; 65_536]),
            error: None,
            timings: "{}".to_owned(),
        };
        deliveries::record(conn, &attempt).await.unwrap();
        deliveries::record(conn, &Attempt { status: None, ..attempt.clone() }).await.unwrap();
        assert_eq!(deliveries::attempts(conn, DeliveryId::new(1)).await.unwrap(), [attempt]);
        assert_eq!(deliveries::prune(conn, 20).await.unwrap(), 1);
        assert_eq!(deliveries::attempts(conn, DeliveryId::new(1)).await.unwrap(), []);
        assert!(deliveries::find(conn, DeliveryId::new(2)).await.unwrap().is_some());
    }
}
