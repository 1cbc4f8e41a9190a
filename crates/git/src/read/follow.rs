//! The history of one file through its renames, as `git log --follow` finds it.

use hakata_names::{Oid, TreePath};

use super::allowance::Allowance;
use super::pipe::Pipe;
use crate::command::{Command, Subcommand};
use crate::objects::{Objects, ReadError};

/// Longest path, in bytes.
const MAX_PATH: usize = 4_096;

/// A commit that changed a file, and what the file was called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedCommit {
    /// The commit.
    pub commit: Oid,
    /// The file's path in it.
    pub path: Vec<u8>,
}

impl Objects {
    /// Lists commits that changed a file, the newest first, following it through renames; the first `skip` are
    /// left out. Starts git.
    ///
    /// # Errors
    /// [`ReadError::Absent`] for an unknown commit, [`ReadError::Exhausted`], [`ReadError::Child`].
    pub async fn follow(
        &self,
        tip: Oid,
        path: &TreePath,
        skip: usize,
        limit: usize,
        allowance: &Allowance,
    ) -> Result<Vec<FollowedCommit>, ReadError> {
        self.read_within(allowance, move |view| view.commit(&tip)).await?;
        let command = Command::new(Subcommand::Log)
            .dir(self.dir())
            .flag("--follow")
            .flag("-z")
            .flag("--name-only")
            .flag("--format=%H")
            .number("--max-count", skip.saturating_add(limit))
            .operand(tip.to_string())
            .paths([path]);
        let mut pipe = Pipe::start(self, &command, allowance).await?;
        let mut found = Vec::new();
        let unknown = || ReadError::Walk("git followed a file in an unknown way".into());
        // `<oid>\0\n<path>\0`
        while let Some(oid) = pipe.read_until(0, 64).await? {
            let commit = Oid::parse_hex(&oid).map_err(|_| unknown())?;
            let path = pipe.read_until(0, MAX_PATH + 1).await?.ok_or_else(unknown)?;
            let path = path.strip_prefix(b"\n").ok_or_else(unknown)?.to_vec();
            found.push(FollowedCommit { commit, path });
        }
        if let Some(finished) = pipe.finish().await? {
            finished.success()?;
        }
        // `--skip` would be applied before renames are followed.
        Ok(found.split_off(skip.min(found.len())))
    }
}
