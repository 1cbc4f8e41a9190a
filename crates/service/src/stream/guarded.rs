//! A stream that ends when its peer falls silent or stops reading.

use super::{Patience, Stall};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a stream may stand still, or nearly so; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Without a byte in either direction, counted while somebody reads.
    pub idle: Option<Duration>,
    /// With a write that makes no progress, or too little.
    pub patience: Option<Patience>,
}

impl Default for Deadlines {
    /// 60 s, and the default of patience.
    fn default() -> Self {
        Self { idle: Some(Duration::from_secs(60)), patience: Some(Patience::default()) }
    }
}

/// A stream with [`Deadlines`]; a missed one is an error of kind `TimedOut`.
///
/// TCP keepalive does not do this: the kernel of a peer that has stopped answers for it. A peer that trickles bytes is
/// not idle; a protocol with a handshake sets a deadline on the whole of it.
#[derive(Debug)]
pub struct Guarded<S, R = Silence> {
    stream: S,
    reading: R,
    stall: Stall,
}

/// What a guarded stream makes of its reads. Its writes are watched in one way.
pub(crate) trait Reading {
    /// Reads, or tells that the peer is late.
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;

    /// Notes that bytes were written.
    fn wrote(&mut self);
}

/// Ends reads of a peer that neither sends nor takes anything.
#[derive(Debug)]
pub struct Silence {
    idle: Option<Duration>,
    last_byte: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> Guarded<S> {
    /// Guards a stream from now on. Must be called inside the runtime.
    pub fn new(stream: S, deadlines: Deadlines) -> Self {
        let last_byte = Instant::now();
        let timer = Box::pin(sleep_until(last_byte + deadlines.idle.unwrap_or_default()));
        let silence = Silence { idle: deadlines.idle, last_byte, timer };
        Self::with(stream, silence, Stall::new(deadlines.patience))
    }

    /// Changes how long the stream may be silent, for example after login.
    pub fn set_idle(&mut self, idle: Option<Duration>) {
        let silence = &mut self.reading;
        silence.idle = idle;
        silence.timer.as_mut().reset(silence.last_byte + idle.unwrap_or_default());
    }
}

impl<S, R> Guarded<S, R> {
    /// Guards a stream whose reads are judged in a way of their own.
    pub(crate) fn with(stream: S, reading: R, stall: Stall) -> Self {
        Self { stream, reading, stall }
    }

    /// The guarded stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

/// Notes the outcome of a write on both sides of a guard.
fn wrote<R: Reading>(
    (reading, stall): (&mut R, &mut Stall),
    cx: &mut Context<'_>,
    write: Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(_)) = write {
        reading.wrote();
    }
    stall.written(cx, write)
}

impl Silence {
    /// Answers whether the silence has lasted too long. The timer is only moved when it fires, so that bytes cost one
    /// reading of the clock.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(idle) = self.idle else { return Poll::Pending };
        while self.timer.as_mut().poll(cx).is_ready() {
            let deadline = self.last_byte + idle;
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl Reading for Silence {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                self.last_byte = Instant::now();
                Poll::Ready(read)
            }
            Poll::Pending => {
                let silent = || io::Error::new(io::ErrorKind::TimedOut, "the peer is silent");
                self.poll_late(cx).map(|()| Err(silent()))
            }
        }
    }

    fn wrote(&mut self) {
        self.last_byte = Instant::now();
    }
}

impl<S: AsyncRead + Unpin, R: Reading + Unpin> AsyncRead for Guarded<S, R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.reading.poll_read(&mut this.stream, cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, R: Reading + Unpin> AsyncWrite for Guarded<S, R> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write(cx, buf);
        wrote((&mut this.reading, &mut this.stall), cx, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        wrote((&mut this.reading, &mut this.stall), cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flush = Pin::new(&mut this.stream).poll_flush(cx);
        this.stall.flushed(cx, flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shutdown = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.stall.flushed(cx, shutdown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn deadlines(idle: u64, stall: u64) -> Deadlines {
        let patience = Patience { stall: Duration::from_secs(stall), ..Patience::default() };
        Deadlines { idle: Some(Duration::from_secs(idle)), patience: Some(patience) }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_cut_at_the_limit_and_bytes_extend_it() {
        let (near, mut far) = duplex(64);
        let mut near = Guarded::new(near, deadlines(10, 10));
        let start = Instant::now();
        let feed = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            far.write_all(b"x").await.unwrap();
            std::future::pending::<()>().await
        };
        let read = async {
            assert_eq!(near.read_u8().await.unwrap(), b'x');
            near.read_u8().await.unwrap_err().kind()
        };
        tokio::select! {
            () = feed => unreachable!("the feeder waits for ever"),
            kind = read => assert_eq!(kind, io::ErrorKind::TimedOut),
        }
        assert_eq!(start.elapsed().as_secs(), 17, "ten seconds after the last byte");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_reads_is_cut() {
        let (near, _far) = duplex(16);
        let mut near = Guarded::new(near, deadlines(100, 5));
        let start = Instant::now();
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_too_slowly_is_cut() {
        let (near, mut far) = duplex(16);
        let patience = Patience { min_rate: 10, window: Duration::from_secs(60), ..Patience::default() };
        let mut near = Guarded::new(near, Deadlines { idle: None, patience: Some(patience) });
        let start = Instant::now();
        let trickle = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                far.read_u8().await.unwrap();
            }
        };
        tokio::select! {
            () = trickle => unreachable!("it reads for ever"),
            error = near.write_all(&[0; 4_096]) => assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut),
        }
        assert_eq!(start.elapsed().as_secs(), 60, "after a window of waiting");
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_waits_for_ever() {
        let (near, _far) = duplex(16);
        let mut near = Guarded::new(near, Deadlines { idle: None, patience: None });
        let day = Duration::from_secs(86_400);
        assert!(tokio::time::timeout(day, near.read_u8()).await.is_err());
    }
}
