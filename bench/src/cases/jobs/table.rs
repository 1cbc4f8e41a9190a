//! Empty jobs through the table alone, beside the statements that this takes.
//!
//! Both enqueue each job in a transaction of its own, [`AT_ONCE`] at once, and finish each by a statement of its own.
//! Bare, a loop does nothing else: so many transactions that enqueue, one that claims as many, so many that finish, and
//! again. Ours is what a server does: pushes enqueue when they like, a worker hears of it, claims, runs each job as a
//! task under its deadline, writes down how it ended, and other processes are told where there could be some.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use hakata_store::StoreError;
use hakata_store::jobs::{self, Claim, Held, Job, Limits, Wanted};

use super::figures::{Bar, Figures};
use super::stage::{KIND, Stage, enqueue, enqueue_one, now, settings, timed};
use super::{AT_ONCE, Amount, ENGINES};

/// The least share of the bare rate.
const LEAST: f64 = 0.5;

/// Who claims in the bare loop.
const BY: &str = "bench/bare";

/// Longer than a round, in ms.
const LEASE_MS: i64 = 3_600_000;

pub(super) async fn measure(folder: &Path, amount: Amount, figures: &mut Figures) -> Result<()> {
    for engine in ENGINES {
        let case = format!("jobs on {}", engine.name());
        eprintln!("measuring {case}");
        let stage = Stage::open(engine, folder, "table").await?;
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for round in 0..=amount.rounds {
            let took = [bare_round(&stage, amount.n_jobs).await, our_round(&stage, amount.n_jobs).await];
            let [of_bare, of_ours] = took;
            // The first is to warm up.
            if round > 0 {
                bare.push(of_bare.context("the bare loop")?);
                ours.push(of_ours.context("the worker")?);
            }
        }
        let bare = figures.rates(&case, "statements in a loop", amount.n_jobs, &bare);
        let ours = figures.rates(&case, "hakata", amount.n_jobs, &ours);
        figures.goal(format!("{case}, against their statements"), ours / bare, Bar::AtLeast(LEAST));
    }
    Ok(())
}

/// Enqueues, claims and finishes in a tight loop.
async fn bare_round(stage: &Stage, n: i64) -> Result<std::time::Duration> {
    let ids: Vec<i64> = stage.ids(n).collect();
    let took = timed(async {
        for ids in ids.chunks(AT_ONCE) {
            try_join_all(ids.iter().map(|id| enqueue_one(&stage.db, KIND.as_str(), *id))).await?;
            let mut n_left = ids.len();
            while n_left > 0 {
                let claimed = claim(stage).await?;
                ensure!(!claimed.is_empty(), "{n_left} jobs wait and none is claimed");
                try_join_all(claimed.iter().map(|job| finish(stage, job))).await?;
                n_left = n_left.saturating_sub(claimed.len());
            }
        }
        Ok(())
    });
    let took = took.await?;
    stage.forget(n).await?;
    Ok(took)
}

async fn claim(stage: &Stage) -> Result<Vec<Job>> {
    let most = i64::try_from(AT_ONCE)?;
    let limits = Limits { all: most, per_target: i64::MAX, per_repository: i64::MAX };
    let wanted = Wanted { kind: KIND.as_str(), limits, most, now: now() };
    let claim = Claim { by: BY, lease_ms: LEASE_MS };
    let claimed = stage.db.transaction(|tx| Box::pin(jobs::claim(tx, claim, wanted)));
    Ok(claimed.await.map_err(|error: StoreError| error)?)
}

async fn finish(stage: &Stage, job: &Job) -> Result<()> {
    let held = Held { id: job.id, by: BY, attempt: job.attempts };
    let is_ours = jobs::finish(&mut stage.db.write().await?, held, now()).await?;
    ensure!(is_ours, "a job is finished by who claimed it");
    Ok(())
}

/// Enqueues while a worker runs.
async fn our_round(stage: &Stage, n: i64) -> Result<std::time::Duration> {
    let node = stage.node("worker").await?;
    let begun = Arc::new(AtomicI64::new(0));
    let counted = begun.clone();
    let count = move |_: &_| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let worker = node.work(settings(), None, count);
    hakata_worker::announce(&node.forge, &settings(), &node.running);
    let took = timed(async {
        enqueue(&node.db, KIND.as_str(), stage.ids(n)).await?;
        stage.until_done(&begun, n).await
    });
    let took = took.await?;
    node.stop().await;
    worker.stop().await;
    stage.forget(n).await?;
    Ok(took)
}
