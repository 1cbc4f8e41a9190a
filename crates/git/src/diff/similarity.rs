//! How much of a file is found in another, by git's measure: files are cut into lines, long ones into pieces of
//! 64 bytes, and the bytes in pieces that both have are counted. Source: `diffcore-delta.c` of git.

/// The measure of identical files. Source: `MAX_SCORE` of git.
pub(super) const MAX_SCORE: u64 = 60_000;

/// Least measure of a rename: half of the content. Source: `DEFAULT_RENAME_SCORE` of git.
pub(super) const MIN_SCORE: u64 = 30_000;

/// Longest piece in bytes.
const MAX_PIECE: u32 = 64;

/// Number of different hashes.
const HASH_BASE: u32 = 107_927;

/// Pieces after which those of one hash are added up, so that a file of short lines needs little memory.
const MAX_PENDING: usize = 1 << 18;

/// The bytes of a file by the hash of the piece that they are in, sorted.
pub(super) struct Pieces {
    counts: Vec<(u32, u64)>,
    size: u64,
}

impl Pieces {
    /// Cuts a file up.
    pub(super) fn new(content: &[u8]) -> Self {
        let is_text = !super::lines::is_binary(content);
        let mut counts = Vec::new();
        let (mut first, mut second, mut n) = (0_u32, 0_u32, 0_u32);
        let hash = |first: u32, second: u32| first.wrapping_add(second.wrapping_mul(0x61)) % HASH_BASE;
        let mut bytes = content.iter().peekable();
        while let Some(byte) = bytes.next() {
            if is_text && *byte == b'\r' && bytes.peek() == Some(&&b'\n') {
                continue;
            }
            let before = first;
            first = (first << 7) ^ (second >> 25);
            second = (second << 7) ^ (before >> 25);
            first = first.wrapping_add(u32::from(*byte));
            n += 1;
            if n >= MAX_PIECE || *byte == b'\n' {
                counts.push((hash(first, second), u64::from(n)));
                (first, second, n) = (0, 0, 0);
                if counts.len() >= MAX_PENDING {
                    add_up(&mut counts);
                }
            }
        }
        if n > 0 {
            counts.push((hash(first, second), u64::from(n)));
        }
        add_up(&mut counts);
        Self { counts, size: content.len() as u64 }
    }

    /// Measures how much of the larger one is found in the other, from 0 to [`MAX_SCORE`].
    pub(super) fn similarity(&self, new: &Self) -> u64 {
        let larger = self.size.max(new.size);
        if new.size == 0 || !may_be_similar(self.size, new.size) {
            return 0;
        }
        let mut news = new.counts.iter().peekable();
        let mut copied = 0;
        for (hash, n) in &self.counts {
            while news.next_if(|(other, _)| other < hash).is_some() {}
            if let Some((_, other)) = news.next_if(|(other, _)| other == hash) {
                copied += n.min(other);
            }
        }
        copied * MAX_SCORE / larger
    }
}

/// Sorts, and adds up what is in pieces of the same hash.
fn add_up(counts: &mut Vec<(u32, u64)>) {
    counts.sort_unstable();
    counts.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        kept.1 += if same { later.1 } else { 0 };
        same
    });
}

/// Says whether files of these sizes can be half the same.
pub(super) fn may_be_similar(old: u64, new: u64) -> bool {
    old.max(new) * (MAX_SCORE - MIN_SCORE) >= old.abs_diff(new) * MAX_SCORE
}
