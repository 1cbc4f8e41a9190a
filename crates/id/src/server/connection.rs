//! One memcached connection: bytes to the session, replies to the socket, and no longer than it may take.
//!
//! A turn reads once, answers every complete request of what was read, and writes once; nothing in it waits, so it
//! works in the thread's own buffers. What belongs to the connection is only what is left over: the beginning of a
//! request, and replies that the socket did not take. A connection that waits owns no buffer at all.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hakata_runtime::fault;
use hakata_service::stream::Stream;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::{Ended, REQUESTS, scratch};
use crate::memcached::{Next, Session, Settings, Source};

/// How long a client that was told to go may take to do so, before what it still sends makes the kernel drop our
/// last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// How much of what a client sends is thrown away in that time.
const FAREWELL_BYTES: usize = 1 << 20;

/// How much that has arrived is still answered when the server stops: more than a socket usually holds.
const LAST_BYTES: usize = 8 << 20;

/// The runtime's timers count in milliseconds. So does the time of ids, so the rest of a tick is not slept through.
const TIMER_GRAIN: Duration = Duration::from_millis(1);

/// A connection and what is under way on it.
pub(super) struct Conversation<S> {
    stream: Stream,
    session: Session,
    source: S,
    /// Bytes of unsent replies at which nothing more is read.
    max_unsent: usize,
    idle: Option<Duration>,
    /// Received, and not consumed by the session.
    input: Vec<u8>,
    /// Replies that the socket did not take yet.
    unsent: Vec<u8>,
    phase: Phase,
    /// When a request was completed last.
    active: Instant,
    /// When the socket took something last, while it does not take all there is.
    blocked: Option<Instant>,
    /// How much may still be read, once the server stops.
    last_bytes: Option<usize>,
}

/// What comes next when the replies allow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Read,
    /// The session is asked again with the input that it has.
    Again,
    /// As [`Phase::Again`], once every reply is written.
    Flush,
    End(Ended),
}

/// Why a connection stopped taking turns.
enum Turn {
    /// It does so again after this time.
    Wait(Duration),
    /// The server stops.
    Drain,
    End(Ended),
}

impl<S: Source> Conversation<S> {
    pub(super) fn new(stream: Stream, settings: Arc<Settings>, idle: Option<Duration>, source: S) -> Self {
        Self {
            stream,
            max_unsent: settings.max_unsent_bytes.max(1),
            session: Session::new(settings),
            source,
            idle,
            input: Vec::new(),
            unsent: Vec::new(),
            phase: Phase::Read,
            active: Instant::now(),
            blocked: None,
            last_bytes: None,
        }
    }

    /// Serves until the client leaves, is late, or the server stops.
    pub(super) async fn run(mut self, drain: &CancellationToken) -> Ended {
        let ended = self.converse(drain).await;
        if ended == Ended::Closed {
            // Whatever it still sends is of no interest.
            let _ = tokio::time::timeout(FAREWELL, self.part()).await;
        }
        ended
    }

