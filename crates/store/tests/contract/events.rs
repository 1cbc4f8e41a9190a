//! Events: kept as they were, newest first.

use hakata_names::EventId;
use hakata_store::events::{self, Event};
use hakata_store::on_every_engine;
use hakata_store::page::PageSize;

use crate::fixture::Fixture;

/// Longer than a test lasts, in ms.
const LONG: i64 = 3_600_000;

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
                at: id * 10 * LONG,
                payload: "{}".to_owned(),
            };
            events::append(&mut db.write().await.unwrap(), &event).await.unwrap();
        }
        let take = async |lasting_ms, most| {
            let taken = db.transaction(|tx| Box::pin(events::take_untold(tx, 100 * LONG, 85 * LONG, lasting_ms, most))).await;
            let (taken, until) = taken.unwrap();
            (taken.into_iter().map(|event| event.id.get()).collect::<Vec<i64>>(), until)
        };
        let told = async |id, until, again_after_ms| {
            let ids = [EventId::new(id)];
            events::told(&mut db.write().await.unwrap(), &ids, until, again_after_ms).await.unwrap()
        };
        let (first, until) = take(LONG, 2).await;
        assert_eq!(first, [2, 3], "the first is too old");
        let (last, until_of_last) = take(-1, 9).await;
        assert_eq!(last, [4], "the others are taken");
        assert_eq!(told(2, until, None).await, 1);
        assert_eq!(told(3, until, Some(0)).await, 1);
        assert_eq!(told(4, until + LONG, None).await, 0, "somebody else has it");
        let (again, until) = take(LONG, 9).await;
        assert_eq!(again, [4, 3], "its time was over, and one that was refused");
        assert_eq!(told(4, until_of_last, None).await, 0, "and is another's now");
        assert_eq!(told(4, until, None).await, 1);
        assert_eq!(take(LONG, 9).await.0, Vec::<i64>::new());
    }
}
