//! The pack in which new objects leave. Source: gitformat-pack(5).

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gix::hash::Hasher;
use gix::zlib::Compression;
use gix::zlib::stream::deflate;
use tokio::io::{AsyncRead, AsyncReadExt, Chain, ReadBuf, Take};

use super::long::LongBlobs;
use super::{NewObject, NewObjects, hash_kind};
use crate::objects::Kind;

/// How hard content is compressed, as git does by default.
pub(super) const LEVEL: i32 = 6;

/// One pack without deltas, to be read once. What was too long for memory is read from its file, whose end is where
/// the objects end.
pub struct NewPack {
    bytes: Chain<Cursor<Vec<u8>>, Long>,
    /// Hashes what was read, until that is all.
    hasher: Option<Hasher>,
    trailer: Cursor<Vec<u8>>,
}

/// What comes from a file.
type Long = Take<Entries>;

/// A file of entries, or none.
#[derive(Debug)]
enum Entries {
    None,
    File(tokio::fs::File),
}

impl NewObjects {
    /// Makes a pack of them. Blocks; costs the compression of everything that is in memory.
    ///
    /// # Errors
    /// If more objects were allowed than a pack can hold; the file system's.
    pub fn into_pack(self) -> io::Result<NewPack> {
        let odd = |_| io::Error::new(io::ErrorKind::InvalidInput, "more objects than a pack can hold");
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend(u32::try_from(self.len()).map_err(odd)?.to_be_bytes());
        for object in self.objects {
            pack = write_entry(pack, &object)?;
        }
        let (entries, length) = match self.long.map(LongBlobs::into_entries) {
            None => (Entries::None, 0),
            Some((file, length)) => (Entries::File(rewound(file)?), length),
        };
        Ok(NewPack {
            bytes: AsyncReadExt::chain(Cursor::new(pack), entries.take(length)),
            hasher: Some(gix::hash::hasher(hash_kind(self.format))),
            trailer: Cursor::default(),
        })
    }
}

impl fmt::Debug for NewPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPack").field("is_over", &self.hasher.is_none()).finish_non_exhaustive()
    }
}

fn rewound(mut file: File) -> io::Result<tokio::fs::File> {
    file.seek(SeekFrom::Start(0))?;
    Ok(tokio::fs::File::from_std(file))
}

impl AsyncRead for NewPack {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.hasher.is_some() {
            ready!(Pin::new(&mut self.bytes).poll_read(cx, buf))?;
        }
        match (buf.filled().get(before..), &mut self.hasher) {
            (Some(read @ [_, ..]), Some(hasher)) => {
                hasher.update(read);
                return Poll::Ready(Ok(()));
            }
            // There is no room, which is not the end.
            _ if buf.remaining() == 0 => return Poll::Ready(Ok(())),
            _ => {}
        }
        if let Some(hasher) = self.hasher.take() {
            let checksum = hasher.try_finalize().map_err(io::Error::other)?;
            self.trailer = Cursor::new(checksum.as_slice().to_vec());
        }
        Pin::new(&mut self.trailer).poll_read(cx, buf)
    }
}

impl AsyncRead for Entries {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::None => Poll::Ready(Ok(())),
            Self::File(file) => Pin::new(file).poll_read(cx, buf),
        }
    }
}

fn write_entry(mut pack: Vec<u8>, object: &NewObject) -> io::Result<Vec<u8>> {
    pack.extend(entry_header(object.kind, object.content.len() as u64));
    let level = Compression::new(LEVEL).unwrap_or_default();
    let mut deflate = deflate::Write::new(pack, level);
    deflate.write_all(&object.content)?;
    deflate.flush()?;
    Ok(deflate.into_inner())
}

/// Writes what stands in front of a compressed content.
pub(super) fn entry_header(kind: Kind, size_bytes: u64) -> Vec<u8> {
    let number: u8 = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    // Three bits of kind and four of the size, then seven more in each byte; the highest bit says that one follows.
    let low = |size: u64, mask: u64| u8::try_from(size & mask).unwrap_or_default();
    let mut header = Vec::with_capacity(10);
    let mut byte = number << 4 | low(size_bytes, 0x0f);
    let mut rest = size_bytes >> 4;
    while rest > 0 {
        header.push(byte | 0x80);
        byte = low(rest, 0x7f);
        rest >>= 7;
    }
    header.push(byte);
    header
}
