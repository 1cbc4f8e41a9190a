//! The client's bytes, counted; and the rest of a push that nobody wants any more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// A stream that counts what was read from it.
#[derive(Debug)]
pub(super) struct Counted<R> {
    stream: R,
    /// Shared with whoever tells of the operation when its future was dropped.
    n_bytes: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    pub(super) fn new(stream: R, n_bytes: Arc<AtomicU64>) -> Self {
        Self { stream, n_bytes }
    }
}

impl<R: AsyncRead + Unpin> Counted<R> {
    /// Reads and drops what the client still sends, up to `most` bytes: a client that is cut off while it
    /// writes does not read why it was refused. Ends when the client does, or is silent for `quiet`.
    pub(super) async fn drain(&mut self, most: u64, quiet: Duration) {
        let mut buffer = vec![0; 64 * 1024];
        let mut n_drained = 0;
        while n_drained < most {
            match tokio::time::timeout(quiet, self.read(&mut buffer)).await {
                Ok(Ok(n)) if n > 0 => n_drained += n as u64,
                _ => return,
            }
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.n_bytes.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}
