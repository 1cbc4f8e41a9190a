//! One file of a commit-graph, chunk by chunk: what the library that reads the graph leaves out.
//!
//! ```text
//! "CGPH" version u8, hash u8, number of chunks u8, number of files below u8
//! for each chunk, and once more for the end: name [u8; 4], offset u64
//! ```
//! Source: gitformat-commit-graph(5), gitformat-chunk(5).

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

/// Longest chunk that is held in memory, once it was needed; of longer ones each piece is read when it is.
const MAX_HELD: u64 = 8 << 20;

/// Bytes of a row of the table of chunks.
const ROW: usize = 12;

/// An open file and where its chunks lie.
pub(super) struct GraphFile {
    file: File,
    table: Vec<u8>,
}

/// Some bytes of a file.
pub(super) struct Chunk {
    at: u64,
    length: u64,
    /// All of it; `None` if it is too long, or cannot be read.
    held: OnceLock<Option<Box<[u8]>>>,
}

impl GraphFile {
    /// Opens a file and reads its table; `None` if it has none.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let mut head = [0; 8];
        file.read_exact_at(&mut head, 0).ok()?;
        let n_chunks = usize::from(head[6]);
        let mut table = vec![0; (n_chunks + 1) * ROW];
        file.read_exact_at(&mut table, 8).ok()?;
        Some(Self { file, table })
    }

    /// Finds a chunk by its name.
    pub(super) fn chunk(&self, name: &[u8; 4]) -> Option<Chunk> {
        let mut rows = self.table.chunks_exact(ROW).skip_while(|row| row[..4] != *name);
        let mut offset = || rows.next()?[4..].try_into().ok().map(u64::from_be_bytes);
        Chunk::new(offset()?, offset()?)
    }
}

impl Chunk {
    /// Says where it is; `None` if that makes no sense.
    fn new(at: u64, end: u64) -> Option<Self> {
        Some(Self { at, length: end.checked_sub(at)?, held: OnceLock::new() })
    }

    /// Returns its length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Cuts it in two; `None` if it is shorter than the first part.
    pub(super) fn split(&self, at: u64) -> Option<(Self, Self)> {
        let middle = self.at.checked_add(at)?;
        Some((Self::new(self.at, middle)?, Self::new(middle, self.at.checked_add(self.length)?)?))
    }

    /// Reads all of it; `None` if it is longer than allowed, or cannot be read.
    pub(super) fn read_all(&self, file: &GraphFile, max: u64) -> Option<Vec<u8>> {
        if self.length > max { None } else { read(file, self.at, self.length) }
    }

    /// Returns some of its bytes; `None` if they cannot be read.
    pub(super) fn read(&self, file: &GraphFile, offset: u64, length: u64) -> Option<Cow<'_, [u8]>> {
        match self.held.get_or_init(|| self.read_all(file, MAX_HELD).map(Vec::into_boxed_slice)) {
            Some(held) => {
                let from = usize::try_from(offset).ok()?;
                Some(held.get(from..from.checked_add(usize::try_from(length).ok()?)?)?.into())
            }
            None => read(file, self.at.checked_add(offset)?, length).map(Cow::Owned),
        }
    }
}

fn read(file: &GraphFile, at: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Chunk, GraphFile};

    #[test]
    fn what_is_too_long_to_be_held_is_read_when_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("graph");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = GraphFile { file: std::fs::File::open(&path).unwrap(), table: Vec::new() };
        let (held, not_held) = (Chunk::new(2, 9).unwrap(), Chunk::new(2, 9).unwrap());
        assert!(not_held.held.set(None).is_ok());
        for chunk in [&held, &not_held] {
            assert_eq!(chunk.read(&file, 1, 3).as_deref(), Some(&b"345"[..]));
            assert_eq!(chunk.read(&file, 5, 9).as_deref(), None, "there is no more");
        }
        assert!(held.held.get().is_some_and(|all| all.as_deref() == Some(&b"2345678"[..])));
        assert_eq!(held.read_all(&file, 6), None, "it is longer");
        assert!(Chunk::new(9, 2).is_none());
    }

    #[test]
    fn chunks_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("graph");
        let row = |name: &[u8; 4], at: u64| [&name[..], &at.to_be_bytes()].concat();
        let rows = [row(b"AAAA", 44), row(b"BBBB", 47), row(&[0; 4], 48)].concat();
        std::fs::write(&path, [b"CGPH\x01\x01\x02\x00", &rows[..], b"onex"].concat()).unwrap();
        let file = GraphFile::open(&path).unwrap();
        let read = |name| file.chunk(name)?.read_all(&file, 9);
        assert_eq!(read(b"AAAA").as_deref(), Some(&b"one"[..]));
        assert_eq!(read(b"BBBB").as_deref(), Some(&b"x"[..]));
        assert_eq!(read(b"CCCC"), None);
    }
}
