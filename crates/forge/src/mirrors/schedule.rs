//! When mirrors are synced: by the clock, after pushes, when somebody asks.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hakata_names::{JobId, MirrorId, RepositoryId};
use hakata_runtime::metrics::{Counter, Metric};
use hakata_runtime::secret::random_bytes;
use hakata_store::jobs::{self, NewJob};
use hakata_store::mirrors::{self as rows, Mirror};
use hakata_store::page::PageSize;
use hakata_store::{Conn, Direction, JobState, StoreError};

use crate::remotes::{parse_url, told};
use crate::{Error, Forge};

/// The kind of jobs that sync one mirror.
const KIND: &str = "mirror";

/// The longest pause between two tries of a mirror that fails, unless its own is longer, in ms.
const LONGEST_MS: i64 = 24 * 60 * 60 * 1_000;

static FAILED: Counter = Counter::new(
    "hakata_mirror_schedule_failures_total",
    "Syncs of mirrors whose time had come and that could not be enqueued; they are tried again soon",
);

/// Mirrors that could not be enqueued when their time came: each is told of once, until it works again.
#[derive(Debug, Default)]
pub(crate) struct Unscheduled(Mutex<BTreeSet<MirrorId>>);

/// How soon a sync is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// As soon as a worker is free, even if an earlier failure is still being waited for.
    Now,
    /// In the turn of the one that waits already, if one does.
    InTurn,
}

/// Enqueues a sync, unless a waiting job will do it; one that was buried is forgotten for it.
pub(super) async fn enqueue(
    conn: &mut Conn,
    mirror: &Mirror,
    id: JobId,
    now: i64,
    due: Due,
) -> Result<(), StoreError> {
    let payload = format!("{{\"mirror\":{}}}", mirror.id);
    let mut waits = false;
    for job in jobs::standing(conn, KIND, mirror.repository, &payload).await? {
        match (job.state, due) {
            (JobState::Buried, _) => {
                jobs::purge(conn, job.id).await?;
            }
            (_, Due::Now) => waits |= jobs::wait_anew(conn, &job, now).await?,
            (_, Due::InTurn) => waits = true,
        }
    }
    if waits {
        return Ok(());
    }
    // A URL was parsed when it was taken; one that is none any more fails at its attempt.
    let target = parse_url(&mirror.url).map(|target| target.authority()).unwrap_or_default();
    let dedupe = format!("{KIND}:{}", mirror.id);
    let job = NewJob {
        repository: Some(mirror.repository),
        dedupe: Some(&dedupe),
        target: Some(&target),
        payload: &payload,
        ..NewJob::new(id, KIND, now)
    };
    jobs::enqueue(conn, &job).await.map(drop)
}

impl Unscheduled {
    fn note(&self, id: MirrorId, error: &StoreError) {
        FAILED.inc();
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            let error = told(error);
            tracing::warn!(mirror.id = id.get(), error, "a mirror cannot be enqueued");
        }
    }

    fn mended(&self, id: MirrorId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

impl Forge {
    /// Enqueues the syncs whose time has come; each is enqueued once, whoever else does the same. One that cannot be
    /// enqueued is tried again the next time, and holds up no other.
    ///
    /// # Errors
    /// When the database does not answer; what was enqueued until then stays so.
    pub(crate) async fn schedule_mirrors(&self) -> Result<usize, Error> {
        let now = self.clock().now_ms();
        let (mut n_enqueued, mut after) = (0, None);
        loop {
            let due = rows::due(&mut self.db().read().await?, now, after, PageSize::default()).await?;
            if due.is_empty() {
                return Ok(n_enqueued);
            }
            after = due.last().copied();
            for (_, id) in due {
                match self.schedule(id, now).await {
                    Ok(is_enqueued) => {
                        n_enqueued += usize::from(is_enqueued);
                        self.inner.unscheduled.mended(id);
                    }
                    Err(error) if error.is_transient() => return Err(error.into()),
                    Err(error) => self.inner.unscheduled.note(id, &error),
                }
            }
        }
    }

    async fn schedule(&self, id: MirrorId, now: i64) -> Result<bool, StoreError> {
        let found = rows::find(&mut self.db().read().await?, id).await?;
        let Some(mirror) = &found else { return Ok(false) };
        let job: JobId = self.ids().next().await?;
        let next = self.next_sync(now, mirror.interval_ms, mirror.failing_since);
        let scheduled = self.db().transaction(|tx| {
            Box::pin(async move {
                if !rows::reschedule(tx, mirror.id, mirror.next_at, next).await? {
                    return Ok::<_, StoreError>(false);
                }
                enqueue(tx, mirror, job, now, Due::InTurn).await?;
                Ok(true)
            })
        });
        scheduled.await
    }

    /// Tells when a mirror is synced next by itself: after its period, give or take a tenth, so that those that were
    /// made together are not synced together. One that has failed for long waits a quarter of that time, a day at most.
    pub(super) fn next_sync(&self, now: i64, interval_ms: i64, failing_since: Option<i64>) -> Option<i64> {
        if interval_ms <= 0 {
            return None;
        }
        let failing = failing_since.map_or(0, |since| (now - since) / 4).min(LONGEST_MS);
        let pause = interval_ms.max(failing);
        let tenths = i64::from(u16::from_le_bytes(random_bytes())) - i64::from(u16::MAX / 2);
        let jitter = i128::from(pause) * i128::from(tenths) / (i128::from(u16::MAX / 2) * 10);
        Some(now.saturating_add(pause).saturating_add(i64::try_from(jitter).unwrap_or(0)).max(now + 1))
    }

    /// Enqueues the syncs of a repository's push mirrors, since something has moved in it.
    pub(crate) async fn sync_after_push(&self, repository: RepositoryId) -> Result<(), Error> {
        let all = rows::list_of(&mut self.db().read().await?, repository).await?;
        let told = all
            .into_iter()
            .filter(|mirror| mirror.direction == Direction::Push && mirror.paused_at.is_none());
        let told: Vec<Mirror> = told.collect();
        if told.is_empty() {
            return Ok(());
        }
        let jobs: Vec<JobId> = self.ids().next_many(told.len()).await?;
        let (told, jobs, now) = (&told, &jobs, self.clock().now_ms());
        let enqueued = self.db().transaction(|tx| {
            Box::pin(async move {
                for (mirror, job) in told.iter().zip(jobs) {
                    enqueue(tx, mirror, *job, now, Due::InTurn).await?;
                }
                Ok::<_, StoreError>(())
            })
        });
        Ok(enqueued.await?)
    }
}

pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&FAILED]
}
