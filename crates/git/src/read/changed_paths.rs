//! The changed-path filters of a commit-graph: Bloom filters that say of most commits that they left a path alone.
//!
//! ```text
//! chunk BIDX   for each commit the end of its filter within BDAT's data, u32
//! chunk BDAT   version u32, hashes per path u32, bits per path u32, then the filters
//! ```
//! A filter holds every path that differs from the first parent and all directories above it.
//! Source: gitformat-commit-graph(5).

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

/// Longest filter that is read, in bytes; git writes no filter for more than 512 paths.
const MAX_FILTER: u32 = 64 << 10;

/// Most hashes per path; git uses 7.
const MAX_HASHES: u32 = 64;

/// Longest index and filters that are held in memory, once they were needed; of longer ones each filter is read when it is.
const MAX_HELD: u64 = 8 << 20;

/// The filters of one file.
pub(super) struct ChangedPaths {
    file: File,
    index: Chunk,
    filters: Chunk,
    version: u32,
    n_hashes: u32,
}

/// Some bytes of a file.
struct Chunk {
    at: u64,
    length: u64,
    /// All of it; `None` if it is too long, or cannot be read.
    held: OnceLock<Option<Box<[u8]>>>,
}

/// What one commit may have changed.
pub(crate) struct Filter<'a> {
    bits: Cow<'a, [u8]>,
    version: u32,
    n_hashes: u32,
}

/// A path as filters know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathKey {
    first: u32,
    second: u32,
    is_ascii: bool,
}

impl ChangedPaths {
    /// Finds the filters in a file of a commit-graph; `None` if it has none that are understood.
    pub(super) fn open(path: &Path, n_commits: u32) -> Option<Self> {
        let file = File::open(path).ok()?;
        let mut head = [0; 8];
        file.read_exact_at(&mut head, 0).ok()?;
        let n_chunks = usize::from(head[6]);
        let mut table = vec![0; (n_chunks + 1) * 12];
        file.read_exact_at(&mut table, 8).ok()?;
        let chunk = |name: &[u8]| {
            let at = table.chunks_exact(12).position(|row| row[..4] == *name)?;
            let offset = |row: &[u8]| row.get(4..12)?.try_into().ok().map(u64::from_be_bytes);
            Some((offset(&table[at * 12..])?, offset(table.get((at + 1) * 12..)?)?))
        };
        let (index_at, index_end) = chunk(b"BIDX")?;
        let (data_at, data_end) = chunk(b"BDAT")?;
        if index_end.checked_sub(index_at)? != u64::from(n_commits) * 4 {
            return None;
        }
        let mut settings = [0; 12];
        file.read_exact_at(&mut settings, data_at).ok()?;
        let setting = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|n| settings[at + n]));
        let (version, n_hashes) = (setting(0), setting(4));
        let known = matches!(version, 1 | 2) && (1..=MAX_HASHES).contains(&n_hashes);
        let index = Chunk::new(index_at, index_end)?;
        let filters = Chunk::new(data_at + 12, data_end)?;
        known.then(|| Self { file, index, filters, version, n_hashes })
    }

    /// Reads the filter of a commit; `None` if git made none for it.
    pub(super) fn filter(&self, commit: u32) -> Option<Filter<'_>> {
        let end = |raw: &[u8]| raw.try_into().map_or(0, u32::from_be_bytes);
        let (start, end) = match commit {
            0 => (0, end(&self.index.read(&self.file, 0, 4)?)),
            _ => {
                let ends = self.index.read(&self.file, u64::from(commit - 1) * 4, 8)?;
                (end(&ends[..4]), end(&ends[4..]))
            }
        };
        let length = end.checked_sub(start).filter(|length| (1..=MAX_FILTER).contains(length))?;
        let bits = self.filters.read(&self.file, u64::from(start), u64::from(length))?;
        Some(Filter { bits, version: self.version, n_hashes: self.n_hashes })
    }
}

