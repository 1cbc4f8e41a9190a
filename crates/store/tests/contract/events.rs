//! Events: kept as they were, newest first.

use hakata_names::EventId;
use hakata_store::events::{self, Event};
use hakata_store::on_every_engine;
use hakata_store::page::PageSize;

use crate::fixture::Fixture;

on_every_engine! {
    /// Events come back newest first, with their payload as it was.
    async fn events_are_kept_in_order(database: TestDatabase) {
        let Fixture { db, tools, alice, .. } = Fixture::new(&database).await;
        let conn = &mut db.write().await.unwrap();
        let long = format!("{{\"refs\":\"{}\"}}", "é".repeat(100_000));
        for id in 1..=3 {
            let event = Event {
                id: EventId::new(id),
                repository: tools,
                version: 10 - id,
                kind: "push".to_owned(),
                actor: Some(alice),
                at: id,
                payload: long.clone(),
            };
            events::append(conn, &event).await.unwrap();
            assert!(events::find(conn, event.id).await.unwrap() == Some(event));
        }
        let first = events::list(conn, tools, None, PageSize::new(2)).await.unwrap();
        assert_eq!(first.rows.iter().map(|event| event.version).collect::<Vec<_>>(), [9, 8]);
        let rest = events::list(conn, tools, first.next, PageSize::new(2)).await.unwrap();
        assert_eq!(rest.rows.iter().map(|event| event.version).collect::<Vec<_>>(), [7]);
    }

    /// A broker is told of each event once it can be, by one relay, and of nothing that is too old.
    async fn relays_share_events(database: TestDatabase) {
        let Fixture { db, tools, .. } = Fixture::new(&database).await;
        for id in 1..=4 {
            let event = Event {
                id: EventId::new(id),
                repository: tools,
                version: id,
                kind: "push".to_owned(),
                actor: None,
                at: id * 100,
                payload: "{}".to_owned(),
            };
            events::append(&mut db.write().await.unwrap(), &event).await.unwrap();
        }
        let take = async |now, until, most| {
            let taken = db.transaction(|tx| Box::pin(events::take_untold(tx, 150, now, until, most))).await;
            taken.unwrap().into_iter().map(|event| event.id.get()).collect::<Vec<i64>>()
        };
        let told = async |id, until, again_at| {
            let ids = [EventId::new(id)];
            events::told(&mut db.write().await.unwrap(), &ids, until, again_at).await.unwrap()
        };
        assert_eq!(take(300, 1_000, 9).await, [2, 3], "the first is too old, the last is to come");
        assert_eq!(take(400, 1_100, 9).await, [4], "the others are taken");
        assert_eq!(told(2, 1_000, None).await, 1);
        assert_eq!(told(3, 1_000, Some(500)).await, 1);
        assert_eq!(told(4, 1_000, None).await, 0, "somebody else has it");
        assert_eq!(take(600, 1_200, 9).await, [3], "refused before");
        assert_eq!(take(2_000, 3_000, 1).await, [4], "never confirmed, the first of two");
        assert_eq!(take(2_000, 3_000, 9).await, [3]);
        assert_eq!(take(2_000, 3_000, 9).await, Vec::<i64>::new());
    }
}
