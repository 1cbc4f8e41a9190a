//! The task that holds a lease for the generator: acquires, raises the fence, stops the generator when it is lost.
//!
//! Once in `renew_every` the fence is raised to `fence_ahead` behind now. While that fails the generator goes on to the
//! fence it has and stops there by itself, even if this task does not run: a process that was stopped for longer than
//! its lease lasts finds its clock behind the fence when it wakes up. When the place says that the lease is lost, the
//! generator is stopped at once and another worker id is sought, for ever: a server whose Redis is away is one that
//! refuses, not one that ends.

use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::metrics::Metric;
use hakata_runtime::tasks::{Task, Tasks};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::generator::Generator;
use crate::issue::Issuer;
use crate::layout::{Slot, TimeError, WorkerId};
use crate::lease::{Lease, LeaseError, Renewed, Term, Wish};
use crate::time_base::TimeBase;

mod backoff;
mod complaints;
mod measure;

use backoff::Backoff;
use complaints::Complaints;

/// How long giving a lease back may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What follows for now from the loss of fences.
const UNTIL_PASSED: &str = "no ids are issued until every fence that may have been lost has passed";

/// How a lease is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How far ahead of now the durable fence lies: how long issuing goes on when the place of the lease is away, and how
    /// long a successor waits after a crash.
    pub fence_ahead: Duration,
    /// How often the fence is raised.
    pub renew_every: Duration,
}

/// How things stand with the lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// No worker id is held; the reason is that of the last attempt, if there was one.
    Seeking {
        /// In words for an operator.
        why: Option<String>,
    },
    /// A worker id is held.
    Held {
        /// Which.
        worker_id: WorkerId,
        /// Ids of times from here on may be issued.
        from_ms: i64,
        /// Ids of times from here on may not.
        fence_ms: i64,
        /// Why the last attempt to raise the fence came to nothing, or why issuing has not begun, if so.
        trouble: Option<String>,
    },
    /// The lease was given back, and none is sought any more.
    Stopped,
}

impl Standing {
    /// Tells whether ids may be issued at a time, up to `reach_ms` if some are borrowed: what health depends on, since a
    /// lease that cannot be renewed is held for a while without being good for anything.
    pub fn is_serving(&self, now_ms: i64, reach_ms: i64) -> bool {
        matches!(self, Standing::Held { from_ms, fence_ms, .. } if *from_ms <= reach_ms && now_ms < *fence_ms)
    }
}

/// A keeper at work. Dropping it lets the task run on under its group.
#[derive(Debug)]
pub struct Keeper {
    standing: watch::Receiver<Standing>,
    task: Task<()>,
}

impl Keeper {
    /// Starts to keep a lease for an issuer.
    ///
    /// When the group drains, the generator is stopped and the lease given back; so the group must not be the one of the
    /// servers, whose last requests still want ids, but one that is drained behind them.
    pub fn spawn(tasks: &Tasks, lease: impl Lease, issuer: &Issuer, settings: Settings) -> Self {
        let (sender, standing) = watch::channel(Standing::Seeking { why: None });
        let keeping = Keeping {
            lease,
            generator: issuer.generator().clone(),
            time: issuer.time().clone(),
            settings,
            drain: tasks.cancel_token(),
            standing: sender,
            complaints: Complaints::default(),
        };
        let task = tasks.spawn("id-lease", keeping.keep());
        Self { standing, task }
    }

    /// Gives a view of how things stand, now and later.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Waits until the lease was given back.
    pub async fn stopped(self) {
        // A task that was cut or panicked has given up its lease as well; the place ends it by its time to live.
        let _ = self.task.await;
    }
}

/// The keeper's own state.
struct Keeping<L> {
    lease: L,
    generator: Arc<Generator>,
    time: Arc<TimeBase>,
    settings: Settings,
    drain: CancellationToken,
    standing: watch::Sender<Standing>,
    complaints: Complaints,
}

/// Why a term ended.
enum End {
    Lost,
    Drained,
}

impl<L: Lease> Keeping<L> {
    async fn keep(mut self) {
        while let Some(term) = self.seek().await {
            self.begin(term);
            let end = self.hold(term).await;
            let next = self.end();
            if let End::Drained = end {
                self.give_back(next).await;
                break;
            }
        }
        self.standing.send_replace(Standing::Stopped);
    }

    /// Asks for a lease until there is one; `None` when the group drains first.
    async fn seek(&mut self) -> Option<Term> {
        let mut backoff = Backoff::new(self.longest_pause());
        loop {
            if self.drain.is_cancelled() {
                return None;
            }
            self.time.observe();
            let (generator, time, ahead) =
                (self.generator.clone(), self.time.clone(), self.settings.fence_ahead);
            let wish = move || Wish { now_ms: generator.layout().unix_ms(time.now()), ahead };
            match self.lease.acquire(wish).await {
                Ok(term) => return Some(term),
                Err(error) => {
                    measure::error(&error);
                    let why = self.complaints.about(&error, "no ids are issued until a lease is acquired");
                    self.standing.send_replace(Standing::Seeking { why: Some(why) });
                }
            }
            self.pause(backoff.next()).await;
        }
    }

