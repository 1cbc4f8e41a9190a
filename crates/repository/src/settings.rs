//! What an operator may set about repositories.

use std::path::PathBuf;
use std::time::Duration;

/// Where repositories live on this node, and how much of it they may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory; `repositories/` and `quarantine/` are made in it. One process owns it.
    pub data: PathBuf,
    /// The name of this node in rows that say who wrote something.
    pub node: String,
    /// The address people push to, shown to whoever pushes into a cache directory by mistake.
    pub push_url: String,
    /// Pushes, imports and the like that may have objects in quarantine at one time.
    pub max_quarantines: usize,
    /// Memory for ref snapshots, in bytes; the least recently used go first.
    pub snapshot_bytes: u64,
    /// Disk for cache directories, in bytes; `None` keeps them all, as a single node should.
    pub cache_bytes: Option<u64>,
    /// Cache directories that nobody used for so long are dropped, if there is a limit at all.
    pub cache_idle: Duration,
    /// Packs up to this size are kept in their row and need no blob, in bytes.
    pub inline_bytes: u64,
    /// Loose refs in a cache directory before they are packed.
    pub max_loose_refs: usize,
    /// Quiet time after a change before commit-graph, multi-pack-index and bitmaps are written.
    pub derive_after: Duration,
    /// Least time between two such writings of one directory, as a multiple of what the last took.
    pub derive_rest: u32,
    /// Cache directories whose derived files are written at one time.
    pub max_derivations: usize,
    /// Age from which staged packs that no commit took are swept.
    pub staged_age: Duration,
    /// Time between two sweeps.
    pub sweep_every: Duration,
    /// How long packs that nothing uses any more keep their bytes: longer than the longest clone that may read them.
    pub dead_age: Duration,
    /// How long deleted repositories can be restored before they are erased.
    pub restore_for: Duration,
    /// Small packs of a repository that are made one; fewer are left alone.
    pub compact_packs: usize,
    /// How long old tips of a forced push can still be fetched.
    pub recent_tips: Duration,
}

impl Settings {
    /// Returns the defaults for a data directory.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            node: "local".to_owned(),
            push_url: "the server".to_owned(),
            max_quarantines: 64,
            snapshot_bytes: 256 << 20,
            cache_bytes: None,
            cache_idle: Duration::from_secs(7 * 24 * 3_600),
            inline_bytes: 64 << 10,
            max_loose_refs: 200,
            derive_after: Duration::from_secs(10),
            derive_rest: 20,
            max_derivations: 1,
            staged_age: Duration::from_secs(24 * 3_600),
            sweep_every: Duration::from_secs(3_600),
            dead_age: Duration::from_secs(24 * 3_600),
            restore_for: Duration::from_secs(30 * 24 * 3_600),
            compact_packs: 16,
            recent_tips: Duration::from_secs(10 * 60),
        }
    }
}
