//! How a worker hears of jobs without asking all the time.
//!
//! Jobs of this process are told by a channel, after their commit. Those of other processes come by NOTIFY on
//! PostgreSQL; on MariaDB and MySQL the queue is asked every [`Settings::poll`](crate::Settings). Where something is
//! told, the queue is asked every few seconds all the same, for what may have been missed.

use std::sync::Arc;
use std::time::Duration;

use hakata_forge::Forge;
use hakata_forge::jobs::{Heard, Kind, Listener};
use hakata_runtime::tasks::Tasks;
use tokio::sync::watch;

use crate::worker::Shared;

/// Time between two looks at a queue whose jobs are told of.
const ANYWAY: Duration = Duration::from_secs(5);

/// Pause before another try to listen.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(crate) fn start(shared: &Arc<Shared>, tasks: &Tasks) {
    let (drain, here) = (tasks.cancel_token(), shared.clone());
    let listener = shared.queue.listen_here();
    drop(tasks.spawn("worker.listen_here", async move {
        drain.run_until_cancelled(pass_on(&here, listener)).await;
    }));
    let every = watch::Sender::new(if shared.queue.is_alone() { ANYWAY } else { shared.settings.poll });
    let (drain, poller, pauses) = (tasks.cancel_token(), shared.clone(), every.subscribe());
    drop(tasks.spawn("worker.poll", async move {
        drain.run_until_cancelled(poll(&poller, pauses)).await;
    }));
    if !shared.queue.is_alone() {
        let (drain, elsewhere) = (tasks.cancel_token(), shared.clone());
        drop(tasks.spawn("worker.listen_elsewhere", async move {
            drain.run_until_cancelled(listen_elsewhere(&elsewhere, &every)).await;
        }));
    }
}

/// Passes on what is heard, until listening fails.
async fn pass_on(shared: &Shared, mut listener: Listener) {
    loop {
        match listener.heard().await {
            Ok(Heard::Kinds(kinds)) => shared.inbox.tell(kinds),
            Ok(Heard::Missed) => shared.inbox.tell(shared.handlers.kinds()),
            Err(error) => {
                tracing::warn!(error = error.chain(), "listening for jobs");
                return;
            }
        }
    }
}

async fn listen_elsewhere(shared: &Shared, every: &watch::Sender<Duration>) {
    loop {
        match shared.queue.listen_elsewhere().await {
            Ok(None) => return,
            Ok(Some(listener)) => {
                // What was enqueued before we listened was told to nobody.
                shared.inbox.tell(shared.handlers.kinds());
                every.send_replace(ANYWAY);
                pass_on(shared, listener).await;
            }
            Err(error) => tracing::debug!(error = error.chain(), "beginning to listen for jobs"),
        }
        every.send_replace(shared.settings.poll);
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

async fn poll(shared: &Shared, mut every: watch::Receiver<Duration>) {
    loop {
        let pause = *every.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = every.changed() => continue,
        }
        match shared.queue.due_kinds().await {
            Ok(kinds) => shared.inbox.tell(kinds),
            Err(error) => tracing::debug!(error = error.chain(), "asking for jobs"),
        }
    }
}

/// Tells other processes of the jobs that this one enqueues, where the database can; every process that serves does.
/// The telling follows the commit and takes nothing from it.
pub fn announce(forge: &Forge, tasks: &Tasks) {
    let queue = forge.job_queue("announcer", Duration::ZERO);
    if queue.is_alone() {
        return;
    }
    let (drain, mut listener) = (tasks.cancel_token(), queue.listen_here());
    drop(tasks.spawn("jobs.announce", async move {
        let announcing = async {
            while let Ok(heard) = listener.heard().await {
                let kinds = match heard {
                    Heard::Kinds(kinds) => kinds,
                    Heard::Missed => Kind::ALL.to_vec(),
                };
                match queue.announce(&kinds).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => tracing::debug!(error = error.chain(), "announcing jobs"),
                }
            }
        };
        drain.run_until_cancelled(announcing).await;
    }));
}
