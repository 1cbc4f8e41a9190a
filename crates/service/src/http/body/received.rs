//! A body that a client sends, which must keep a minimum pace.

use super::super::Settings;
use super::{BodyError, length};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may make us wait, in all and at once. Only waiting counts, so a slow reader of ours costs the client nothing.
#[derive(Debug)]
pub(in crate::http) struct Pace {
    grace: Duration,
    min_rate: u64,
    stall: Duration,
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(in crate::http) fn new(settings: &Settings) -> Self {
        Self {
            grace: settings.body_grace,
            min_rate: settings.body_min_rate.max(1),
            stall: settings.body_stall,
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
        }
    }

    /// Notes that bytes came, or the end.
    fn came(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Waits on; ready when the client has used up its time, given what it sent so far.
    fn poll_over(&mut self, cx: &mut Context<'_>, received: u64) -> Poll<()> {
        if self.waiting_since.is_none() {
            let now = Instant::now();
            self.waiting_since = Some(now);
            let earned = Duration::from_secs(received / self.min_rate);
            // Whatever it has earned, a client that is gone is not waited for.
            let deadline = now + (self.grace + earned).saturating_sub(self.waited).min(self.stall);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(sleep_until(deadline))),
            }
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Received {
    incoming: Incoming,
    n_bytes: Arc<AtomicU64>,
    pace: Pace,
}

impl Received {
    pub(super) fn new(incoming: Incoming, pace: Pace) -> Self {
        Self { incoming, n_bytes: Arc::default(), pace }
    }

    /// The count of bytes so far, to keep beyond the body.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.n_bytes.clone()
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.pace.came();
                if let Some(Ok(frame)) = &frame {
                    self.n_bytes.fetch_add(frame.data_ref().map_or(0, length), Ordering::Relaxed);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Receive)))
            }
            Poll::Pending => {
                let received = self.n_bytes.load(Ordering::Relaxed);
                self.pace.poll_over(cx, received).map(|()| Some(Err(BodyError::TooSlow)))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_paid_with_bytes() {
        let settings =
            Settings { body_grace: Duration::from_secs(10), body_min_rate: 100, ..Settings::default() };
        let mut pace = Pace::new(&settings);
        let start = Instant::now();
        let nap = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        tokio::select! {
            () = poll_fn(|cx| pace.poll_over(cx, 0)) => panic!("within its grace"),
            () = nap(9) => pace.came(),
        }
        nap(3_600).await;
        poll_fn(|cx| pace.poll_over(cx, 500)).await;
        let waited = start.elapsed().as_secs() - 3_600;
        assert_eq!(waited, 15, "ten seconds of grace and five for 500 bytes; our own hour is free");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_earned_is_not_spent_at_once() {
        let settings = Settings { body_stall: Duration::from_secs(60), ..Settings::default() };
        let mut pace = Pace::new(&settings);
        for _ in 0..3 {
            let start = Instant::now();
            poll_fn(|cx| pace.poll_over(cx, 1 << 40)).await;
            assert_eq!(start.elapsed().as_secs(), 60, "a terabyte does not pay for a year of silence");
            pace.came();
        }
    }
}
