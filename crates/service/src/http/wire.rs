//! The bytes of one HTTP connection, with the deadlines that [`Activity`] knows.

use super::Settings;
use super::activity::Activity;
use crate::stream::{Guarded, Reading, Stall};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream that fails with `TimedOut` when the client misses a deadline.
pub(super) type Wire<S> = Guarded<S, Turns>;

/// Reads of a connection on which client and server take turns.
#[derive(Debug)]
pub(super) struct Turns {
    activity: Arc<Activity>,
    timer: Pin<Box<Sleep>>,
    half_closed: Duration,
    /// When bytes last moved after the client closed its side.
    moved: Option<Instant>,
}

/// Guards the stream of a connection.
pub(super) fn wire<S>(stream: S, activity: Arc<Activity>, settings: &Settings) -> Wire<S> {
    let timer = Box::pin(sleep_until(activity.deadline().unwrap_or_else(Instant::now)));
    let turns = Turns { activity, timer, half_closed: settings.half_closed, moved: None };
    Guarded::with(stream, turns, Stall::new(Some(settings.patience)))
}

impl Turns {
    /// Keeps the client's close from hyper while an answer moves: hyper takes it for the client's leave and drops the
    /// answer, which a client that only closed its side waits for.
    fn poll_closed(&mut self, cx: &mut Context<'_>, moved: Instant) -> Poll<()> {
        if !self.activity.is_running() {
            return Poll::Ready(());
        }
        let deadline = moved + self.half_closed;
        if deadline <= Instant::now() {
            return Poll::Ready(());
        }
        self.timer.as_mut().reset(deadline);
        self.timer.as_mut().poll(cx)
    }

    /// Answers whether the client is late. The timer moves only when it must fire earlier, or has fired.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(deadline) = self.activity.deadline().filter(|at| *at < self.timer.deadline()) {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let next = self.activity.deadline();
            if next.is_some_and(|at| at <= now) {
                self.activity.count_late();
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(next.unwrap_or_else(|| now + self.activity.nap()));
        }
        Poll::Pending
    }
}

impl Reading for Turns {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(moved) = self.moved {
            return self.poll_closed(cx, moved).map(Ok);
        }
        let before = buf.filled().len();
        match Pin::new(stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                let now = Instant::now();
                self.moved = Some(now);
                self.poll_closed(cx, now).map(Ok)
            }
            Poll::Ready(Ok(())) => {
                self.activity.received(&buf.filled()[before..]);
                // A client that trickles bytes never lets a read wait, so it is judged here too.
                match self.poll_late(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(late())),
                    Poll::Pending => Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_late(cx).map(|()| Err(late())),
        }
    }

    fn wrote(&mut self) {
        if self.moved.is_some() {
            self.moved = Some(Instant::now());
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client missed a deadline")
}
