//! What an operator may set about git.

use std::path::PathBuf;
use std::time::Duration;

/// Which git to run, and how much of the machine its processes may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The git program: a path, or a bare name that is looked up in the usual directories for programs.
    pub binary: PathBuf,
    /// A directory of ours alone for short-lived repositories: made if absent, and emptied when git is found.
    pub scratch: PathBuf,
    /// What we call ourselves on the wire, such as `hakata/0.1.0`.
    pub agent: String,
    /// Git processes at one time, their own children not counted.
    pub max_children: usize,
    /// Git processes at one time for one repository.
    pub max_children_per_repository: usize,
    /// Operations that may wait for a process before others are refused.
    pub max_waiting: usize,
    /// How long an operation waits for a process.
    pub wait: Duration,
    /// Limits of each kind of process.
    pub budgets: Budgets,
    /// Threads of one process that packs.
    pub pack_threads: usize,
    /// Memory for delta search of one thread, in bytes.
    pub pack_window_memory_bytes: u64,
    /// Files from this size on are streamed, never searched for deltas, in bytes.
    pub big_file_threshold_bytes: u64,
    /// Repositories whose object databases stay open for reading in process.
    pub max_open_repositories: usize,
    /// Memory for objects that all open repositories together keep decoded, in bytes.
    pub object_cache_bytes: usize,
    /// Processes that merge, those that wait for a merge included.
    pub max_merging: usize,
    /// How long such a process waits for the next merge of its repository.
    pub merging_idle: Duration,
    /// Memory for what came of merges, in bytes.
    pub kept_merges_bytes: u64,
    /// Files up to this size are held in memory whole, in bytes; larger ones are read piece by piece.
    pub in_process_file_bytes: u64,
    /// Pairs of files whose contents are compared in process to find renames; git searches among more.
    pub in_process_renames: usize,
    /// Threads that compare the files of one large difference.
    pub diff_threads: usize,
}

impl Settings {
    /// Returns the defaults for this machine, with a directory for short-lived repositories.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            binary: "git".into(),
            scratch: scratch.into(),
            agent: concat!("hakata/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_children: (cores * 8).max(32),
            max_children_per_repository: (cores * 4).max(16),
            max_waiting: 1_024,
            wait: Duration::from_secs(30),
            budgets: Budgets::default(),
            pack_threads: cores.div_ceil(2),
            pack_window_memory_bytes: 256 << 20,
            big_file_threshold_bytes: 64 << 20,
            max_open_repositories: 256,
            object_cache_bytes: 64 << 20,
            max_merging: (cores * 2).max(4),
            merging_idle: Duration::from_secs(30),
            kept_merges_bytes: 16 << 20,
            in_process_file_bytes: 2 << 20,
            in_process_renames: 400,
            diff_threads: cores.min(4),
        }
    }
}

/// Limits of one process; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Private memory in bytes (`RLIMIT_DATA`; mapped packs do not count).
    pub memory_bytes: Option<u64>,
    /// Processor time.
    pub cpu: Option<Duration>,
    /// Time from start to end.
    pub wall: Option<Duration>,
}

/// The limits of every kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Serving a fetch or an archive.
    pub fetch: Budget,
    /// Indexing a pack that was pushed.
    pub index: Budget,
    /// Short questions: connectivity, sizes, paths.
    pub question: Budget,
    /// Maintenance, imports and checks of whole repositories.
    pub maintenance: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        let hour = Duration::from_secs(3_600);
        Self {
            fetch: Budget { memory_bytes: Some(4 << 30), cpu: Some(hour), wall: Some(6 * hour) },
            index: Budget { memory_bytes: Some(2 << 30), cpu: Some(hour), wall: Some(6 * hour) },
            question: Budget { memory_bytes: Some(2 << 30), cpu: Some(hour / 6), wall: Some(hour / 2) },
            maintenance: Budget { memory_bytes: None, cpu: None, wall: None },
        }
    }
}
