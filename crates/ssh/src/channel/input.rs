//! A command's standard input: what the client sends on its channel.

use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that may wait for the command: as many as a client may have on the way.
const MAX_WAITING: usize = 2 * 1024 * 1024;

/// What a part costs beside its bytes, so that many small packets are bounded too.
const PART_COST: usize = 256;

/// Reads the parts that the channel's pump delivers; end of file when the client sends it.
pub(crate) struct Input {
    parts: mpsc::UnboundedReceiver<Part>,
    current: Bytes,
}

/// The pump's side; dropping it is the end of the file.
pub(super) struct Feed {
    parts: mpsc::UnboundedSender<Part>,
    room: Arc<Semaphore>,
}

/// Bytes and the room that they take until they are read.
struct Part {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The command no longer reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotRead;

impl Input {
    /// Makes an input and what feeds it.
    pub(super) fn new() -> (Feed, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let feed = Feed { parts: sender, room: Arc::new(Semaphore::new(MAX_WAITING)) };
        (feed, Self { parts: receiver, current: Bytes::new() })
    }
}

impl Feed {
    /// Hands over bytes when there is room for them.
    ///
    /// # Errors
    /// [`NotRead`] when nobody will read them.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), NotRead> {
        let cost = u32::try_from((bytes.len() + PART_COST).min(MAX_WAITING)).unwrap_or(u32::MAX);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(cost) => room.map_err(|_| NotRead)?,
            () = self.parts.closed() => return Err(NotRead),
        };
        self.parts.send(Part { bytes, _room: room }).map_err(|_| NotRead)
    }
}

impl AsyncBufRead for Input {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.current.is_empty() {
            match ready!(this.parts.poll_recv(cx)) {
                Some(part) => this.current = part.bytes,
                None => break,
            }
        }
        Poll::Ready(Ok(&this.current))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.current.advance(amount);
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = available.len().min(buf.remaining());
        buf.put_slice(&available[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, NotRead};
    use bytes::Bytes;
    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn parts_are_read_in_order_and_then_it_ends() {
        let (feed, mut input) = Input::new();
        for part in ["ab", "", "cde"] {
            feed.send(Bytes::from_static(part.as_bytes())).await.unwrap();
        }
        drop(feed);
        let mut two = [0; 3];
        assert_eq!(input.read(&mut two[..1]).await.unwrap(), 1);
        let mut rest = String::new();
        input.read_to_string(&mut rest).await.unwrap();
        assert_eq!((two[0], rest.as_str()), (b'a', "bcde"));
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes_and_in_parts() {
        for size in [1, 32 * 1024] {
            let (feed, mut input) = Input::new();
            let part = Bytes::from(vec![7; size]);
            let mut waiting_bytes = 0;
            while feed.send(part.clone()).now_or_never().is_some() {
                waiting_bytes += size;
            }
            assert!(waiting_bytes <= 2 << 20 && waiting_bytes / size <= 8192, "{size}: {waiting_bytes}");
            input.read_exact(&mut vec![0; size + 1]).await.unwrap();
            assert!(feed.send(part).now_or_never().is_some(), "reading makes room");
        }
    }

    #[tokio::test]
    async fn a_command_that_is_gone_is_noticed_even_when_all_is_full() {
        let (feed, input) = Input::new();
        while feed.send(Bytes::from(vec![7; 1 << 20])).now_or_never().is_some() {}
        let (sent, ()) = tokio::join!(feed.send(Bytes::from(vec![7; 1 << 20])), async { drop(input) });
        assert_eq!(sent, Err(NotRead));
    }
}
