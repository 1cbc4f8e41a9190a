//! The processes that wait for a merge, a bounded number of them with those that are at work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hakata_runtime::blocking::Blocking;
use hakata_runtime::limit::{Bounds, Limit, Permit};
use hakata_runtime::metrics::{CounterFamily, Gauge, GaugeGuard, Label, Metric};
use hakata_runtime::tasks::Tasks;
use tokio::time::Instant;

use super::running::Running;
use crate::GitDir;
use crate::objects::{Objects, ReadError};
use crate::process::ChildError;
use crate::settings::Settings;

static IDLE: Gauge = Gauge::new("hakata_git_merge_idle", "git merge-tree processes that wait for a merge");
static ENDED: CounterFamily<Why> = CounterFamily::new(
    "hakata_git_merge_ended_total",
    "git merge-tree processes that were let go, by reason",
);

/// Lists the metrics of the pool.
pub(super) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&IDLE, &ENDED]
}

/// Why a process goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Another repository needs its place.
    Room,
    /// Nobody needed it.
    Idle,
    /// It did its share.
    Worn,
    /// It died, or its caller left.
    Broken,
    /// Its repository was closed.
    Closed,
}

impl Label for Why {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Idle => "idle",
            Self::Worn => "worn",
            Self::Broken => "broken",
            Self::Closed => "closed",
        }
    }
}

/// All processes that merge.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: Limit,
    max: usize,
    idle_time: Duration,
    tasks: Tasks,
    blocking: Blocking,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that waits longest first.
    idle: Vec<Waiting>,
    n_out: usize,
    is_watched: bool,
}

#[derive(Debug)]
struct Waiting {
    running: Running,
    since: Instant,
    _idle: GaugeGuard,
}

/// The right to one process.
#[derive(Debug)]
pub(super) struct Out {
    pool: Arc<Pool>,
    _permit: Permit,
}

impl Pool {
    pub(crate) fn new(settings: &Settings, tasks: &Tasks, blocking: &Blocking) -> Arc<Self> {
        let max = settings.max_merging.max(1);
        let bounds = Bounds { permits: max, queue: settings.max_waiting, wait: settings.wait };
        Arc::new(Self {
            limit: Limit::new("git_merges", bounds),
            max,
            idle_time: settings.merging_idle,
            tasks: tasks.clone(),
            blocking: blocking.clone(),
            state: Mutex::default(),
        })
    }

    /// Waits for a place, and finds a process that waits for this repository.
    pub(super) async fn take(
        self: &Arc<Self>,
        objects: &Objects,
    ) -> Result<(Option<Running>, Out), ReadError> {
        let permit = self.limit.acquire().await.map_err(ChildError::Limited)?;
        let mut state = self.state();
        state.n_out += 1;
        let out = Out { pool: self.clone(), _permit: permit };
        let is_of = |waiting: &Waiting| waiting.running.base() == objects.dir();
        let (of_it, others): (Vec<_>, Vec<_>) = std::mem::take(&mut state.idle).into_iter().partition(is_of);
        state.idle = others;
        let mut found = None;
        for waiting in of_it {
            if !waiting.running.is_of(objects) {
                self.end(waiting.running, Why::Closed);
            } else if let Some(earlier) = found.replace(waiting) {
                state.idle.push(earlier);
            }
        }
        state.idle.sort_by_key(|waiting| waiting.since);
        while state.idle.len() + state.n_out > self.max && !state.idle.is_empty() {
            let oldest = state.idle.remove(0);
            self.end(oldest.running, Why::Room);
        }
        Ok((found.map(|waiting| waiting.running), out))
    }

    /// Lets go of what waits for a repository whose directory goes or whose packs were removed.
    pub(crate) fn forget(&self, dir: &GitDir) {
        let mut state = self.state();
        let is_of = |waiting: &Waiting| waiting.running.base() == dir;
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut state.idle).into_iter().partition(is_of);
        state.idle = kept;
        gone.into_iter().for_each(|waiting| self.end(waiting.running, Why::Closed));
    }

    /// Ends a process in a task of its own, since its directory has to be removed behind it.
    fn end(&self, running: Running, why: Why) {
        ENDED.get(why).inc();
        if tokio::runtime::Handle::try_current().is_ok() {
            let blocking = self.blocking.clone();
            self.tasks.spawn("git.merge.end", async move {
                let scratch = running.end().await;
                let _ = blocking.run(move || drop(scratch)).await;
            });
        }
    }

    fn keep(self: &Arc<Self>, running: Running) {
        let is_stopping = self.tasks.cancel_token().is_cancelled();
        let why = if !running.is_ready() {
            Some(Why::Broken)
        } else if is_stopping {
            Some(Why::Closed)
        } else {
            running.is_worn().then_some(Why::Worn)
        };
        if let Some(why) = why {
            return self.end(running, why);
        }
        let mut state = self.state();
        state.idle.push(Waiting { running, since: Instant::now(), _idle: IDLE.track() });
        if !std::mem::replace(&mut state.is_watched, true) {
            self.tasks.spawn("git.merge.idle", watch(Arc::downgrade(self), self.tasks.clone()));
        }
    }

    /// Lets go of those that nobody needed for long; returns when to look again, `None` when none is left.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        while state.idle.first().is_some_and(|oldest| oldest.since + self.idle_time <= now) {
            let oldest = state.idle.remove(0);
            self.end(oldest.running, Why::Idle);
        }
        let next = state.idle.first().map(|oldest| oldest.since + self.idle_time);
        state.is_watched = next.is_some();
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the processes that wait and those that are at work.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.idle.len(), state.n_out)
    }
}

/// Watches over the processes that wait, as long as there are any.
async fn watch(pool: Weak<Pool>, tasks: Tasks) {
    let stopping = tasks.cancel_token();
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = stopping.cancelled() => next += Duration::from_secs(86_400 * 365),
            () = tokio::time::sleep_until(next) => next = Instant::now(),
        }
        let Some(pool) = pool.upgrade() else { return };
        match pool.expire(next) {
            Some(at) => next = at,
            None => return,
        }
    }
}

impl Out {
    /// Lets a process wait for the next caller, or go.
    pub(super) fn give_back(&mut self, running: Running) {
        self.pool.keep(running);
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.pool.state().n_out -= 1;
    }
}
