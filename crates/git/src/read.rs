//! Reading repositories: what pages and other programs want to know, in process where that is light.
//!
//! Questions are methods of [`View`], which block, take no refs and start no process; what git answers faster
//! itself is asynchronous and a method of [`Objects`]. Both end when the caller's [`Allowance`] does.
//! Revisions are object ids, or text that [`View::resolve`] resolves against refs that the caller hands in.
//! Paths and names are bytes.

mod ahead;
mod ahead_behind;
mod allowance;
mod archive;
mod blame;
mod blob;
mod bundle;
mod changed_paths;
mod commit;
mod commit_graph;
mod corrected_dates;
mod find_files;
mod follow;
mod graph_file;
mod history;
mod languages;
mod last_commit;
mod lfs_history;
mod lfs_pointers;
mod log;
mod merge_base;
mod message;
mod path_set;
mod pieces;
mod pipe;
mod quoted;
mod range;
mod raw_commit;
mod raw_tree;
mod revision;
mod same_paths;
mod search;
mod signature;
mod tag;
mod tree;
mod whole;

pub use ahead_behind::AheadBehind;
pub use allowance::{Allowance, Exhausted};
pub use archive::{ArchiveFormat, ArchiveQuery};
pub use blame::{Blame, BlameHunk, BlameQuery};
pub use blob::{BlobRange, BlobStream, FoundBlob, ShortBlob};
pub use bundle::{Bundle, BundleQuery, BundleRef};
pub use commit::{Commit, Person};
pub use find_files::{FoundFiles, Match};
pub use follow::FollowedCommit;
pub use languages::{LanguageLimits, Languages};
pub use last_commit::{KnownLastCommits, LastCommit, LastCommits};
pub use lfs_pointers::{LfsPointer, parse_lfs_pointer};
pub use log::{LogPage, LogQuery, Merges, Parents};
pub use message::Trailer;
pub use path_set::PathSet;
pub use pieces::Pieces;
pub use revision::RefLookup;
pub use search::{Pattern, Search, SearchHit, SearchQuery};
pub use signature::{SignatureKind, Signed};
pub use tag::Tag;
pub use tree::{Depth, EntryKind, ListTree, TreeEntry, TreePage};

pub(crate) use allowance::{Meter, metrics};
pub(crate) use blob::{Deadline, MAX_CHUNK, deadline, left_until, until};
pub(crate) use commit_graph::CommitGraph;
pub(crate) use quoted::quote;
pub(crate) use raw_tree::{RawEntry, RawTree};
pub(crate) use revision::resolve_by_graph;

#[cfg(doc)]
use crate::objects::{Objects, View};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::zoo;
