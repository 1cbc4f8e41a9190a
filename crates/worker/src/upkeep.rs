//! What is done now and then: claims are renewed, those of dead workers released, finished jobs forgotten, all counted,
//! and mirrors synced when their time comes.

use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::tasks::Tasks;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::worker::Shared;

/// Time between two countings of the queue.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// Time between two sweeps of finished jobs.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

pub(crate) fn start(shared: &Arc<Shared>, tasks: &Tasks) {
    let (renewing, drain) = (shared.clone(), tasks.cancel_token());
    drop(tasks.spawn("worker.renew", async move { keep_claims(&renewing, &drain).await }));
    let (cleaning, drain) = (shared.clone(), tasks.cancel_token());
    drop(tasks.spawn("worker.upkeep", async move {
        drain.run_until_cancelled(clean(&cleaning)).await;
    }));
}

/// Renews claims for as long as there are any, also in a drain.
async fn keep_claims(shared: &Shared, drain: &CancellationToken) {
    let every = shared.settings.lease / 3;
    let mut next = Instant::now() + every;
    loop {
        let drained = async {
            drain.cancelled().await;
            shared.idle().await;
        };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = drained => return,
        }
        renew(shared).await;
        next = Instant::now() + every;
    }
}

async fn renew(shared: &Shared) {
    let known = shared.attempts();
    if known.is_empty() {
        return;
    }
    match shared.queue.renew(&known).await {
        Ok(held) => {
            let n_lost = shared.cut_lost(&known, &held);
            if n_lost > 0 {
                tracing::warn!(n_lost, "claims were lost; their attempts are cut");
            }
        }
        Err(error) => tracing::warn!(error = error.chain(), "renewing claims"),
    }
}

async fn clean(shared: &Shared) {
    let every = (shared.settings.lease / 4).min(COUNT_EVERY);
    let mut pruned: Option<Instant> = None;
    loop {
        release(shared).await;
        match shared.queue.count().await {
            Ok(counts) => metrics::counted(&counts),
            Err(error) => tracing::debug!(error = error.chain(), "counting jobs"),
        }
        if let Err(error) = shared.queue.tend_remotes().await {
            tracing::warn!(error = error.chain(), "looking after mirrors and imports");
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            match shared.queue.prune(shared.settings.keep).await {
                Ok(n_jobs) => tracing::debug!(n_jobs, "forgot finished jobs"),
                Err(error) => tracing::warn!(error = error.chain(), "forgetting finished jobs"),
            }
            match shared.queue.prune_deliveries().await {
                Ok(n_deliveries) => tracing::debug!(n_deliveries, "forgot old deliveries"),
                Err(error) => tracing::warn!(error = error.chain(), "forgetting old deliveries"),
            }
            match shared.queue.prune_notices().await {
                Ok(n_notices) => tracing::debug!(n_notices, "forgot old notices"),
                Err(error) => tracing::warn!(error = error.chain(), "forgetting old notices"),
            }
            pruned = Some(Instant::now());
        }
        tokio::time::sleep(every).await;
    }
}

async fn release(shared: &Shared) {
    for kind in shared.handlers.kinds() {
        let Some(handler) = shared.handlers.find(kind) else { continue };
        match shared.queue.release_lapsed(kind, &handler.rules).await {
            Ok((0, 0)) => {}
            Ok((n_released, n_buried)) => {
                metrics::LAPSED.add(n_released + n_buried);
                tracing::warn!(job.kind = %kind, n_released, n_buried, "workers went away with jobs");
            }
            Err(error) => tracing::warn!(error = error.chain(), "releasing lapsed claims"),
        }
    }
}
