//! Where a conversation writes.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// The way to a client.
pub enum Output<'a> {
    /// A stream, such as an SSH channel.
    Writer(Box<dyn AsyncWrite + Send + Unpin + 'a>),
    /// Frames of a body, such as HTTP's: slices of a snapshot travel without a copy. A dropped receiver
    /// means that the client left.
    Frames(mpsc::Sender<Bytes>),
}

impl<'a> Output<'a> {
    /// Wraps a stream.
    pub fn writer(stream: impl AsyncWrite + Send + Unpin + 'a) -> Self {
        Self::Writer(Box::new(stream))
    }

    /// Sends bytes, waiting while the client is slow.
    ///
    /// # Errors
    /// The stream's; [`io::ErrorKind::BrokenPipe`] if the receiver of frames is gone.
    pub async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self {
            Self::Writer(stream) => stream.write_all(&bytes).await,
            Self::Frames(frames) => frames.send(bytes).await.map_err(|_| io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Sends several pieces in order.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_all(&mut self, pieces: impl IntoIterator<Item = Bytes>) -> io::Result<()> {
        for piece in pieces {
            self.send(piece).await?;
        }
        Ok(())
    }

    /// Pushes buffered bytes on their way.
    ///
    /// # Errors
    /// The stream's.
    pub async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Writer(stream) => stream.flush().await,
            Self::Frames(_) => Ok(()),
        }
    }

    /// Waits until the client is known to have left; a stream tells only when it is written to, so for one
    /// this waits forever.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let frames = match self {
            Self::Writer(_) => None,
            Self::Frames(frames) => Some(frames.clone()),
        };
        async move {
            match frames {
                Some(frames) => frames.closed().await,
                None => std::future::pending().await,
            }
        }
    }
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Writer(_) => "Output::Writer",
            Self::Frames(_) => "Output::Frames",
        })
    }
}
