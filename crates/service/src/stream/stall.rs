//! A deadline on writes that make no progress.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Turns a write that stays pending too long into an error; costs nothing while writes go through.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    pending: bool,
}

impl Stall {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, timer: None, pending: false }
    }

    /// Looks at the outcome of a write: progress rearms the deadline, waiting runs against it.
    pub(crate) fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let (Poll::Pending, Some(limit)) = (&write, self.limit) else {
            self.pending = false;
            return write;
        };
        if !self.pending {
            self.pending = true;
            let deadline = Instant::now() + limit;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(sleep_until(deadline))),
            }
        }
        match self.timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads nothing")))
            }
            _ => Poll::Pending,
        }
    }
}
