//! The queue as one worker sees it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hakata_names::JobId;
use hakata_runtime::secret::random_bytes;
use hakata_store::jobs::{self, Claim, Held, Job, JobListener, Limits, Retry, Signal, Wanted};
use hakata_store::{JobState, StoreError};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Kind, Outcome, Rules};
use crate::{Error, Forge};

/// Longest text kept of why an attempt failed, in bytes.
const MAX_WHY: usize = 4_096;

/// The queue in the hands of one worker, under whose name it claims. Clones are the same worker.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(super) forge: Forge,
    by: Arc<str>,
    lease: Duration,
}

/// A job that this worker has claimed.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its kind.
    pub kind: Kind,
    /// The rest of it.
    pub job: Job,
}

/// What became of a job after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is finished.
    Finished,
    /// It waits for another attempt.
    Retried,
    /// It is buried.
    Buried,
    /// The claim had lapsed: what the attempt did is somebody else's to repeat.
    Lost,
}

/// How many jobs of a kind are not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The kind.
    pub kind: Kind,
    /// Where they are in their life.
    pub state: JobState,
    /// How many.
    pub n_jobs: i64,
    /// How long ago the time of the earliest came.
    pub oldest: Duration,
}

/// What a listener heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Jobs of these kinds were enqueued.
    Kinds(Vec<Kind>),
    /// Something may have been missed.
    Missed,
}

/// Hears of jobs when they are committed.
#[derive(Debug)]
pub enum Listener {
    /// Those of this process.
    Here(broadcast::Receiver<Signal>),
    /// Those of other processes.
    Elsewhere(JobListener),
}

impl Forge {
    /// Opens the queue for a worker of a node, whose claims lapse `lease` after they were last renewed.
    pub fn job_queue(&self, node: &str, lease: Duration) -> Queue {
        let node: String = node.chars().filter(char::is_ascii).take(64).collect();
        let by = format!("{node}/{:016x}", u64::from_le_bytes(random_bytes()));
        Queue { forge: self.clone(), by: by.into(), lease }
    }
}

impl Queue {
    /// Tells the name under which it claims.
    pub fn worker(&self) -> &str {
        &self.by
    }

