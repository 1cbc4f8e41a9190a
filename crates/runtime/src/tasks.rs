//! Tasks with an owner who cancels them and waits for them; the only place that spawns on the runtime.
//!
//! A [`Tasks`] is a group. Stopping has two steps: *drain* asks (the group's [`cancel_token`](Tasks::cancel_token) fires
//! and each task finishes what it does), *cut* drops the futures that did not finish in time. A child group stops with
//! its parent, and the parent waits for the child's tasks too.

use crate::metrics::{Counter, CounterFamily, Gauge, GaugeFamily, GaugeGuard, Label, Metric};
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, coop};
use tokio_util::sync::CancellationToken;

static LIVE: GaugeFamily<Named> = GaugeFamily::new("hakata_tasks_live", "Tasks that are running now");
static LIVE_ALL: Gauge =
    Gauge::new("hakata_tasks_live_all", "Tasks that are running now, all names together");
static PANICS: CounterFamily<Named> = CounterFamily::new("hakata_task_panics_total", "Tasks that panicked");
static CUT: Counter =
    Counter::new("hakata_tasks_cut_total", "Tasks whose future was dropped before it finished");

/// What a task does, as a word in the code: a label of the gauge of live tasks.
pub type TaskName = &'static str;

/// A task's name as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named(TaskName);

impl Label for Named {
    const KEY: &'static str = "task";

    fn value(self) -> &'static str {
        self.0
    }
}

/// A group of tasks and the right to stop them; cloning gives another handle to the same group.
#[derive(Clone, Debug)]
pub struct Tasks {
    group: Arc<Group>,
}

#[derive(Debug)]
struct Group {
    drain: CancellationToken,
    cut: CancellationToken,
    live: watch::Sender<usize>,
    n_cut: AtomicUsize,
    parent: Option<Arc<Group>>,
}

/// What became of a group's tasks in a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that ended by themselves after they were asked.
    pub finished: usize,
    /// Tasks whose future had to be dropped.
    pub cut: usize,
}

/// Why a task has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// Its owner cut it.
    #[error("the task was cut by its owner")]
    Cut,
    /// It panicked; the panic was counted and logged where it happened.
    #[error("the task panicked")]
    Panicked,
}

/// A running task: a future of its result. Dropping it lets the task run on under its owner.
#[derive(Debug)]
pub struct Task<T> {
    handle: JoinHandle<Result<T, Stopped>>,
    cut_on_drop: bool,
}

impl Tasks {
    /// Makes a group without a parent.
    pub fn new() -> Self {
        Self::group(CancellationToken::new(), CancellationToken::new(), None)
    }

    /// Makes a group that stops with this one and counts in it.
    pub fn child(&self) -> Self {
        let parent = &self.group;
        Self::group(parent.drain.child_token(), parent.cut.child_token(), Some(parent.clone()))
    }

    fn group(drain: CancellationToken, cut: CancellationToken, parent: Option<Arc<Group>>) -> Self {
        let live = watch::Sender::new(0);
        Self { group: Arc::new(Group { drain, cut, live, n_cut: AtomicUsize::new(0), parent }) }
    }

    /// Runs a future as a task of this group. Must be called inside the runtime.
    ///
    /// A panic is caught, counted, logged and reported as [`Stopped::Panicked`]. After a cut nothing runs any more:
    /// the future is dropped unpolled.
    pub fn spawn<F>(&self, name: TaskName, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Boxed: each layer below would keep room for it twice, before and after it is moved in.
        self.spawn_caught(name, Box::pin(AssertUnwindSafe(future).catch_unwind()))
    }