impl Chunk {
    /// Says where it is; `None` if that makes no sense.
    fn new(at: u64, end: u64) -> Option<Self> {
        Some(Self { at, length: end.checked_sub(at)?, held: OnceLock::new() })
    }

    /// Returns some of its bytes; `None` if they cannot be read.
    fn read(&self, file: &File, offset: u64, length: u64) -> Option<Cow<'_, [u8]>> {
        let read = |at: u64, length: u64| {
            let mut bytes = vec![0; usize::try_from(length).ok()?];
            file.read_exact_at(&mut bytes, at).ok()?;
            Some(bytes)
        };
        let whole = || read(self.at, self.length).map(Vec::into_boxed_slice);
        match self.held.get_or_init(|| if self.length <= MAX_HELD { whole() } else { None }) {
            Some(held) => {
                let from = usize::try_from(offset).ok()?;
                Some(held.get(from..from.checked_add(usize::try_from(length).ok()?)?)?.into())
            }
            None => read(self.at.checked_add(offset)?, length).map(Cow::Owned),
        }
    }
}

impl Filter<'_> {
    /// Says whether a path may have changed; `false` is certain.
    pub(crate) fn may_contain(&self, key: &PathKey) -> bool {
        // Version 1 hashed bytes as signed characters, on machines where they are.
        if self.version == 1 && !key.is_ascii {
            return true;
        }
        let bits = &*self.bits;
        let n_bits = bits.len() as u64 * 8;
        (0..self.n_hashes).all(|n| {
            let hash = key.first.wrapping_add(n.wrapping_mul(key.second));
            let bit = u64::from(hash) % n_bits;
            let byte = usize::try_from(bit / 8).map_or(0, |at| bits[at]);
            byte & (1 << (bit % 8)) != 0
        })
    }
}

impl PathKey {
    /// Hashes a path without a slash at its end.
    pub(crate) fn new(path: &[u8]) -> Self {
        let (first, second) = (murmur3(0x293a_e76f, path), murmur3(0x7e64_6e2c, path));
        Self { first, second, is_ascii: path.is_ascii() }
    }

    /// Hashes a path and every directory above it: a commit that changes it changes all of them.
    pub(crate) fn with_parents(path: &[u8]) -> Vec<Self> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        slashes.chain([path.len()]).map(|end| Self::new(&path[..end])).collect()
    }
}

/// MurmurHash3, 32 bits. Source: the public domain original by Austin Appleby.
fn murmur3(seed: u32, data: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mix = |k: u32| k.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (blocks, tail) = data.as_chunks::<4>();
    let mut hash = seed;
    for block in blocks {
        hash ^= mix(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| rest << 8 | u32::from(*byte));
        hash ^= mix(rest);
    }
    // Paths are shorter than 4 GiB.
    hash ^= u32::try_from(data.len()).unwrap_or(u32::MAX);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::{Chunk, murmur3};

    #[test]
    fn what_is_too_long_to_be_held_is_read_when_it_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("filters");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let (held, not_held) = (Chunk::new(2, 9).unwrap(), Chunk::new(2, 9).unwrap());
        assert!(not_held.held.set(None).is_ok());
        for chunk in [&held, &not_held] {
            assert_eq!(chunk.read(&file, 1, 3).as_deref(), Some(&b"345"[..]));
            assert_eq!(chunk.read(&file, 5, 9).as_deref(), None, "there is no more");
        }
        assert!(held.held.get().is_some_and(|all| all.as_deref() == Some(&b"2345678"[..])));
        assert!(Chunk::new(9, 2).is_none());
    }

    /// Source: git's own tests of `seeded_murmur3`.
    #[test]
    fn hashes_are_git_s() {
        assert_eq!(murmur3(0, b""), 0);
        assert_eq!(murmur3(0, b"Hello world!"), 0x627b_0c2c);
        assert_eq!(murmur3(0, b"The quick brown fox jumps over the lazy dog"), 0x2e4f_f723);
        assert_eq!(murmur3(0, b"\x99\xaa\xbb\xcc\xdd\xee\xff"), 0xa183_ccfd);
    }
}
