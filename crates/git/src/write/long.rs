//! Contents that are too long for memory: named and compressed as they come, into a file.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use gix::hash::Hasher;
use gix::zlib::Compression;
use gix::zlib::stream::deflate;
use hakata_names::{ObjectFormat, Oid};

use super::pack::{LEVEL, entry_header};
use super::{WriteError, hash_kind, hashed};
use crate::objects::Kind;

/// Files on their way into [`NewObjects`](super::NewObjects), one behind the other, as entries of a pack. Everything here
/// blocks.
#[derive(Debug)]
pub struct LongBlobs {
    format: ObjectFormat,
    out: Out,
    open: Option<Box<Open>>,
    known: HashSet<Oid>,
}

/// The one that comes now.
struct Open {
    /// Where its entry begins.
    begun_at: u64,
    left: u64,
    hasher: Hasher,
    deflate: deflate::Write<Out>,
}

/// The end of the file, wherever that is.
#[derive(Debug)]
struct Out {
    file: File,
    at: u64,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write_at(bytes, self.at)?;
        self.at += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LongBlobs {
    /// Begins with none, in an empty file that nobody else writes to.
    pub fn new(format: ObjectFormat, file: File) -> Self {
        Self { format, out: Out { file, at: 0 }, open: None, known: HashSet::new() }
    }

    /// Begins a content of so many bytes.
    ///
    /// # Errors
    /// The file system's. After any error nothing here is of use.
    pub fn begin(&mut self, size_bytes: u64) -> io::Result<()> {
        let mut hasher = gix::hash::hasher(hash_kind(self.format));
        hasher.update(format!("blob {size_bytes}\0").as_bytes());
        let mut out = Out { file: self.out.file.try_clone()?, at: self.out.at };
        out.write_all(&entry_header(Kind::Blob, size_bytes))?;
        let deflate = deflate::Write::new(out, Compression::new(LEVEL).unwrap_or_default());
        let open = Open { begun_at: self.out.at, left: size_bytes, hasher, deflate };
        self.open = Some(Box::new(open));
        Ok(())
    }

    /// Takes the next bytes of the content, as many as it lacks; returns the rest.
    ///
    /// # Errors
    /// The file system's.
    pub fn write<'b>(&mut self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        let Some(open) = &mut self.open else { return Ok(bytes) };
        let n = usize::try_from(open.left).unwrap_or(usize::MAX).min(bytes.len());
        let (taken, rest) = bytes.split_at(n);
        open.hasher.update(taken);
        open.deflate.write_all(taken)?;
        open.left -= n as u64;
        Ok(rest)
    }

    /// Counts the bytes that the content still lacks.
    pub fn left_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.left)
    }

    /// Ends the content, which has to be there to its last byte, and names it.
    ///
    /// # Errors
    /// [`WriteError::Invalid`] if bytes are missing; [`WriteError::Store`].
    pub fn end(&mut self) -> Result<Oid, WriteError> {
        let open = self.open.take().filter(|open| open.left == 0);
        let Open { begun_at, hasher, mut deflate, .. } =
            *open.ok_or_else(|| WriteError::Invalid("a content ends early".to_owned()))?;
        deflate.flush().map_err(WriteError::Store)?;
        let oid = hashed(hasher)?;
        // The same content twice is one object, and the second is written over.
        let is_new = self.known.insert(oid);
        self.out.at = if is_new { deflate.into_inner().at } else { begun_at };
        Ok(oid)
    }

    /// Says whether a content is among them.
    pub(super) fn has(&self, oid: &Oid) -> bool {
        self.known.contains(oid)
    }

    /// Counts them.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Gives the entries, and how many bytes they are.
    pub(super) fn into_entries(self) -> (File, u64) {
        (self.out.file, self.out.at)
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("left", &self.left).finish_non_exhaustive()
    }
}
