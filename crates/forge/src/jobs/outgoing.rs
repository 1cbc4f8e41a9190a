//! Events as other programs are told of them.

use std::time::Duration;

use hakata_names::{EventId, RepositoryId};
use hakata_store::StoreError;
use hakata_store::events::{self, Event};
use hakata_store::{repositories, users};
use serde_json::{Value, json};

use super::Queue;
use super::queue::millis;
use crate::Error;

/// The version of [`Outgoing::body`]. It rises when something in it changes its meaning or goes; what is added changes
/// nothing.
const SCHEMA: u32 = 1;

/// One event, ready to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id.
    pub id: EventId,
    /// What happened, in a word: `push`, …
    pub kind: String,
    /// A JSON object; `docs/events.md` explains it.
    pub body: String,
}

/// Events that this relay is telling.
#[derive(Debug)]
pub struct UntoldEvents {
    /// What to tell, in the order in which it happened.
    pub events: Vec<Outgoing>,
    until: i64,
}

impl Queue {
    /// Takes up to `most` events that nobody was told of and that are no older than `age`. No other relay takes them
    /// for the given time; then they are up again unless they are told by then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_untold_events(
        &self,
        most: usize,
        age: Duration,
        lasting: Duration,
    ) -> Result<UntoldEvents, Error> {
        let (now, age_ms, lasting_ms) = (self.now(), millis(age), millis(lasting));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let taken = self
            .forge
            .db()
            .transaction(|tx| Box::pin(events::take_untold(tx, now, age_ms, lasting_ms, most)));
        let (taken, until) = taken.await.map_err(|error: StoreError| Error::from(error))?;
        let mut outgoing = Vec::with_capacity(taken.len());
        for event in taken {
            outgoing.push(self.outgoing(event).await?);
        }
        Ok(UntoldEvents { events: outgoing, until })
    }

    /// Forgets that events are to be told: they are, or `after` says when to try again.
    ///
    /// # Errors
    /// When the database does not answer; then they are told again.
    pub async fn told_events(
        &self,
        taken: &UntoldEvents,
        ids: &[EventId],
        after: Option<Duration>,
    ) -> Result<(), Error> {
        let (until, after_ms) = (taken.until, after.map(millis));
        let told = self
            .forge
            .db()
            .transaction(|tx| Box::pin(async move { events::told(tx, ids, until, after_ms).await }));
        told.await.map(drop).map_err(|error: StoreError| Error::from(error))
    }

    async fn outgoing(&self, event: Event) -> Result<Outgoing, Error> {
        let mut conn = self.forge.db().read().await?;
        let path = repositories::find(&mut conn, event.repository)
            .await?
            .map(|found| format!("{}/{}", found.owner_name, found.name));
        let actor = match event.actor {
            Some(id) => users::find(&mut conn, id).await?.map(|user| (id, user.owner.name.to_string())),
            None => None,
        };
        let body = body(
            &event,
            event.repository,
            path.as_deref(),
            actor.as_ref().map(|(id, name)| (id.get(), name.as_str())),
        );
        Ok(Outgoing { id: event.id, kind: event.kind, body: body.to_string() })
    }
}

/// Writes what is told. Ids are texts, as everywhere in JSON for programs.
fn body(event: &Event, repository: RepositoryId, path: Option<&str>, actor: Option<(i64, &str)>) -> Value {
    let at = jiff::Timestamp::from_millisecond(event.at).map_or(Value::Null, |at| at.to_string().into());
    // What was stored is JSON that we wrote.
    let details: Value = serde_json::from_str(&event.payload).unwrap_or(Value::Null);
    json!({
        "schema": SCHEMA,
        "id": event.id.to_string(),
        "event": event.kind,
        "at": at,
        "repository": { "id": repository.to_string(), "path": path, "version": event.version },
        "actor": actor.map(|(id, name)| json!({ "id": id.to_string(), "name": name })),
        "details": details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_in_json() {
        let event = Event {
            id: EventId::new(4_711),
            repository: RepositoryId::new(12),
            version: 7,
            kind: "push".to_owned(),
            actor: None,
            at: 1_700_000_000_123,
            payload: r#"{"n_refs":1,"refs":[]}"#.to_owned(),
        };
        let told = body(&event, event.repository, Some("alice/tools"), Some((3, "alice")));
        let wanted = json!({
            "schema": 1,
            "id": "4711",
            "event": "push",
            "at": "2023-11-14T22:13:20.123Z",
            "repository": { "id": "12", "path": "alice/tools", "version": 7 },
            "actor": { "id": "3", "name": "alice" },
            "details": { "n_refs": 1, "refs": [] },
        });
        assert_eq!(told, wanted);
        let told = body(&event, event.repository, None, None);
        assert_eq!((&told["repository"]["path"], &told["actor"]), (&Value::Null, &Value::Null));
    }
}
