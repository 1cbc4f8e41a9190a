//! The bounds of the service.

use std::time::Duration;

use hakata_rpc::{Code, Operation, Status};
use hakata_runtime::metrics::Label;

use crate::addresses::ImportSource;
use crate::metrics::{LIMITS_MET, Limit};
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
    /// The longest that one may take which reads or writes a whole repository, or brings contents of files.
    pub max_long_call: Duration,
    /// Requests of one MessagePack-RPC connection that are worked on at once; further ones wait in the socket.
    pub max_in_flight: usize,
    /// How long a connection may take to show its token.
    pub login: Duration,
    /// Between two requests on a MessagePack-RPC connection.
    pub idle: Duration,
    /// Answers of one MessagePack-RPC connection that wait for their next page, those by cursor and others each; as many
    /// requests may wait for their next part.
    pub max_kept: usize,
    /// How long they wait.
    pub kept_life: Duration,
    /// How much one call may ask for.
    pub limits: Limits,
    /// The content of all objects that one call makes, in bytes. Twice as much memory is needed at most.
    pub max_made_bytes: u64,
    /// The objects that one call makes.
    pub max_made_objects: usize,
    /// The contents that one call brings beside its request, together, in bytes: they wait in files.
    pub max_upload_bytes: u64,
    /// Those of all calls under way.
    pub max_uploads_bytes: u64,
    /// Memory for the last commits of directories, in bytes.
    pub last_commits_bytes: u64,
    /// Memory for what the tips of refs say, in bytes.
    pub tips_bytes: u64,
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
            limits: Limits::default(),
            max_made_bytes: 128 << 20,
            max_made_objects: 100_000,
            max_upload_bytes: 1 << 30,
            max_uploads_bytes: 4 << 30,
            last_commits_bytes: 32 << 20,
            tips_bytes: 16 << 20,
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

/// How much one call may ask for. More is refused, but for what is found: of that so much is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Changes of files, or suggestions, that one commit is made of.
    pub changes: usize,
    /// The largest file that suggestions are applied to, in bytes.
    pub suggested_file_bytes: u64,
    /// Commits that one call rebases, picks or reverts.
    pub commits: usize,
    /// Refs that one call moves.
    pub refs: usize,
    /// Pairs of commits that one call compares.
    pub pairs: usize,
    /// Objects that one call asks for by their names.
    pub objects: usize,
    /// Refs and revisions that one bundle is asked for by name.
    pub names: usize,
    /// Paths that one search finds.
    pub found_files: usize,
    /// Lines that one search finds.
    pub found_lines: usize,
    /// Lines that one search finds in one file.
    pub found_lines_per_file: u32,
    /// Commits that one file is followed through.
    pub followed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            changes: 10_000,
            suggested_file_bytes: 16 << 20,
            commits: 1_000,
            refs: 50_000,
            pairs: 10_000,
            objects: 100_000,
            names: 10_000,
            found_files: 1_000,
            found_lines: 1_000,
            found_lines_per_file: 100,
            followed: 10_000,
        }
    }
}

/// Refuses what is more than one call may ask for, and counts that.
pub(crate) fn at_most(what: Limit, n: usize, most: usize) -> Result<(), Status> {
    if n <= most {
        return Ok(());
    }
    LIMITS_MET.get(what).inc();
    Err(Status::new(Code::ResourceExhausted, format!("{n} {}: one call may have {most}", what.value())))
}

impl Settings {
    /// The longest that an operation may take.
    pub(crate) const fn call_time(&self, operation: Operation) -> Duration {
        match operation {
            Operation::MergeCommitFiles
            | Operation::RepositoryArchive
            | Operation::RepositoryCreateBundle
            | Operation::RepositoryFork
            | Operation::RepositoryFsck
            | Operation::RepositoryImport
            | Operation::RepositoryOptimize => self.max_long_call,
            _ => self.max_call,
        }
    }
}
