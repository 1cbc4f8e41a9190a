//! One bounded pool for work that blocks a thread: reading objects, hashing passwords.

use crate::limit::{Bounds, Limit, Limited, Permit};
use crate::metrics::Metric;
use crate::tasks;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// A bound on concurrent blocking work; cheap to clone.
#[derive(Clone, Debug)]
pub struct Blocking {
    limit: Arc<Limit>,
}

/// Why blocking work gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockingError {
    /// The pool and its queue are full; nothing was run.
    #[error("the pool for blocking work is full")]
    Full(#[source] Limited),
    /// The work panicked; it was counted and logged.
    #[error("blocking work panicked")]
    Panicked,
    /// The runtime is stopping; the work may not have run.
    #[error("the runtime is stopping")]
    Stopping,
}

impl Blocking {
    /// Makes a pool in which at most `n` closures run at once, with the default queue.
    pub fn new(n: usize) -> Self {
        Self::with_bounds(Bounds { permits: n, ..Bounds::default() })
    }

    /// Makes a pool with its own queue and wait.
    pub fn with_bounds(bounds: Bounds) -> Self {
        Self { limit: Arc::new(Limit::new("blocking", bounds)) }
    }

    /// Runs a closure on a blocking thread.
    ///
    /// Dropping the future does not stop a closure that has begun, and its place stays taken until it ends.
    ///
    /// # Errors
    /// When there is no place in time, or the closure panics.
    pub async fn run<T, F>(&self, work: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let permit = self.limit.acquire().await.map_err(BlockingError::Full)?;
        Place(permit).start(work).await
    }

    /// Finds a free place for work that may as well be done later.
    pub fn place(&self) -> Option<Place> {
        self.limit.acquire_free().map(Place)
    }
}

/// A place on a blocking thread.
#[derive(Debug)]
pub struct Place(Permit);

impl Place {
    /// Starts a closure. It runs to its end, whether or not anybody waits for it.
    pub fn start<T, F>(self, work: F) -> Started<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        Started(tasks::spawn_blocking(move || {
            let _permit = self.0;
            catch_unwind(AssertUnwindSafe(work))
        }))
    }
}

/// Blocking work that has begun: a future of its result.
#[derive(Debug)]
pub struct Started<T>(JoinHandle<Result<T, Box<dyn Any + Send>>>);

impl<T> Future for Started<T> {
    type Output = Result<T, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|ran| match ran {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panic)) => {
                tasks::report_panic("blocking", panic.as_ref());
                Err(BlockingError::Panicked)
            }
            Err(_) => Err(BlockingError::Stopping),
        })
    }
}

/// Lists the metrics of blocking work: those of its limit.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn never_more_than_n_closures_run() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let pool = Blocking::new(2);
        let work = || {
            MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            RUNNING.fetch_sub(1, Ordering::SeqCst);
        };
        let all = (0..40).map(|_| pool.run(work));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        assert!(MOST.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_the_place_back() {
        let pool = Blocking::new(1);
        assert_eq!(pool.run(|| panic!("odd object")).await, Err::<(), _>(BlockingError::Panicked));
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_place_is_found_only_if_one_is_free() {
        let pool = Blocking::new(1);
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let busy = pool.place().map(|place| place.start(move || wait.recv().is_ok()));
        assert!(pool.place().is_none(), "the one place is taken");
        release.send(()).unwrap();
        assert_eq!(busy.unwrap().await, Ok(true));
        assert!(pool.place().is_some());
    }

    #[tokio::test]
    async fn a_full_pool_refuses() {
        let pool = Blocking::with_bounds(Bounds { permits: 1, queue: 0, wait: Duration::from_secs(9) });
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let busy = pool.run(move || wait.recv().is_ok());
        let mut busy = std::pin::pin!(busy);
        assert!(futures_util::poll!(&mut busy).is_pending());
        assert!(matches!(pool.run(|| ()).await, Err(BlockingError::Full(_))));
        release.send(()).unwrap();
        assert_eq!(busy.await, Ok(true));
    }
}