    /// Claims some jobs of a kind: up to `most`, and no more than `limit` on all nodes together. None means that there
    /// is nothing to be had just now; fewer than `most` does not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim(
        &self,
        kind: Kind,
        rules: &Rules,
        limit: usize,
        most: usize,
    ) -> Result<Vec<Claimed>, Error> {
        let (claim, wanted) = self.wish(kind, rules, limit, most);
        let claimed = self.forge.db().transaction(|tx| Box::pin(jobs::claim(tx, claim, wanted)));
        Ok(claimed.await?.into_iter().map(|job| Claimed { kind, job }).collect())
    }

    pub(super) fn wish(
        &self,
        kind: Kind,
        rules: &Rules,
        limit: usize,
        most: usize,
    ) -> (Claim<'_>, Wanted<'static>) {
        let now = self.now();
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let limits = Limits {
            all: number(limit),
            per_target: number(rules.per_target),
            per_repository: number(rules.per_repository),
        };
        let claim = Claim { by: &self.by, lease_ms: millis(self.lease) };
        (claim, Wanted { kind: kind.as_str(), limits, most: number(most), now })
    }

    /// Writes down how an attempt ended; a retry without attempts left buries the job.
    ///
    /// # Errors
    /// When the database does not answer. The job is still claimed then: try again before the claim lapses.
    pub async fn settle(
        &self,
        claimed: &Claimed,
        rules: &Rules,
        outcome: &Outcome,
    ) -> Result<Settled, Error> {
        let job = &claimed.job;
        let held = Held { id: job.id, by: &self.by, attempt: job.attempts };
        let attempt = u32::try_from(job.attempts).unwrap_or(u32::MAX);
        let mut conn = self.forge.db().write().await?;
        let now = self.now();
        let (is_ours, settled) = match outcome {
            Outcome::Finish => (jobs::finish(&mut conn, held, now).await?, Settled::Finished),
            Outcome::Retry { why, after } if attempt < rules.attempts => {
                let pause =
                    after.map_or_else(|| rules.pause(attempt), |after| after.min(rules.longest_pause));
                let retry = Retry {
                    run_at: now.saturating_add(millis(pause)),
                    pause_ms: millis(pause),
                    hold_until: now.saturating_add(millis(rules.hold)),
                    error: cut(why),
                };
                (jobs::retry(&mut conn, held, retry).await?, Settled::Retried)
            }
            Outcome::Retry { why, .. } | Outcome::Bury { why } => {
                (jobs::bury(&mut conn, held, now, cut(why)).await?, Settled::Buried)
            }
        };
        Ok(if is_ours { settled } else { Settled::Lost })
    }

    /// Renews claims of this worker, and tells which it still has: id and attempt. One that it does not know of, because
    /// the claim's COMMIT got no answer, is left to lapse.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn renew(&self, known: &[(JobId, i64)]) -> Result<HashSet<(JobId, i64)>, Error> {
        let mut conn = self.forge.db().write().await?;
        let ids: Vec<JobId> = known.iter().map(|(id, _)| *id).collect();
        jobs::renew(&mut conn, &self.by, &ids, millis(self.lease)).await?;
        let held = jobs::held_by(&mut conn, &self.by).await?;
        Ok(held.into_iter().map(|job| (job.id, job.attempts)).collect())
    }

    /// Puts back every job that this worker still has, as if it had never claimed it.
    ///
    /// # Errors
    /// When the database does not answer; then the claims lapse.
    pub async fn give_back(&self) -> Result<u64, Error> {
        Ok(jobs::give_back(&mut self.forge.db().write().await?, &self.by).await?)
    }

    /// Lets jobs of a kind wait again whose workers died, on any node, and buries those that had all their attempts.
    /// Answers how many of each.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_lapsed(&self, kind: Kind, rules: &Rules) -> Result<(u64, u64), Error> {
        let now = self.now();
        let hold_until = now.saturating_add(millis(rules.hold));
        let lapsed = self.forge.db().transaction(|tx| {
            let attempts = i64::from(rules.attempts);
            Box::pin(async move { jobs::release_lapsed(tx, kind.as_str(), attempts, hold_until, now).await })
        });
        let lapsed: jobs::Lapsed = lapsed.await.map_err(|error: StoreError| Error::from(error))?;
        Ok((lapsed.released, lapsed.buried))
    }

    /// Forgets jobs that were finished so long ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prune(&self, keep: Duration) -> Result<u64, Error> {
        let before = self.now().saturating_sub(millis(keep));
        Ok(jobs::prune(&mut self.forge.db().write().await?, before).await?)
    }

    /// Forgets what webhooks were told long ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prune_deliveries(&self) -> Result<u64, Error> {
        self.forge.prune_webhook_deliveries().await
    }

    /// Forgets what readers were told by mail long ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prune_notices(&self) -> Result<u64, Error> {
        self.forge.prune_notices().await
    }

    /// Enqueues the syncs of mirrors whose time has come, ends imports that nobody goes on with, and forgets old ones.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tend_remotes(&self) -> Result<(), Error> {
        self.forge.schedule_mirrors().await?;
        self.forge.count_mirrors().await?;
        self.forge.end_abandoned_imports().await
    }

    /// Lists the kinds of which a job's time has come, whether or not a limit lets it run.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn due_kinds(&self) -> Result<Vec<Kind>, Error> {
        let kinds = jobs::due_kinds(&mut self.forge.db().read().await?, self.now()).await?;
        Ok(known(&kinds))
    }

    /// Tells how long it is until another job of a kind may run.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next_due(&self, kind: Kind) -> Result<Option<Duration>, Error> {
        let now = self.now();
        let next = jobs::next_due(&mut self.forge.db().read().await?, kind.as_str(), now).await?;
        Ok(next.map(|at| Duration::from_millis(u64::try_from(at - now).unwrap_or(0))))
    }

    /// Counts the jobs that are not done.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count(&self) -> Result<Vec<Waiting>, Error> {
        let now = self.now();
        let counts = jobs::count(&mut self.forge.db().read().await?).await?;
        let waiting = |count: jobs::KindCount| {
            Some(Waiting {
                kind: Kind::parse(&count.kind)?,
                state: count.state,
                n_jobs: count.n_jobs,
                oldest: Duration::from_millis(u64::try_from(now - count.oldest).unwrap_or(0)),
            })
        };
        Ok(counts.into_iter().filter_map(waiting).collect())
    }

    /// Listens for jobs of this process.
    pub fn listen_here(&self) -> Listener {
        Listener::Here(self.forge.db().job_signals())
    }

    /// Listens for jobs of other processes; `None` where the database does not tell of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn listen_elsewhere(&self) -> Result<Option<Listener>, Error> {
        Ok(self.forge.db().listen_for_jobs().await?.map(Listener::Elsewhere))
    }

    /// Tells other processes of jobs, where the database can.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn announce(&self, kinds: &[Kind]) -> Result<bool, Error> {
        let words: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        Ok(self.forge.db().announce_jobs(&words).await?)
    }

    /// Tells whether nobody but this process enqueues jobs.
    pub fn is_alone(&self) -> bool {
        self.forge.db().is_sole_owner()
    }

    pub(super) fn now(&self) -> i64 {
        self.forge.clock().now_ms()
    }
}

impl Listener {
    /// Waits for news.
    ///
    /// # Errors
    /// When the database is gone: listen anew.
    pub async fn heard(&mut self) -> Result<Heard, Error> {
        match self {
            Self::Here(signals) => match signals.recv().await {
                Ok(kinds) => Ok(Heard::Kinds(known(&kinds))),
                Err(RecvError::Lagged(_)) => Ok(Heard::Missed),
                Err(error @ RecvError::Closed) => Err(Error::internal(error)),
            },
            Self::Elsewhere(listener) => match listener.heard().await? {
                kinds if kinds.is_empty() => Ok(Heard::Missed),
                kinds => Ok(Heard::Kinds(known(&kinds))),
            },
        }
    }
}

pub(super) fn known(kinds: &[String]) -> Vec<Kind> {
    kinds.iter().filter_map(|kind| Kind::parse(kind)).collect()
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Cuts a text to what a row keeps, between two characters.
fn cut(why: &str) -> &str {
    let mut end = why.len().min(MAX_WHY);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    &why[..end]
}
