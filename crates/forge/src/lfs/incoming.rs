//! The bytes of an upload on their way in: hashed and counted, and stopped at the first that is too many.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{Context as Hasher, SHA256};
use hakata_names::LfsOid;
use tokio::io::{AsyncRead, ReadBuf};

/// A stream that fails at its end unless its bytes are those that were announced: what reads it keeps nothing then.
pub(super) struct Incoming<R> {
    source: R,
    oid: LfsOid,
    size_bytes: u64,
    n_read: u64,
    hasher: Option<Hasher>,
    fault: Option<Fault>,
}

/// What was wrong with an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The bytes have another hash.
    #[error("the content hashes to {found}, not to the oid")]
    Hash {
        /// What they hash to.
        found: LfsOid,
    },
    /// There are more bytes than announced.
    #[error("the content is longer than the {size_bytes} bytes that were announced")]
    Long {
        /// What was announced.
        size_bytes: u64,
    },
    /// There are fewer.
    #[error("the content ends after {n_read} of {size_bytes} bytes")]
    Short {
        /// How many came.
        n_read: u64,
        /// What was announced.
        size_bytes: u64,
    },
    /// The client broke off.
    #[error("the upload broke off")]
    Broken,
}

impl<R> Incoming<R> {
    pub(super) fn new(source: R, oid: LfsOid, size_bytes: u64) -> Self {
        let hasher = Some(Hasher::new(&SHA256));
        Self { source, oid, size_bytes, n_read: 0, hasher, fault: None }
    }

    /// Tells what was wrong, if reading failed because of the upload.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    fn fail(&mut self, fault: Fault) -> io::Error {
        self.fault = Some(fault);
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }

    fn judge_end(&mut self) -> io::Result<()> {
        let (n_read, size_bytes) = (self.n_read, self.size_bytes);
        if n_read < size_bytes {
            return Err(self.fail(Fault::Short { n_read, size_bytes }));
        }
        // Asked again behind its end, it is still at its end.
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let digest = hasher.finish();
        match LfsOid::from_bytes(digest.as_ref()) {
            Some(found) if found == self.oid => Ok(()),
            Some(found) => Err(self.fail(Fault::Hash { found })),
            None => Err(io::Error::other("SHA-256 has 32 bytes")),
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Incoming<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(fault) = this.fault {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
        }
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if let Err(error) = ready!(Pin::new(&mut this.source).poll_read(cx, buf)) {
            this.fault = Some(Fault::Broken);
            return Poll::Ready(Err(error));
        }
        let new = &buf.filled()[before..];
        if new.is_empty() {
            return Poll::Ready(this.judge_end());
        }
        this.n_read += new.len() as u64;
        if this.n_read > this.size_bytes {
            let size_bytes = this.size_bytes;
            // A reader that fails has given nothing.
            buf.set_filled(before);
            return Poll::Ready(Err(this.fail(Fault::Long { size_bytes })));
        }
        if let Some(hasher) = &mut this.hasher {
            hasher.update(new);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::LfsOid;
    use tokio::io::AsyncReadExt;

    use super::{Fault, Incoming};

    /// SHA-256 of `hello`.
    const HELLO: &[u8] = b"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    async fn read(bytes: &'static [u8], size_bytes: u64) -> Option<Fault> {
        let mut incoming = Incoming::new(bytes, LfsOid::parse(HELLO).unwrap(), size_bytes);
        let mut read = Vec::new();
        let result = incoming.read_to_end(&mut read).await;
        assert_eq!(result.is_ok(), incoming.fault().is_none(), "a fault fails the reader");
        incoming.fault()
    }

    #[tokio::test]
    async fn t2_only_what_was_announced_comes_to_its_end() {
        assert_eq!(read(b"hello", 5).await, None);
        assert_eq!(read(b"hello!", 5).await, Some(Fault::Long { size_bytes: 5 }));
        assert_eq!(read(b"hell", 5).await, Some(Fault::Short { n_read: 4, size_bytes: 5 }));
        assert!(matches!(read(b"jello", 5).await, Some(Fault::Hash { .. })));
        assert!(matches!(read(b"", 0).await, Some(Fault::Hash { .. })));
    }
}
