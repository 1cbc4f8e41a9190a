//! Polls a connection again at once when it has woken itself, without a way through the scheduler.
//!
//! hyper wakes its own task when an answer asks for the body of its request. The scheduler takes a task that wakes
//! itself for one that yields, and wakes another thread to take over what may wait: two changes of thread for every
//! POST on a connection that is otherwise alone.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls in a row; then others have their turn.
const MAX_POLLS: u32 = 8;

/// Drives one connection.
pub(super) struct Again {
    bell: Arc<Bell>,
    waker: Waker,
}

/// What wakes the connection.
struct Bell {
    outer: AtomicWaker,
    is_polling: AtomicBool,
    has_rung: AtomicBool,
}

impl Again {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell {
            outer: AtomicWaker::new(),
            is_polling: AtomicBool::new(false),
            has_rung: AtomicBool::new(false),
        });
        Self { waker: bell.clone().into(), bell }
    }

    /// Runs a future to its end.
    pub(super) async fn drive<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| self.poll(future.as_mut(), cx)).await
    }

    fn poll<F: Future>(&self, mut future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.bell.outer.register(cx.waker());
        for _ in 0..MAX_POLLS {
            self.bell.is_polling.store(true, Ordering::SeqCst);
            self.bell.has_rung.store(false, Ordering::SeqCst);
            let polled = future.as_mut().poll(&mut Context::from_waker(&self.waker));
            // In this order: whoever rings from here on wakes the task, whoever rang before is seen below.
            self.bell.is_polling.store(false, Ordering::SeqCst);
            if polled.is_ready() || !self.bell.has_rung.load(Ordering::SeqCst) {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::SeqCst);
        if !self.is_polling.load(Ordering::SeqCst) {
            self.outer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Wakes itself this often before it is ready.
    fn restless(mut n: u32) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if n == 0 {
                return Poll::Ready(());
            }
            n -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn waking_oneself_does_not_go_through_the_scheduler() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = std::pin::pin!(restless(MAX_POLLS - 1));
        assert!(Again::new().poll(future.as_mut(), &mut cx).is_ready());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn who_never_rests_yields() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = std::pin::pin!(restless(MAX_POLLS + 1));
        let again = Again::new();
        assert!(again.poll(future.as_mut(), &mut cx).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "the others have their turn");
        assert!(again.poll(future.as_mut(), &mut cx).is_ready());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_waking_from_elsewhere_is_lost() {
        for _ in 0..2_000 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let sending = tokio::spawn(async move { sender.send(7) });
            let mut receiver = std::pin::pin!(receiver);
            assert_eq!(Again::new().drive(receiver.as_mut()).await, Ok(7));
            assert!(sending.await.unwrap().is_ok());
        }
    }
}
