//! The corrected dates of a commit-graph: of each commit a date that is later than those of all its parents.
//!
//! Such dates order a history as well as the lengths of the ways to its roots do, and follow time: a short history that
//! was merged in from elsewhere stands among the commits of its days, not below the oldest of all others.
//!
//! ```text
//! chunk GDA2   for each commit, u32: what is to be added to its date; with the highest bit, a place in GDO2
//! chunk GDO2   u64: what is to be added and does not fit into 31 bits
//! ```
//! Git 2.47 writes corrections that do not fit as if they did, so a history that needs such is not ordered by dates at all.
//! Source: gitformat-commit-graph(5).

use super::graph_file::GraphFile;

/// Most bytes of the chunk; a longer history is ordered by levels.
const MAX_BYTES: u64 = 64 << 20;

/// What no correction reaches, in seconds, if it fits.
pub(super) const TOO_FAR: u64 = 1 << 31;

/// What is to be added to the dates of the commits of one file.
pub(super) struct CorrectedDates(Vec<u32>);

impl CorrectedDates {
    /// Reads them; `None` if the file has none that are understood.
    pub(super) fn read(file: &GraphFile, n_commits: u32) -> Option<Self> {
        let chunk = file.chunk(b"GDA2").filter(|chunk| chunk.length() == u64::from(n_commits) * 4)?;
        let raw = chunk.read_all(file, MAX_BYTES)?;
        let offsets: Vec<u32> = raw.as_chunks().0.iter().map(|raw| u32::from_be_bytes(*raw)).collect();
        let fits = |offset: &u32| u64::from(*offset) < TOO_FAR;
        offsets.iter().all(fits).then_some(Self(offsets))
    }

    /// Returns what is to be added to a commit's date, in seconds.
    pub(super) fn offset(&self, commit: u32) -> u64 {
        usize::try_from(commit).ok().and_then(|at| self.0.get(at)).copied().unwrap_or(0).into()
    }
}
