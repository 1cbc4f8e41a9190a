//! One attempt at one job, and what is written down about it.

use std::sync::Arc;
use std::time::Duration;

use hakata_forge::jobs::{Claimed, Outcome, Settled};
use hakata_runtime::tasks::{Stopped, Tasks};
use tokio::time::Instant;

use crate::handlers::Handler;
use crate::metrics::{End, ended};
use crate::rabbit::Message;
use crate::worker::Shared;

/// Pauses between tries to write down how an attempt ended.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Jobs that may take longer have their message acknowledged when they are claimed: the broker would deliver it again
/// while they run. Their row is kept by its lease either way.
const LONG: Duration = Duration::from_secs(60);

/// Starts an attempt as a task. Its message, if it has one, is acknowledged when the job is settled; that of a job that
/// may take long at once.
pub(crate) fn start(
    shared: &Arc<Shared>,
    tasks: &Tasks,
    handler: &Handler,
    claimed: Claimed,
    message: Option<Message>,
) {
    let entered = shared.enter(claimed.kind, claimed.job.id, claimed.job.attempts);
    let (shared, group, handler) = (shared.clone(), tasks.clone(), handler.clone());
    let (early, late) = if handler.rules.time > LONG { (message, None) } else { (None, message) };
    if let Some(message) = early {
        drop(tasks.spawn("worker.acknowledge", message.acknowledge()));
    }
    drop(tasks.spawn("worker.job", async move {
        let began = Instant::now();
        let cut = entered.cut.clone();
        let end = tokio::select! {
            biased;
            () = cut.cancelled() => End::Lost,
            end = attempt(&shared, &group, &handler, &claimed, began) => end,
        };
        ended(claimed.kind, end, began.elapsed());
        // Room is made before the broker is waited for, and a drain waits for neither.
        if let Some(message) = late.filter(|_| end != End::Cut) {
            drop(group.spawn("worker.acknowledge", message.acknowledge()));
        }
        drop(entered);
    }));
}

/// Runs the handler in a task of its own, so that its panic is its own, and settles the job.
async fn attempt(
    shared: &Shared,
    tasks: &Tasks,
    handler: &Handler,
    claimed: &Claimed,
    began: Instant,
) -> End {
    let running = tasks.spawn("worker.handler", (handler.run)(claimed.job.clone())).cut_on_drop();
    let outcome = match tokio::time::timeout(handler.rules.time, running).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(Stopped::Panicked)) => retry("panicked; the log says where".to_owned()),
        // The whole group goes; the job is given back by whoever cut it.
        Ok(Err(Stopped::Cut)) => return End::Cut,
        Err(_) => retry(format!("took longer than {} s", handler.rules.time.as_secs())),
    };
    let settled = settle(shared, handler, claimed, &outcome).await;
    let (job, attempt) = (claimed.job.id.get(), claimed.job.attempts);
    let duration_ms = began.elapsed().as_millis();
    match (&outcome, settled) {
        (Outcome::Retry { why, .. } | Outcome::Bury { why }, Settled::Retried | Settled::Buried) => {
            let is_buried = settled == Settled::Buried;
            tracing::warn!(job.id = job, job.kind = %claimed.kind, attempt, is_buried, why, duration_ms, "a job did not work");
        }
        (_, Settled::Lost) => {
            tracing::warn!(job.id = job, job.kind = %claimed.kind, attempt, duration_ms, "a job took longer than its claim");
        }
        _ => tracing::debug!(job.id = job, job.kind = %claimed.kind, attempt, duration_ms, "finished a job"),
    }
    settled.into()
}

fn retry(why: String) -> Outcome {
    Outcome::Retry { why, after: None }
}

/// Writes the outcome down, however long the database is away: what was done must not be done again for want of a
/// word. Ends when the claim is lost, since the attempt is cut then.
async fn settle(shared: &Shared, handler: &Handler, claimed: &Claimed, outcome: &Outcome) -> Settled {
    let mut pause = PAUSES.0;
    loop {
        match shared.queue.settle(claimed, &handler.rules, outcome).await {
            Ok(settled) => return settled,
            Err(error) => {
                tracing::warn!(
                    job.id = claimed.job.id.get(),
                    error = error.chain(),
                    "writing down how a job ended"
                );
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
