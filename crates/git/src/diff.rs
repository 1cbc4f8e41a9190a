//! Differences: which files two trees do not share, and which lines.
//!
//! [`Objects::diff`] finds the changed files, renames included, and yields their hunks one file after another.
//! Files are compared in process; renames that the content must decide are found in process as long as few
//! files come into question, and by git otherwise. [`Objects::patch`] streams git's patch, which is written in process
//! too unless a file is large or the question is an unusual one.
//!
//! [`Objects::diff`]: crate::objects::Objects::diff
//! [`Objects::patch`]: crate::objects::Objects::patch

mod changes;
mod hunks;
mod lines;
mod patch;
mod range_diff;
mod renames;
mod similarity;
mod stream;
mod window;
mod words;
mod written;

pub use changes::{Change, ChangeSide, Status};
pub use hunks::{FileDiff, FileOptions, Hunk, Line, LineKind, NoHunks, Whitespace};
pub use patch::{Patch, PatchQuery};
pub use range_diff::{RangePair, Versions};
pub use stream::{DiffLimits, DiffQuery, DiffStream, Renames};

#[cfg(test)]
mod tests;
