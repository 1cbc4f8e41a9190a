//! The bytes of one HTTP connection, with the deadlines that [`Activity`] knows.

use super::Settings;
use super::activity::Activity;
use crate::stream::Stall;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A stream that fails with `TimedOut` when the client misses a deadline.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    activity: Arc<Activity>,
    timer: Pin<Box<Sleep>>,
    stall: Stall,
    half_closed: Duration,
    /// When bytes last moved after the client closed its side.
    moved: Option<Instant>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, settings: &Settings) -> Self {
        let timer = Box::pin(sleep_until(activity.deadline().unwrap_or_else(Instant::now)));
        let stall = Stall::new(Some(settings.write_stall));
        Self { stream, activity, timer, stall, half_closed: settings.half_closed, moved: None }
    }

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

    fn wrote(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if write.is_ready() && self.moved.is_some() {
            self.moved = Some(Instant::now());
        }
        self.stall.watch(cx, write)
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
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(next.unwrap_or_else(|| now + self.activity.nap()));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(moved) = this.moved {
            return this.poll_closed(cx, moved).map(Ok);
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                let now = Instant::now();
                this.moved = Some(now);
                this.poll_closed(cx, now).map(Ok)
            }
            Poll::Ready(Ok(())) => {
                this.activity.received(&buf.filled()[before..]);
                // A client that trickles bytes never lets a read wait, so it is judged here too.
                match this.poll_late(cx) {
                    Poll::Ready(()) => Poll::Ready(Err(late())),
                    Poll::Pending => Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_late(cx).map(|()| Err(late())),
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client missed a deadline")
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wrote(cx, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flush = Pin::new(&mut this.stream).poll_flush(cx);
        this.stall.watch(cx, flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shutdown = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.stall.watch(cx, shutdown)
    }
}
