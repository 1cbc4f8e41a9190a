//! What makes reading fast and can be made again: commit-graph and multi-pack-index.

use crate::command::{Command, Subcommand};
use crate::process::{ChildError, ask};
use crate::{Git, GitDir};

/// Most output of maintenance that is looked at, in bytes.
const MAX_OUTPUT: u64 = 64 << 10;

/// Writes the commits that refs lead to into the commit-graph, with the paths they change, in a chain that
/// is merged now and then: the cost is that of the new commits.
///
/// # Errors
/// Any [`ChildError`].
pub async fn write_commit_graph(git: &Git, dir: &GitDir) -> Result<(), ChildError> {
    let command = Command::new(Subcommand::CommitGraph)
        .dir(dir)
        .config("core.fsync", "committed")
        .flag("write")
        .flag("--reachable")
        .flag("--changed-paths")
        .flag("--split")
        .flag("--no-progress");
    run(git, &command).await
}

/// Writes one index over all packs; of use with two packs or more.
///
/// # Errors
/// Any [`ChildError`].
pub async fn write_multi_pack_index(git: &Git, dir: &GitDir) -> Result<(), ChildError> {
    let command = Command::new(Subcommand::MultiPackIndex)
        .dir(dir)
        .config("core.fsync", "committed")
        .flag("write")
        .flag("--no-progress");
    run(git, &command).await
}

/// Removes commit-graph and multi-pack-index, before packs that they name are removed. Blocks.
///
/// # Errors
/// The file system's.
pub fn remove_derived(dir: &GitDir) -> std::io::Result<()> {
    let objects = dir.objects();
    let absent_is_fine = |removed: std::io::Result<()>| match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    absent_is_fine(std::fs::remove_file(objects.join("pack/multi-pack-index")))?;
    absent_is_fine(std::fs::remove_file(objects.join("info/commit-graph")))?;
    absent_is_fine(std::fs::remove_dir_all(objects.join("info/commit-graphs")))
}

async fn run(git: &Git, command: &Command) -> Result<(), ChildError> {
    let (finished, _) = ask(git, command, Vec::new(), MAX_OUTPUT).await?;
    finished.success().map(drop)
}