    /// Runs a future at once as far as it goes, in the time of whoever calls, and what has to wait as a task.
    ///
    /// For futures that mostly have all they need: a task of its own would cost more than they do. Panics and cuts are
    /// met as in [`spawn`](Self::spawn).
    pub fn run_or_spawn<F>(&self, name: TaskName, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut future = Box::pin(AssertUnwindSafe(future).catch_unwind());
        // Nobody hears this waker: what would be woken is polled again by its task.
        let mut context = Context::from_waker(Waker::noop());
        // Whoever calls has other things to do too, and the runtime counts how long it has done this one.
        let _ = std::pin::pin!(coop::consume_budget()).poll(&mut context);
        if !self.group.cut.is_cancelled() && coop::has_budget_remaining() {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(Ok(())) => return,
                Poll::Ready(Err(panic)) => return report_panic(name, panic.as_ref()),
                Poll::Pending => {}
            }
        }
        drop(self.spawn_caught(name, future));
    }

    /// Spawns a future whose panics are caught.
    fn spawn_caught<F, T>(&self, name: TaskName, future: Pin<Box<F>>) -> Task<T>
    where
        F: Future<Output = Result<T, Box<dyn Any + Send>>> + Send + 'static,
        T: Send + 'static,
    {
        let counted = Counted::new(name, self.group.clone());
        let cut = self.group.cut.child_token();
        let handle = tokio::spawn(async move {
            let mut counted = counted;
            match cut.run_until_cancelled_owned(future).await {
                Some(Ok(result)) => {
                    counted.ended = true;
                    Ok(result)
                }
                Some(Err(panic)) => {
                    counted.ended = true;
                    report_panic(name, panic.as_ref());
                    Err(Stopped::Panicked)
                }
                None => Err(Stopped::Cut),
            }
        });
        Task { handle, cut_on_drop: false }
    }

    /// Gives the token that fires when this group drains; long-lived tasks select on it.
    pub fn cancel_token(&self) -> CancellationToken {
        self.group.drain.clone()
    }

    /// Asks every task to finish, without waiting.
    pub fn cancel(&self) {
        self.group.drain.cancel();
    }

    /// Counts the tasks of this group and its children.
    pub fn live(&self) -> usize {
        *self.group.live.borrow()
    }

    /// Waits until no task of this group is left.
    pub async fn empty(&self) {
        let mut live = self.group.live.subscribe();
        // The sender lives in the group, which `self` keeps, so the wait cannot fail.
        let _ = live.wait_for(|n| *n == 0).await;
    }

    /// Asks every task to finish, waits for them until the deadline, then cuts the rest and waits for that.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let n_before = self.live();
        let cut_before = self.group.n_cut.load(Ordering::SeqCst);
        self.cancel();
        let _ = tokio::time::timeout(deadline, self.empty()).await;
        self.cut().await;
        let cut = self.group.n_cut.load(Ordering::SeqCst) - cut_before;
        Drained { finished: n_before.saturating_sub(cut), cut }
    }

    /// Drops the futures of all tasks and waits until they are gone. The group runs nothing afterwards.
    pub async fn cut(&self) {
        self.group.drain.cancel();
        self.group.cut.cancel();
        self.empty().await;
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Task<T> {
    /// Makes the task end when this handle is dropped.
    #[must_use]
    pub fn cut_on_drop(mut self) -> Self {
        self.cut_on_drop = true;
        self
    }

    /// Drops the task's future soon.
    pub fn cut(&self) {
        self.handle.abort();
    }

    /// Tells whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.cut_on_drop {
            self.handle.abort();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A panic inside the task is caught there, so a join error can only be an abort.
        Pin::new(&mut self.handle).poll(cx).map(|joined| joined.unwrap_or(Err(Stopped::Cut)))
    }
}

/// Counts one task in its group, in the groups above and in the gauges, until it is dropped with the task's future.
struct Counted {
    _name: GaugeGuard,
    _all: GaugeGuard,
    group: Arc<Group>,
    ended: bool,
}

impl Counted {
    fn new(name: TaskName, group: Arc<Group>) -> Self {
        for group in group.with_parents() {
            group.live.send_modify(|n| *n += 1);
        }
        Self { _name: LIVE.get(Named(name)).track(), _all: LIVE_ALL.track(), group, ended: false }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.ended {
            CUT.inc();
        }
        for group in self.group.with_parents() {
            if !self.ended {
                group.n_cut.fetch_add(1, Ordering::SeqCst);
            }
            group.live.send_modify(|n| *n -= 1);
        }
    }
}

impl Group {
    fn with_parents(&self) -> impl Iterator<Item = &Group> {
        std::iter::successors(Some(self), |group| group.parent.as_deref())
    }
}

/// Runs blocking work for [`crate::blocking`], which bounds how much of it there is.
pub(crate) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

/// Logs and counts a panic; the text of a panic is ours, so it is shown.
pub(crate) fn report_panic(name: TaskName, panic: &(dyn Any + Send)) {
    PANICS.get(Named(name)).inc();
    tracing::error!(task = name, message = panic_text(panic), "a task panicked");
}

/// Tells what a panic said, if it said text.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Lists the metrics of tasks.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&LIVE, &LIVE_ALL, &PANICS, &CUT]
}

#[cfg(test)]
mod tests;