    fn begin(&mut self, term: Term) {
        let Term { worker_id, from_ms, fence_ms, place_ms, lost } = term;
        let layout = self.generator.layout();
        // The first tick that lies wholly behind: times of a place need not be ticks of the layout.
        let tick_ms = i64::try_from(layout.tick_ms()).unwrap_or(1);
        let from = self.slot(from_ms.saturating_add(tick_ms - 1));
        let now_ms = self.now_ms();
        self.generator.start(worker_id, from, self.slot(fence_ms));
        self.complaints.settled();
        measure::began(&self.time, layout, fence_ms);
        let wait_ms = from_ms.saturating_sub(now_ms).max(0);
        tracing::info!(worker_id = worker_id.get(), wait_ms, "acquired a worker id");
        if let Some(why) = lost {
            let worker_id = worker_id.get();
            tracing::warn!(worker_id, wait_ms, "{why}: {UNTIL_PASSED}");
        } else if wait_ms > i64::try_from(self.settings.fence_ahead.as_millis()).unwrap_or(i64::MAX) {
            let worker_id = worker_id.get();
            tracing::warn!(
                worker_id,
                wait_ms,
                "ids begin when the clock has reached the fence of an earlier holder"
            );
        }
        self.compare(place_ms);
        self.stand(term, fence_ms);
    }

    /// Tells that the lease is held, and why there are no ids yet if fences were lost.
    fn stand(&self, term: Term, fence_ms: i64) {
        let Term { worker_id, from_ms, lost, .. } = term;
        let trouble = lost.filter(|_| self.now_ms() < from_ms).map(|why| format!("{why}: {UNTIL_PASSED}"));
        self.standing.send_replace(Standing::Held { worker_id, from_ms, fence_ms, trouble });
    }

    /// Renews until the lease is lost or the group drains.
    async fn hold(&mut self, term: Term) -> End {
        let mut backoff = Backoff::new(self.longest_pause());
        let mut pause = self.settings.renew_every;
        loop {
            self.pause(pause).await;
            if self.drain.is_cancelled() {
                return End::Drained;
            }
            self.time.observe();
            let wish = self.wish();
            match self.lease.renew(wish).await {
                Ok(renewed) => {
                    self.renewed(term, renewed);
                    backoff = Backoff::new(self.longest_pause());
                    pause = self.settings.renew_every;
                }
                Err(error @ LeaseError::Lost(_)) => {
                    measure::error(&error);
                    let why =
                        self.complaints.about(&error, "issuing has stopped; another worker id is sought");
                    self.standing.send_replace(Standing::Seeking { why: Some(why) });
                    return End::Lost;
                }
                Err(error) => {
                    measure::error(&error);
                    let why =
                        self.complaints.about(&error, "issuing goes on up to the fence and stops there");
                    self.standing.send_modify(|standing| {
                        if let Standing::Held { trouble, .. } = standing {
                            *trouble = Some(why);
                        }
                    });
                    pause = backoff.next();
                }
            }
        }
    }

    fn renewed(&mut self, term: Term, renewed: Renewed) {
        let Renewed { fence_ms, place_ms } = renewed;
        self.generator.raise_fence(self.slot(fence_ms));
        measure::renewed(fence_ms);
        self.complaints.settled();
        self.compare(place_ms);
        self.stand(term, fence_ms);
    }

    /// Stops the generator, and tells the first time of which it issued nothing.
    fn end(&mut self) -> i64 {
        self.generator.stop();
        measure::ended();
        let layout = self.generator.layout();
        // What was started of a tick counts as all of it.
        layout.unix_ms(layout.next_tick(self.generator.next_slot()))
    }

    async fn give_back(&mut self, next_ms: i64) {
        match tokio::time::timeout(FAREWELL, self.lease.release(next_ms)).await {
            Ok(Ok(())) => tracing::info!("gave the worker id back"),
            Ok(Err(error)) => tracing::warn!(error = error.chain(), "the worker id ends by its time to live"),
            Err(_) => tracing::warn!("the worker id ends by its time to live: giving it back took too long"),
        }
    }

    /// Compares our clock with that of the place: how far the guarantee after a loss of fences is from its limit.
    fn compare(&mut self, place_ms: Option<i64>) {
        let Some(place_ms) = place_ms else { return };
        let offset_ms = place_ms.saturating_sub(self.now_ms());
        measure::compared(offset_ms);
        let limit_ms = self.settings.fence_ahead.as_millis() / 2;
        self.complaints.about_clock(offset_ms, u128::from(offset_ms.unsigned_abs()) > limit_ms);
    }

    async fn pause(&mut self, pause: Duration) {
        // Either way the caller looks whether the group drains.
        let _ = tokio::time::timeout(pause, self.drain.cancelled()).await;
    }

    fn longest_pause(&self) -> Duration {
        (self.settings.fence_ahead / 4).min(Duration::from_secs(5)).max(self.settings.renew_every)
    }

    fn wish(&self) -> Wish {
        Wish { now_ms: self.now_ms(), ahead: self.settings.fence_ahead }
    }

    fn now_ms(&self) -> i64 {
        self.generator.layout().unix_ms(self.time.now())
    }

    /// Gives the first slot of the tick that a time lies in, or the bound of the layout's range that it lies behind.
    fn slot(&self, unix_ms: i64) -> Slot {
        let layout = self.generator.layout();
        layout.slot_at(unix_ms).unwrap_or_else(|error| match error {
            TimeError::BeforeEpoch(_) => Slot::ZERO,
            TimeError::AfterEnd(_) => layout.end(),
        })
    }
}

/// Lists the metrics of this module.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    measure::metrics()
}

#[cfg(test)]
mod tests;
