//! What a repository and its owner use, added up after each push, and who is told when a quota fills.

use hakata_names::{EventId, RepositoryId};
use hakata_store::events::{self, Event};
use hakata_store::repositories::{self, Recounted, Usage};
use hakata_store::{Conn, StoreError};
use serde_json::json;

use crate::mail::{Addressees, Matter, Notices, Reason};
use crate::{Error, Forge};

/// Percentages of a quota that somebody is told of, once each time they are reached.
const LEVELS: [i64; 3] = [100, 90, 80];

/// One quota that reached another percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reached {
    of: &'static str,
    level: i64,
    used_bytes: i64,
    limit_bytes: i64,
}

impl Forge {
    /// Adds up what a repository and its owner use. A quota of which 80, 90 or 100 % are reached makes an event; one
    /// that is emptier again may make the event another time. Nothing happens if the repository is gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recount_usage(&self, id: RepositoryId) -> Result<(), Error> {
        let default = i64::try_from(self.settings().repository_quota.bytes()).unwrap_or(i64::MAX);
        let event_ids: Vec<EventId> = self.ids().next_many(2).await?;
        let (at, event_ids) = (self.clock().now_ms(), &event_ids);
        // Prepared only where somebody is to be told, which is rare.
        let mut prepared = self.has_no_mail().then(Prepared::default);
        loop {
            let notices = prepared.as_ref();
            let counted = self.db().transaction(|tx| {
                Box::pin(async move {
                    let Some(counted) = repositories::recount(tx, id).await? else { return Ok(None) };
                    let told = tell(tx, id, counted, default, at, event_ids, notices).await?;
                    Ok::<_, StoreError>(Some((counted, told)))
                })
            });
            let Some((counted, told)) = counted.await? else { return Ok(()) };
            for (of, usage) in [("repository", counted.repository), ("owner", counted.owner)] {
                if usage.was_bytes != usage.used_bytes {
                    let (was, is) = (usage.was_bytes, usage.used_bytes);
                    tracing::warn!(
                        repository.id = id.get(),
                        of,
                        was,
                        is,
                        "a size was wrong and is corrected"
                    );
                }
            }
            match told {
                Told::Everybody(written) => {
                    written.iter().for_each(Notices::count);
                    return Ok(());
                }
                Told::Unprepared => prepared = Some(self.prepare_quota_notices(id).await?),
            }
        }
    }

    /// Prepares what those who answer for a repository are told, but for the numbers.
    async fn prepare_quota_notices(&self, id: RepositoryId) -> Result<Prepared, Error> {
        let keepers = self.keepers_of_repository(id).await?;
        let matter = Reached { of: "repository", level: 0, used_bytes: 0, limit_bytes: 0 }.matter();
        let prepare = async || {
            let to = Addressees::by(Some(id), None).and(keepers.iter().copied(), Reason::Owner);
            self.notices(&matter, None, to).await
        };
        Ok(Prepared { repository: prepare().await?, owner: prepare().await? })
    }
}

/// Notices about both quotas, whose numbers are filled in when they are known.
#[derive(Debug, Default)]
struct Prepared {
    repository: Notices,
    owner: Notices,
}

/// How far telling of a count came.
enum Told {
    /// Everybody is told; what was written for readers.
    Everybody(Vec<Notices>),
    /// Nothing was written: there is somebody to tell, for whom nothing is prepared.
    Unprepared,
}

impl Reached {
    fn matter(self) -> Matter {
        let Self { of, level, used_bytes, limit_bytes } = self;
        Matter::Quota { of: of.to_owned(), percent: level, used_bytes, limit_bytes }
    }
}

/// Writes the events of a count, and what was told.
async fn tell(
    conn: &mut Conn,
    id: RepositoryId,
    counted: Recounted,
    default: i64,
    at: i64,
    event_ids: &[EventId],
    prepared: Option<&Prepared>,
) -> Result<Told, StoreError> {
    let levels = (level(counted.repository, Some(default)), level(counted.owner, None));
    if levels == (counted.repository.level, counted.owner.level) {
        return Ok(Told::Everybody(Vec::new()));
    }
    let Some(prepared) = prepared else { return Ok(Told::Unprepared) };
    let mut written = Vec::new();
    repositories::set_quota_levels(conn, id, counted.owner_id, levels).await?;
    let risen = |of, usage: Usage, level, default: Option<i64>| {
        let limit_bytes = usage.quota_bytes.or(default)?;
        (level > usage.level).then_some(Reached { of, level, used_bytes: usage.used_bytes, limit_bytes })
    };
    let reached = [
        risen("repository", counted.repository, levels.0, Some(default)),
        risen("owner", counted.owner, levels.1, None),
    ];
    for (reached, event) in reached.into_iter().flatten().zip(event_ids) {
        let Reached { of, level, used_bytes, limit_bytes } = reached;
        let payload =
            json!({ "of": of, "percent": level, "used_bytes": used_bytes, "limit_bytes": limit_bytes });
        let event = Event {
            id: *event,
            repository: id,
            version: counted.version,
            kind: "quota".to_owned(),
            actor: None,
            at,
            payload: payload.to_string(),
        };
        events::append(conn, &event).await?;
        let notices = if of == "owner" { &prepared.owner } else { &prepared.repository };
        let notices = notices.about(&reached.matter(), &format!("quota:{}", event.id));
        notices.write(conn).await?;
        written.push(notices);
    }
    Ok(Told::Everybody(written))
}

/// The greatest percentage to tell of that is reached; 0: none.
fn level(usage: Usage, default: Option<i64>) -> i64 {
    let Some(limit) = usage.quota_bytes.or(default) else { return 0 };
    let reached = |level: &i64| {
        i128::from(usage.used_bytes) * 100 >= i128::from(limit) * i128::from(*level) && usage.used_bytes > 0
    };
    LEVELS.into_iter().find(reached).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Usage, level};

    #[test]
    fn levels_are_reached_exactly() {
        let usage = |used_bytes, quota_bytes| Usage { was_bytes: 0, used_bytes, quota_bytes, level: 0 };
        for (used, quota, wanted) in [
            (79, Some(100), 0),
            (80, Some(100), 80),
            (90, Some(100), 90),
            (99, Some(100), 90),
            (100, Some(100), 100),
            (500, Some(100), 100),
            (0, Some(0), 0),
            (1, Some(0), 100),
            (900, None, 90),
        ] {
            assert_eq!(level(usage(used, quota), Some(1_000)), wanted, "{used} of {quota:?}");
        }
        assert_eq!(level(usage(i64::MAX, None), None), 0, "no quota, no level");
        assert_eq!(level(usage(i64::MAX, Some(i64::MAX)), None), 100, "without overflow");
    }
}
