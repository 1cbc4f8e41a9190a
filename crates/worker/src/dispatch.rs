//! Claims jobs as long as there are any and there is room, and starts them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hakata_forge::jobs::Kind;
use hakata_runtime::tasks::Tasks;
use tokio::time::Instant;

use crate::handlers::Handler;
use crate::metrics::CLAIM_FAILURES;
use crate::run;
use crate::worker::Shared;

/// Pause after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

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
    match shared.queue.claim(kind, &handler.rules, limit, room).await {
        Ok(claimed) if claimed.is_empty() => match shared.queue.next_due(kind).await {
            Ok(Some(after)) => drop(alarms.insert(kind, Instant::now() + after)),
            Ok(None) => drop(alarms.remove(&kind)),
            Err(_) => drop(alarms.insert(kind, Instant::now() + AFTER_FAILURE)),
        },
        Ok(claimed) => {
            for job in claimed {
                run::start(shared, tasks, handler, job);
            }
            shared.inbox.tell([kind]);
        }
        Err(error) => {
            CLAIM_FAILURES.inc();
            tracing::warn!(job.kind = %kind, error = error.chain(), "claiming jobs");
            alarms.insert(kind, Instant::now() + AFTER_FAILURE);
        }
    }
}
