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
}
