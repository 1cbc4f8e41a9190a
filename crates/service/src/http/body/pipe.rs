//! Bodies that are written: a bounded buffer between a writer and whoever takes the bytes.

use super::{BodyError, BoxError, length};
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncWrite;

/// Bytes that may wait to be taken.
const ROOM: usize = 256 << 10;

/// The largest piece made of small writes.
const PIECE: usize = 64 << 10;

/// The writing end of a body. What is written can be taken at once; flushing does nothing.
///
/// Writing fails with `BrokenPipe` once nobody takes the bytes any more.
#[derive(Debug)]
pub struct BodyWriter {
    buffer: Arc<Buffer>,
}

/// The taking end of a pipe.
#[derive(Debug)]
pub(super) struct Piped {
    buffer: Arc<Buffer>,
}

/// A pipe together with the future that writes into it.
pub(super) struct Produced<Fut> {
    piped: Piped,
    future: Option<Pin<Box<Fut>>>,
}

#[derive(Debug, Default)]
struct Buffer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    n_bytes: usize,
    writer: Option<Waker>,
    taker: Option<Waker>,
    end: End,
    taker_gone: bool,
}

/// How far the writer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Finished,
    Abandoned,
}

impl BodyWriter {
    /// Writes bytes without copying them.
    ///
    /// # Errors
    /// When nobody takes them any more.
    pub async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        poll_fn(|cx| self.poll_room(cx)).await?;
        let mut state = self.buffer.state();
        state.close_tail();
        state.n_bytes += bytes.len();
        state.pieces.push_back(bytes);
        state.wake_taker();
        Ok(())
    }

    /// Ends the body in good order. A writer of a [`pipe`](super::Body::pipe) that is dropped without this cuts the body.
    pub fn finish(self) {
        self.end(End::Finished);
    }

    /// Waits until nobody takes the bytes any more.
    pub async fn gone(&mut self) {
        poll_fn(|cx| {
            let mut state = self.buffer.state();
            if state.taker_gone {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.buffer.state();
        if state.taker_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.n_bytes >= ROOM {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(ROOM - state.n_bytes))
    }

    fn end(&self, end: End) {
        let mut state = self.buffer.state();
        if state.end == End::Open {
            state.end = end;
            state.wake_taker();
        }
    }
}

impl AsyncWrite for BodyWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = std::task::ready!(self.poll_room(cx))?;
        let n = room.min(bytes.len());
        let mut state = self.buffer.state();
        state.tail.extend_from_slice(&bytes[..n]);
        state.n_bytes += n;
        if state.tail.len() >= PIECE {
            state.close_tail();
        }
        state.wake_taker();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end(End::Finished);
        Poll::Ready(Ok(()))
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        self.end(End::Abandoned);
    }
}

impl Buffer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.pieces.push_back(piece);
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.close_tail();
        }
        let piece = self.pieces.pop_front()?;
        self.n_bytes -= piece.len();
        if let Some(writer) = self.writer.take().filter(|_| self.n_bytes < ROOM) {
            writer.wake();
        }
        Some(piece)
    }

    fn wake_taker(&mut self) {
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }
}

impl Piped {
    pub(super) fn new() -> (BodyWriter, Self) {
        let buffer = Arc::<Buffer>::default();
        (BodyWriter { buffer: buffer.clone() }, Self { buffer })
    }

    /// Takes a piece, or tells how the writer ended once everything is taken.
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        let mut state = self.buffer.state();
        match (state.take(), state.end) {
            (Some(piece), _) => Poll::Ready(Ok(piece)),
            (None, End::Open) => {
                state.taker = Some(cx.waker().clone());
                Poll::Pending
            }
            (None, end) => Poll::Ready(Err(end)),
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let mut state = self.buffer.state();
        state.taker_gone = true;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

impl HttpBody for Piped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_piece(cx).map(|piece| match piece {
            Ok(piece) => Some(Ok(Frame::data(piece))),
            Err(End::Abandoned) => Some(Err(BodyError::Abandoned)),
            Err(_) => None,
        })
    }
}

impl<Fut> Produced<Fut> {
    pub(super) fn new(write: impl FnOnce(BodyWriter) -> Fut) -> Self {
        let (writer, piped) = Piped::new();
        Self { piped, future: Some(Box::pin(write(writer))) }
    }
}

impl<Fut: Future<Output = Result<(), BoxError>>> HttpBody for Produced<Fut> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        // Let the future write on unless a whole piece waits already; small writes become one piece this way.
        let waiting = this.piped.buffer.state().n_bytes;
        if waiting < PIECE
            && let Some(future) = &mut this.future
            && let Poll::Ready(result) = future.as_mut().poll(cx)
        {
            this.future = None;
            if let Err(error) = result {
                return Poll::Ready(Some(Err(BodyError::Produce(error))));
            }
        }
        match this.piped.poll_piece(cx) {
            Poll::Ready(Ok(piece)) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            _ if this.future.is_none() => Poll::Ready(None),
            // The writer is gone and the future still runs: it decides how the body ends, and has our waker.
            _ => Poll::Pending,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let mut hint = http_body::SizeHint::new();
        if self.future.is_none() {
            let state = self.piped.buffer.state();
            hint.set_exact(state.pieces.iter().map(length).sum::<u64>() + state.tail.len() as u64);
        }
        hint
    }
}
