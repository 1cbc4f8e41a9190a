//! Step 5: the rows that tell of the change.

use hakata_names::{EventId, JobId, RefName, RepositoryId};
use hakata_store::events::Event;
use hakata_store::jobs::NewJob;
use hakata_store::ref_log::Occasion;
use hakata_store::refs::RefMove;
use hakata_store::{Conn, StoreError, events, jobs, ref_log};
use serde_json::{Value, json};

use crate::prepared::Intent;

/// Moves that are spelled out in an event; the log has them all.
const MAX_SPELLED_OUT: usize = 100;

/// The kinds of jobs that follow a change, and whether one of a kind is enough for several changes.
const KINDS: [(&str, Sharing); 4] = [
    ("commits", Sharing::EachChange),
    ("disk_usage", Sharing::Repository),
    ("fan_out", Sharing::Repository),
    ("maintain", Sharing::Repository),
];

/// Row ids that were taken before the transaction began.
#[derive(Debug)]
pub(super) struct RowIds {
    pub(super) event: EventId,
    pub(super) jobs: Vec<JobId>,
}

/// How many jobs a change needs ids for.
pub(super) const N_JOBS: usize = KINDS.len();

/// Whether a waiting job does the work of a later change as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    EachChange,
    Repository,
}

/// What all rows of one change have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    pub(super) repository: RepositoryId,
    pub(super) version: i64,
    pub(super) intent: &'a Intent,
    pub(super) at: i64,
    pub(super) ids: &'a RowIds,
}

/// Writes log, event and jobs.
pub(super) async fn write(conn: &mut Conn, change: Change<'_>, moves: &[RefMove]) -> Result<(), StoreError> {
    let Change { repository, version, intent, at, ids } = change;
    let reason = intent.reason.name();
    let occasion = Occasion { repository, version, actor: intent.actor, reason, at };
    ref_log::append(conn, occasion, moves).await?;
    let payload = payload(moves, intent.default_ref.as_ref()).to_string();
    let event = Event {
        id: ids.event,
        repository,
        version,
        kind: reason.to_owned(),
        actor: intent.actor,
        at,
        payload,
    };
    events::append(conn, &event).await?;
    if moves.is_empty() {
        return Ok(());
    }
    for ((kind, sharing), id) in KINDS.iter().zip(&ids.jobs) {
        let dedupe = (*sharing == Sharing::Repository).then(|| format!("{kind}:{repository}"));
        let job = NewJob {
            repository: Some(repository),
            event: Some(ids.event),
            dedupe: dedupe.as_deref(),
            ..NewJob::new(*id, kind, at)
        };
        jobs::enqueue(conn, &job).await?;
    }
    Ok(())
}

fn payload(moves: &[RefMove], default_ref: Option<&RefName>) -> Value {
    let refs: Vec<Value> = moves.iter().take(MAX_SPELLED_OUT).map(spell_out).collect();
    let mut payload = json!({ "n_refs": moves.len(), "refs": refs });
    if let Some(name) = default_ref {
        payload["default_ref"] = text(name);
    }
    payload
}

fn spell_out(moved: &RefMove) -> Value {
    json!({
        "name": text(&moved.name),
        "old": moved.old.map(|oid| oid.to_string()),
        "new": moved.new.map(|oid| oid.to_string()),
    })
}

/// Writes a ref name as JSON text; bytes that are not UTF-8 are replaced, which the log does not do.
fn text(name: &RefName) -> Value {
    String::from_utf8_lossy(name.as_bytes()).into_owned().into()
}
