//! Sources of bytes that behave as sources do: they stop, break, and never end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::oneshot;

/// Gives so many bytes and then an error.
pub(crate) struct Breaks(pub(crate) usize);

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(std::io::Error::other("cable cut")));
        }
        let n = self.0.min(buf.remaining());
        buf.put_slice(&vec![7; n]);
        self.0 -= n;
        Poll::Ready(Ok(()))
    }
}

/// Gives bytes and says how many were taken; at last it waits, and then breaks or ends.
pub(crate) struct Counted {
    pub(crate) left: u64,
    pub(crate) taken: Arc<AtomicU64>,
    pub(crate) rest: Option<oneshot::Receiver<()>>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let n = buf.remaining().min(usize::try_from(self.left).unwrap());
        if n == 0 {
            if let Some(rest) = &mut self.rest {
                ready!(Pin::new(rest).poll(cx)).unwrap();
                self.rest = None;
            }
            return Poll::Ready(Ok(()));
        }
        buf.put_slice(&vec![7; n]);
        self.left -= n as u64;
        self.taken.fetch_add(n as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Bytes that are nowhere the same.
pub(crate) fn bytes(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(n + 8);
    while bytes.len() < n {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes());
    }
    bytes.truncate(n);
    bytes
}
