//! The changed-path filters of a commit-graph: Bloom filters that say of most commits that they left a path alone.
//!
//! ```text
//! chunk BIDX   for each commit the end of its filter within BDAT's data, u32
//! chunk BDAT   version u32, hashes per path u32, bits per path u32, then the filters
//! ```
//! A filter holds every path that differs from the first parent and all directories above it.
//! Source: gitformat-commit-graph(5).

use std::borrow::Cow;

use super::graph_file::{Chunk, GraphFile};

/// Longest filter that is read, in bytes; git writes no filter for more than 512 paths.
const MAX_FILTER: u32 = 64 << 10;

/// Most hashes per path; git uses 7.
const MAX_HASHES: u32 = 64;

/// The filters of one file.
pub(super) struct ChangedPaths {
    index: Chunk,
    filters: Chunk,
    version: u32,
    n_hashes: u32,
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
    pub(super) fn open(file: &GraphFile, n_commits: u32) -> Option<Self> {
        let (index, data) = (file.chunk(b"BIDX")?, file.chunk(b"BDAT")?);
        if index.length() != u64::from(n_commits) * 4 {
            return None;
        }
        let (settings, filters) = data.split(12)?;
        let settings = settings.read(file, 0, 12)?;
        let setting = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|n| settings[at + n]));
        let (version, n_hashes) = (setting(0), setting(4));
        let known = matches!(version, 1 | 2) && (1..=MAX_HASHES).contains(&n_hashes);
        known.then(|| Self { index, filters, version, n_hashes })
    }

    /// Reads the filter of a commit; `None` if git made none for it.
    pub(super) fn filter(&self, file: &GraphFile, commit: u32) -> Option<Filter<'_>> {
        let end = |raw: &[u8]| raw.try_into().map_or(0, u32::from_be_bytes);
        let (start, end) = match commit {
            0 => (0, end(&self.index.read(file, 0, 4)?)),
            _ => {
                let ends = self.index.read(file, u64::from(commit - 1) * 4, 8)?;
                (end(&ends[..4]), end(&ends[4..]))
            }
        };
        let length = end.checked_sub(start).filter(|length| (1..=MAX_FILTER).contains(length))?;
        let bits = self.filters.read(file, u64::from(start), u64::from(length))?;
        Some(Filter { bits, version: self.version, n_hashes: self.n_hashes })
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
    use super::murmur3;

    /// Source: git's own tests of `seeded_murmur3`.
    #[test]
    fn hashes_are_git_s() {
        assert_eq!(murmur3(0, b""), 0);
        assert_eq!(murmur3(0, b"Hello world!"), 0x627b_0c2c);
        assert_eq!(murmur3(0, b"The quick brown fox jumps over the lazy dog"), 0x2e4f_f723);
        assert_eq!(murmur3(0, b"\x99\xaa\xbb\xcc\xdd\xee\xff"), 0xa183_ccfd);
    }
}