    async fn converse(&mut self, drain: &CancellationToken) -> Ended {
        let mut timer = pin!(sleep_until(self.deadline().unwrap_or(self.active)));
        let mut drain = pin!(drain.cancelled());
        loop {
            match poll_fn(|cx| self.poll(cx, timer.as_mut(), drain.as_mut())).await {
                Turn::Wait(by) => wait(by).await,
                Turn::Drain => self.last_bytes = Some(LAST_BYTES),
                Turn::End(ended) => return ended,
            }
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        drain: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Poll<Turn> {
        if let Poll::Ready(turn) = self.poll_turns(cx) {
            return Poll::Ready(turn);
        }
        if self.last_bytes.is_none() && drain.poll(cx).is_ready() {
            return Poll::Ready(Turn::Drain);
        }
        // The timer is moved only when it fires, so that a request costs one reading of the clock. The deadline never
        // comes nearer than it was.
        while let Some(deadline) = self.deadline() {
            ready!(timer.as_mut().poll(cx));
            if deadline <= Instant::now() {
                let late = if self.blocked.is_some() { Ended::Unread } else { Ended::Idle };
                return Poll::Ready(Turn::End(late));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// When the client is late.
    fn deadline(&self) -> Option<Instant> {
        Some(self.blocked.unwrap_or(self.active) + self.idle?)
    }

    /// Takes turns until there is nothing to do.
    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            if self.poll_unsent(cx).is_err() {
                return Poll::Ready(Turn::End(Ended::Broken));
            }
            let room = self.unsent.len() < self.max_unsent;
            let turn = match self.phase {
                Phase::End(ended) if self.unsent.is_empty() => return Poll::Ready(Turn::End(ended)),
                Phase::Read if room && self.last_bytes.is_some() => self.read_the_last(cx),
                Phase::Read if room => ready!(self.poll_read(cx)),
                Phase::Flush if self.unsent.is_empty() => Ok(self.ask_again(cx)),
                Phase::Again if room => Ok(self.ask_again(cx)),
                _ => return Poll::Pending,
            };
            match turn {
                Ok(None) => {}
                Ok(Some(by)) => return Poll::Ready(Turn::Wait(by)),
                Err(_) => return Poll::Ready(Turn::End(Ended::Broken)),
            }
        }
    }

    /// Answers more of what was received; returns how long to wait for ids.
    fn ask_again(&mut self, cx: &mut Context<'_>) -> Option<Duration> {
        scratch::with(|scratch| self.answer(cx, &[], &mut scratch.replies))
    }

    /// Reads once and answers; returns how long to wait for ids.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Duration>>> {
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch.read);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let n_read = buffer.filled().len();
            Poll::Ready(Ok(self.received(cx, &scratch.read[..n_read], &mut scratch.replies)))
        })
    }

    /// Reads what the kernel has now, whether the runtime has heard of it or not.
    fn read_the_last(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Duration>> {
        scratch::with(|scratch| {
            let left = self.last_bytes.unwrap_or(0).min(scratch.read.len());
            let buffer = &mut scratch.read[..left];
            let socket = match &self.stream {
                Stream::Tcp(stream) => stream.as_fd(),
                Stream::Unix(stream) => stream.as_fd(),
            };
            let n_read = match rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT) {
                Ok((n_read, _)) => n_read,
                Err(Errno::AGAIN) => 0,
                Err(errno) => return Err(errno.into()),
            };
            if n_read == 0 {
                self.phase = Phase::End(Ended::Drained);
                return Ok(None);
            }
            self.last_bytes = self.last_bytes.map(|left| left - n_read);
            Ok(self.received(cx, &scratch.read[..n_read], &mut scratch.replies))
        })
    }

    fn received(&mut self, cx: &mut Context<'_>, new: &[u8], replies: &mut Vec<u8>) -> Option<Duration> {
        if new.is_empty() {
            // What it did not finish saying is not carried out.
            self.phase = Phase::End(Ended::Left);
            return None;
        }
        fault::point("id.received");
        self.answer(cx, new, replies)
    }

    /// Has the session answer what it has and `new`, and writes what the socket takes.
    fn answer(&mut self, cx: &mut Context<'_>, new: &[u8], replies: &mut Vec<u8>) -> Option<Duration> {
        let mut kept = mem::take(&mut self.input);
        let is_own = !kept.is_empty();
        if is_own {
            kept.extend_from_slice(new);
        }
        let input = if is_own { &kept } else { new };
        let is_blocked = !self.unsent.is_empty();
        let out = if is_blocked { &mut self.unsent } else { &mut *replies };
        let progress = self.session.feed(input, out, &mut self.source);
        self.source.end_turn();
        if is_own {
            kept.drain(..progress.consumed);
            self.input = slim(kept);
        } else if progress.consumed < new.len() {
            self.input = new[progress.consumed..].to_vec();
        }
        if progress.requests > 0 {
            REQUESTS.add(progress.requests.into());
            self.active = Instant::now();
        }
        if !is_blocked {
            self.write(cx, replies);
        }
        let (phase, by) = match progress.then {
            Next::Continue => (Phase::Read, None),
            Next::Flush => (Phase::Flush, None),
            Next::Wait(by) => (Phase::Again, Some(by)),
            Next::Close => (Phase::End(Ended::Closed), None),
        };
        self.phase = phase;
        by
    }

    /// Writes at once what the socket takes, and keeps the rest. An error shows again at the next write.
    fn write(&mut self, cx: &mut Context<'_>, replies: &[u8]) {
        if replies.is_empty() {
            return;
        }
        let n_written = match Pin::new(&mut self.stream).poll_write(cx, replies) {
            Poll::Ready(Ok(n_written)) => n_written,
            _ => 0,
        };
        if n_written < replies.len() {
            self.unsent = replies[n_written..].to_vec();
            self.blocked = Some(Instant::now());
        }
    }

    /// Writes what is left of earlier replies, as far as the socket takes it.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => drop(self.unsent.drain(..written?)),
            }
            self.blocked = Some(Instant::now());
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
                self.blocked = None;
                self.active = Instant::now();
            }
        }
        Ok(())
    }

    /// Ends our side and waits for the client to end its own: bytes that it sends to a closed socket would make the
    /// kernel drop what it has not read yet.
    async fn part(&mut self) {
        let _ = self.stream.shutdown().await;
        let mut left = FAREWELL_BYTES;
        while left > 0 {
            let read = poll_fn(|cx| {
                scratch::with(|scratch| {
                    let mut buffer = ReadBuf::new(&mut scratch.read);
                    let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
                    Poll::Ready(read.map(|()| buffer.filled().len()))
                })
            });
            match read.await {
                Ok(0) | Err(_) => return,
                Ok(n_read) => left = left.saturating_sub(n_read),
            }
        }
    }
}

/// Gives back the room that a long request needed.
fn slim(mut input: Vec<u8>) -> Vec<u8> {
    if input.is_empty() {
        return Vec::new();
    }
    if input.capacity() > 4 * input.len().max(1024) {
        input.shrink_to_fit();
    }
    input
}

/// Waits more exactly than the runtime's timers do.
async fn wait(by: Duration) {
    let until = std::time::Instant::now() + by;
    if let Some(long) = by.checked_sub(2 * TIMER_GRAIN) {
        tokio::time::sleep(long).await;
    }
    // Others get their turn even if there is nothing to wait for.
    loop {
        tokio::task::yield_now().await;
        if std::time::Instant::now() >= until {
            return;
        }
    }
}
