//! A source that fails at its end unless it had the bytes that were promised.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{self, SHA256};
use tokio::io::{AsyncRead, ReadBuf};

/// Reads a source, counts and hashes what comes, and ends with an error that holds a [`Mismatch`] unless length and
/// SHA-256 are right. A store that is given this as a source keeps nothing then.
pub struct Checked<R> {
    source: R,
    digest: digest::Context,
    n_bytes: u64,
    size_bytes: u64,
    sha256: [u8; 32],
}

/// Other bytes than were promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Too few, or more than that.
    #[error("{wanted} bytes were promised, and {} came", n_came(.came, .wanted))]
    Size {
        /// The promised length in bytes.
        wanted: u64,
        /// What came; of too many no more than the first excess are counted.
        came: u64,
    },
    /// As many, but others.
    #[error("the bytes have another SHA-256 than was promised")]
    Content,
}

fn n_came(came: &u64, wanted: &u64) -> String {
    if came > wanted { "more".to_owned() } else { came.to_string() }
}

impl<R> Checked<R> {
    /// Expects so many bytes of that hash.
    pub fn new(source: R, size_bytes: u64, sha256: [u8; 32]) -> Self {
        Self { source, digest: digest::Context::new(&SHA256), n_bytes: 0, size_bytes, sha256 }
    }

    fn verdict(&self) -> Result<(), Mismatch> {
        let (wanted, came) = (self.size_bytes, self.n_bytes);
        if wanted != came {
            return Err(Mismatch::Size { wanted, came });
        }
        let is_right = self.digest.clone().finish().as_ref() == self.sha256;
        is_right.then_some(()).ok_or(Mismatch::Content)
    }
}

impl Mismatch {
    /// Finds out whether an error, or one that it comes from, is this one.
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let inner = inner.and_then(|inner| inner.downcast_ref::<Self>());
            if let Some(found) = inner.or_else(|| error.downcast_ref::<Self>()) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Checked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(Pin::new(&mut self.source).poll_read(cx, buf))?;
        let came = &buf.filled()[before..];
        self.n_bytes += came.len() as u64;
        let is_end = came.is_empty() && room > 0;
        self.digest.update(came);
        let verdict = if is_end || self.n_bytes > self.size_bytes { self.verdict() } else { Ok(()) };
        Poll::Ready(verdict.map_err(|mismatch| {
            // Who reads takes bytes or an error, never both.
            buf.set_filled(before);
            io::Error::new(io::ErrorKind::InvalidData, mismatch)
        }))
    }
}

impl<R: std::fmt::Debug> std::fmt::Debug for Checked<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { source, n_bytes, size_bytes, .. } = self;
        f.debug_struct("Checked")
            .field("source", source)
            .field("n_bytes", n_bytes)
            .field("size_bytes", size_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
    use tokio::io::AsyncReadExt as _;

    use super::{Checked, Mismatch};

    async fn read(bytes: &[u8], size_bytes: u64, of: &[u8]) -> Result<Vec<u8>, Mismatch> {
        let sha256 = digest(&SHA256, of).as_ref().try_into().unwrap();
        let mut read = Vec::new();
        match Checked::new(bytes, size_bytes, sha256).read_to_end(&mut read).await {
            Ok(_) => Ok(read),
            Err(error) => Err(*Mismatch::find(&error).unwrap()),
        }
    }

    #[tokio::test]
    async fn only_what_was_promised_comes_to_its_end() {
        assert_eq!(read(b"right", 5, b"right").await.unwrap(), b"right");
        assert_eq!(read(b"", 0, b"").await.unwrap(), b"");
        assert_eq!(read(b"wrong", 5, b"right").await, Err(Mismatch::Content));
        assert_eq!(read(b"righ", 5, b"right").await, Err(Mismatch::Size { wanted: 5, came: 4 }));
        let more = read(&[0; 100_000], 5, b"right").await.unwrap_err();
        assert!(matches!(more, Mismatch::Size { wanted: 5, .. }), "{more:?}");
        assert_eq!(more.to_string(), "5 bytes were promised, and more came");
    }
}
