//! The bounds of the service.

use std::time::Duration;

use hakata_rpc::Operation;

use crate::addresses::ImportSource;
use crate::spool::Bounds as SpoolBounds;

/// What a call may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// The largest answer of a call that does not stream, and of one page over MessagePack-RPC, in bytes.
    pub max_answer_bytes: usize,
    /// The longest that a call may take; a shorter deadline of the caller counts.
    pub max_call: Duration,
    /// The longest that one may take which reads or writes a whole repository.
    pub max_long_call: Duration,
    /// Requests of one MessagePack-RPC connection that are worked on at once; further ones wait in the socket.
    pub max_in_flight: usize,
    /// How long a connection may take to show its token.
    pub login: Duration,
    /// Between two requests on a MessagePack-RPC connection.
    pub idle: Duration,
    /// Answers of one MessagePack-RPC connection that wait for their next page.
    pub max_kept: usize,
    /// How long they wait.
    pub kept_life: Duration,
    /// The content of all objects that one call makes, in bytes. Twice as much memory is needed at most.
    pub max_made_bytes: u64,
    /// The objects that one call makes.
    pub max_made_objects: usize,
    /// Memory for the last commits of directories, in bytes.
    pub last_commits_bytes: u64,
    /// Addresses that repositories may be imported from: URLs that others begin with. None: nowhere.
    pub import_from: Vec<ImportSource>,
    /// The longest pack of an import, in bytes.
    pub max_import_bytes: u64,
    /// Where long answers over MessagePack-RPC wait, and how many.
    pub spool: SpoolBounds,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_request_bytes: 16 << 20,
            max_answer_bytes: 16 << 20,
            max_call: Duration::from_secs(120),
            max_long_call: Duration::from_secs(3_600),
            max_in_flight: 128,
            login: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            max_kept: 16,
            kept_life: Duration::from_secs(60),
            max_made_bytes: 128 << 20,
            max_made_objects: 100_000,
            last_commits_bytes: 32 << 20,
            import_from: Vec::new(),
            max_import_bytes: 10 << 30,
            spool: SpoolBounds {
                dir: "spool".into(),
                max_bytes: 4 << 30,
                max_files: 64,
                life: Duration::from_secs(600),
            },
        }
    }
}

impl Settings {
    /// The longest that an operation may take.
    pub(crate) const fn call_time(&self, operation: Operation) -> Duration {
        match operation {
            Operation::RepositoryArchive
            | Operation::RepositoryCreateBundle
            | Operation::RepositoryFork
            | Operation::RepositoryFsck
            | Operation::RepositoryImport
            | Operation::RepositoryOptimize => self.max_long_call,
            _ => self.max_call,
        }
    }
}
