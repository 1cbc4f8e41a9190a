//! Claims jobs as long as there are any and there is room, and starts them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hakata_forge::Error;
use hakata_forge::jobs::Kind;
use hakata_names::JobId;
use hakata_runtime::tasks::Tasks;
use tokio::time::Instant;

use crate::handlers::Handler;
use crate::metrics::{CLAIM_FAILURES, PASSED};
use crate::rabbit::{Mail, Message};
use crate::run;
use crate::worker::{Shared, Source};

/// Pause after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long messages stay unacknowledged whose jobs could not be claimed, so that the broker sends no others meanwhile.
const BEFORE_MORE: Duration = Duration::from_secs(1);

/// The most jobs that one claim names.
const MOST_NAMED: usize = 128;

/// When to look at a kind again though nobody told of it.
type Alarms = BTreeMap<Kind, Instant>;

pub(crate) fn start(shared: &Arc<Shared>, tasks: &Tasks) {
    shared.inbox.tell(shared.handlers.kinds());
    let (shared, tasks, drain) = (shared.clone(), tasks.clone(), tasks.cancel_token());
    drop(tasks.clone().spawn("worker.dispatch", async move {
        let mut alarms = Alarms::new();
        while let Some(kinds) = drain.run_until_cancelled(news(&shared, &mut alarms)).await {
            for kind in kinds {
                let Some(handler) = shared.handlers.find(kind) else { continue };
                if drain.is_cancelled() {
                    return;
                }
                look_at(&shared, &tasks, kind, handler, &mut alarms).await;
            }
        }
    }));
}

/// Waits for kinds to look at.
async fn news(shared: &Shared, alarms: &mut Alarms) -> BTreeSet<Kind> {
    let first = alarms.values().min().copied();
    let alarm = async {
        match first {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        kinds = shared.inbox.take() => kinds,
        () = alarm => {
            let now = Instant::now();
            let rung: BTreeSet<Kind> =
                alarms.iter().filter(|(_, at)| **at <= now).map(|(kind, _)| *kind).collect();
            alarms.retain(|kind, _| !rung.contains(kind));
            rung
        }
    }
}

/// Claims once for a kind. If there was something, the kind's turn comes again after the others'.
async fn look_at(shared: &Arc<Shared>, tasks: &Tasks, kind: Kind, handler: &Handler, alarms: &mut Alarms) {
    let limit = shared.settings.limit(kind);
    let room = limit.saturating_sub(shared.n_running(kind));
    if room == 0 {
        // Whoever ends tells of the kind.
        return;
    }
    let looked = match &shared.source {
        Source::Table => claim(shared, tasks, kind, handler, room, alarms).await,
        Source::Broker { mail, .. } => claim_told(shared, tasks, mail, kind, handler, room).await,
    };
    if let Err(error) = looked {
        CLAIM_FAILURES.inc();
        tracing::warn!(job.kind = %kind, error = error.chain(), "claiming jobs");
        alarms.insert(kind, Instant::now() + AFTER_FAILURE);
    }
}

/// Claims from the table.
async fn claim(
    shared: &Arc<Shared>,
    tasks: &Tasks,
    kind: Kind,
    handler: &Handler,
    room: usize,
    alarms: &mut Alarms,
) -> Result<(), Error> {
    let claimed = shared.queue.claim(kind, &handler.rules, shared.settings.limit(kind), room).await?;
    if claimed.is_empty() {
        match shared.queue.next_due(kind).await {
            Ok(Some(after)) => drop(alarms.insert(kind, Instant::now() + after)),
            Ok(None) => drop(alarms.remove(&kind)),
            Err(_) => drop(alarms.insert(kind, Instant::now() + AFTER_FAILURE)),
        }
        return Ok(());
    }
    for job in claimed {
        run::start(shared, tasks, handler, job, None);
    }
    shared.inbox.tell([kind]);
    Ok(())
}

/// Claims what messages named, and what they named before in vain.
async fn claim_told(
    shared: &Arc<Shared>,
    tasks: &Tasks,
    mail: &Mail,
    kind: Kind,
    handler: &Handler,
    room: usize,
) -> Result<(), Error> {
    let mut messages = mail.take(kind, room.min(MOST_NAMED));
    let named: Vec<JobId> = messages.iter().map(|message| message.job).collect();
    let limit = shared.settings.limit(kind);
    let told = match shared.queue.claim_told(kind, &handler.rules, limit, room, &named).await {
        Ok(told) => told,
        Err(error) => {
            mail.put_back(kind, messages);
            return Err(error);
        }
    };
    if !told.jobs.is_empty() || !mail.is_empty(kind) {
        shared.inbox.tell([kind]);
    }
    for job in told.jobs {
        let at = messages.iter().position(|message| message.job == job.job.id);
        run::start(shared, tasks, handler, job, at.map(|at| messages.swap_remove(at)));
    }
    PASSED.get(kind).add(told.n_passed);
    // As long as there is no room, messages come slowly instead of all at once to be turned into rows.
    let pause = if told.n_passed > 0 { BEFORE_MORE } else { Duration::ZERO };
    if !messages.is_empty() {
        let drain = tasks.cancel_token();
        drop(tasks.spawn("worker.acknowledge", async move {
            drain.run_until_cancelled(tokio::time::sleep(pause)).await;
            futures_util::future::join_all(messages.into_iter().map(Message::acknowledge)).await;
        }));
    }
    Ok(())
}
