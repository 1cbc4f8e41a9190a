//! The byte stream below SSH: cut from outside, watched for stalls, quick in the handshake.

use hakata_service::stream::{Deadlines, Guarded, Patience};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes read ahead: the library asks the stream for each packet twice, for its length and for the rest, and all packets
/// of a handshake fit into this. Larger reads go past it.
const READ_AHEAD: usize = 2 * 1024;

/// A stream that ends at once when its token is cancelled, in the middle of a read or write too.
///
/// The library that speaks SSH runs in a task of its own which nothing can abort; failing its stream ends it.
pub(crate) struct Wire<S> {
    stream: BufReader<Guarded<S>>,
    cut: CancellationToken,
    cut_wait: Pin<Box<WaitForCancellationFutureOwned>>,
    logged_in: CancellationToken,
    after_read: fn(&S),
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Wraps a stream. `after_read` runs after each read until `logged_in` fires: it re-arms quick acknowledgements,
    /// without which both sides of the handshake wait 40 ms for each other several times.
    pub(crate) fn new(
        stream: S,
        cut: CancellationToken,
        logged_in: CancellationToken,
        after_read: fn(&S),
        patience: Patience,
    ) -> Self {
        let cut_wait = Box::pin(cut.clone().cancelled_owned());
        let stream = Guarded::new(stream, Deadlines { idle: None, patience: Some(patience) });
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        Self { stream, cut, cut_wait, logged_in, after_read }
    }
}

impl<S> Wire<S> {
    fn check_cut(&self) -> io::Result<()> {
        if self.cut.is_cancelled() { Err(cut_error()) } else { Ok(()) }
    }

    /// Waits for the cut beside a pending read or write; the SSH session polls both from one task.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.cut_wait.as_mut().poll(cx));
        Poll::Ready(cut_error())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_cut()?;
        let is_ahead = !this.stream.buffer().is_empty();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                if !is_ahead && !this.logged_in.is_cancelled() {
                    (this.after_read)(this.stream.get_ref().get_ref());
                }
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_cut(cx).map(Err),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn poll_guarded<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Guarded<S>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.check_cut()?;
        match poll(Pin::new(self.stream.get_mut()), cx) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => self.poll_cut(cx).map(Err),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_guarded(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_guarded(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_guarded(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

fn cut_error() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut by the server")
}

#[cfg(test)]
mod tests {
    use super::{AsyncRead, Context, Patience, Pin, Poll, ReadBuf, Wire, io};
    use std::io::ErrorKind;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_util::sync::CancellationToken;

    fn wire(stream: DuplexStream, cut: &CancellationToken) -> Wire<DuplexStream> {
        Wire::new(
            stream,
            cut.clone(),
            CancellationToken::new(),
            |_| {},
            Patience { min_rate: 0, ..Patience::default() },
        )
    }

    /// Counts the reads of a socket.
    struct Counting(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let read = Pin::new(&mut self.0).poll_read(cx, buf);
            self.1.fetch_add(usize::from(read.is_ready()), Ordering::Relaxed);
            read
        }
    }

    #[tokio::test]
    async fn a_packet_is_one_read_of_the_socket_and_one_acknowledgement() {
        static ACKNOWLEDGED: AtomicUsize = AtomicUsize::new(0);
        let (stream, mut peer) = duplex(4_096);
        let reads = Arc::new(AtomicUsize::new(0));
        let acknowledge = |_: &Counting| {
            ACKNOWLEDGED.fetch_add(1, Ordering::Relaxed);
        };
        let (cut, logged_in) = (CancellationToken::new(), CancellationToken::new());
        let stream = Counting(stream, reads.clone());
        let mut wire = Wire::new(stream, cut, logged_in, acknowledge, Patience::default());
        for n in 1..4 {
            peer.write_all(&[n; 100]).await.unwrap();
            let mut packet = [0; 100];
            wire.read_exact(&mut packet[..4]).await.unwrap();
            wire.read_exact(&mut packet[4..]).await.unwrap();
            assert_eq!(packet, [n; 100]);
            let n = usize::from(n);
            assert_eq!((reads.load(Ordering::Relaxed), ACKNOWLEDGED.load(Ordering::Relaxed)), (n, n));
        }
    }

    #[tokio::test]
    async fn a_cut_ends_a_pending_read() {
        let (stream, _peer) = duplex(64);
        let cut = CancellationToken::new();
        let mut wire = wire(stream, &cut);
        let mut byte = [0];
        let (read, ()) = tokio::join!(wire.read(&mut byte), async { cut.cancel() });
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert!(wire.write(b"x").await.is_err(), "and every later write");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_cut_after_the_stall_limit() {
        let (stream, mut peer) = duplex(4);
        let mut wire = wire(stream, &CancellationToken::new());
        let start = tokio::time::Instant::now();
        let error = wire.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (ErrorKind::TimedOut, 60));
        let mut taken = [0; 4];
        peer.read_exact(&mut taken).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_takes_something_is_not_cut() {
        let (stream, mut peer) = duplex(4);
        let mut wire = wire(stream, &CancellationToken::new());
        let slow = async {
            let mut taken = [0; 4];
            for _ in 0..16 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                peer.read_exact(&mut taken).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(wire.write_all(&[0; 64]), slow);
        written.unwrap();
    }
}
