//! Work that is under way at most once, however many wait for it.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use hakata_runtime::tasks::{TaskName, Tasks};
use tokio::sync::watch;

/// One piece of work that callers start or join. It runs in a task of its own, so a caller that leaves does not stop
/// it half-way.
#[derive(Debug)]
pub(crate) struct Flight<T> {
    running: Mutex<Option<watch::Receiver<Option<T>>>>,
}

/// The work was cut or panicked, so there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was stopped")]
pub struct Stopped;

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { running: Mutex::new(None) }
    }
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    /// Waits for the work that is under way, or starts it.
    ///
    /// Work that was joined may have read its input before the call: a caller that needs something newer asks again.
    ///
    /// # Errors
    /// [`Stopped`] when the task ended without a result.
    pub(crate) async fn join<F>(
        &self,
        tasks: &Tasks,
        name: TaskName,
        work: impl FnOnce() -> F,
    ) -> Result<T, Stopped>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut result = self.receiver(tasks, name, work);
        let done = result.wait_for(Option::is_some).await.map_err(|_| Stopped)?;
        done.clone().ok_or(Stopped)
    }

    /// Starts the work unless it is under way, and does not wait for it.
    pub(crate) fn start<F>(&self, tasks: &Tasks, name: TaskName, work: impl FnOnce() -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        drop(self.receiver(tasks, name, work));
    }

    fn receiver<F>(
        &self,
        tasks: &Tasks,
        name: TaskName,
        work: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_running = |at: &watch::Receiver<Option<T>>| at.borrow().is_none() && at.has_changed().is_ok();
        if let Some(at) = running.as_ref().filter(|at| is_running(at)) {
            return at.clone();
        }
        let (sender, receiver) = watch::channel(None);
        let work = work();
        // The task lives on under its owner; its handle has no use here.
        drop(tasks.spawn(name, async move {
            sender.send_replace(Some(work.await));
        }));
        *running = Some(receiver.clone());
        receiver
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hakata_runtime::tasks::Tasks;
    use tokio::sync::Notify;

    use super::{Flight, Stopped};

    #[tokio::test]
    async fn many_wait_for_one() {
        let (tasks, flight) = (Tasks::new(), Arc::new(Flight::default()));
        let (n_started, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let join = || {
            let (n_started, go) = (n_started.clone(), go.clone());
            flight.join(&tasks, "test", move || async move {
                go.notified().await;
                n_started.fetch_add(1, Ordering::SeqCst) + 1
            })
        };
        let both = async { tokio::join!(join(), join(), async { go.notify_one() }) };
        assert_eq!(both.await, (Ok(1), Ok(1), ()));
        go.notify_one();
        assert_eq!(join().await, Ok(2), "a finished flight is not joined");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_does_not_stop_the_work() {
        let (tasks, flight) = (Tasks::new(), Flight::default());
        let go = Arc::new(Notify::new());
        let waits = go.clone();
        {
            let joined = flight.join(&tasks, "test", move || async move { waits.notified().await });
            futures_util::pin_mut!(joined);
            assert!(futures_util::poll!(&mut joined).is_pending());
        }
        assert_eq!(tasks.live(), 1);
        go.notify_one();
        tasks.empty().await;
    }

    #[tokio::test]
    async fn cut_work_has_no_result_and_can_be_started_again() {
        let (tasks, flight) = (Tasks::new(), Flight::<u8>::default());
        let joined = flight.join(&tasks, "test", std::future::pending);
        let (joined, ()) = tokio::join!(joined, tasks.cut());
        assert_eq!(joined, Err(Stopped));
        let tasks = Tasks::new();
        assert_eq!(flight.join(&tasks, "test", || async { 3 }).await, Ok(3));
    }
}
