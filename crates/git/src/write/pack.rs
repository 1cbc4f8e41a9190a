//! The pack in which new objects leave. Source: gitformat-pack(5).

use std::io::{self, Write};

use gix::zlib::Compression;
use gix::zlib::stream::deflate;

use super::{NewObject, NewObjects, hash_kind};
use crate::objects::Kind;

/// How hard content is compressed, as git does by default.
const LEVEL: i32 = 6;

impl NewObjects {
    /// Writes one pack without deltas. Blocks; costs the compression of everything.
    ///
    /// # Errors
    /// Only if more objects were allowed than a pack can hold.
    pub fn into_pack(self) -> io::Result<Vec<u8>> {
        let odd = |_| io::Error::new(io::ErrorKind::InvalidInput, "more objects than a pack can hold");
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend(u32::try_from(self.objects.len()).map_err(odd)?.to_be_bytes());
        for object in self.objects {
            pack = write_entry(pack, &object)?;
        }
        let mut hasher = gix::hash::hasher(hash_kind(self.format));
        hasher.update(&pack);
        let checksum = hasher.try_finalize().map_err(io::Error::other)?;
        pack.extend_from_slice(checksum.as_slice());
        Ok(pack)
    }
}

fn write_entry(mut pack: Vec<u8>, object: &NewObject) -> io::Result<Vec<u8>> {
    let number: u8 = match object.kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    // Three bits of kind and four of the size, then seven more in each byte; the highest bit says that one follows.
    let mut size = object.content.len();
    let low = |size: usize, mask: usize| u8::try_from(size & mask).unwrap_or_default();
    let mut byte = number << 4 | low(size, 0x0f);
    size >>= 4;
    while size > 0 {
        pack.push(byte | 0x80);
        byte = low(size, 0x7f);
        size >>= 7;
    }
    pack.push(byte);
    let level = Compression::new(LEVEL).unwrap_or_default();
    let mut deflate = deflate::Write::new(pack, level);
    deflate.write_all(&object.content)?;
    deflate.flush()?;
    Ok(deflate.into_inner())
}
