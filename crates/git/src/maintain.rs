//! What makes reading fast and can be made again: commit-graph and multi-pack-index.

use std::path::Path;

use hakata_names::ObjectFormat;

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

/// Checks a pack and its index against their checksums and every object against its name.
///
/// # Errors
/// Any [`ChildError`]; [`ChildError::Failed`] says what is wrong.
pub async fn verify_pack(git: &Git, idx: &Path, format: ObjectFormat) -> Result<(), ChildError> {
    let command = Command::new(Subcommand::VerifyPack).option("--object-format", format.name()).operand(idx);
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

#[cfg(test)]
mod tests {
    use hakata_names::ObjectFormat;

    use super::{remove_derived, verify_pack, write_commit_graph, write_multi_pack_index};
    use crate::process::ChildError;
    use crate::testing::{self, Bench};

    #[tokio::test]
    async fn a_damaged_pack_is_found() {
        use std::os::unix::fs::{FileExt, PermissionsExt};
        let bench = Bench::new().await;
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let (dir, _) = bench.history(format);
            testing::git(&dir, &["repack", "-q", "-a", "-d"]);
            let packs =
                std::fs::read_dir(dir.objects().join("pack")).unwrap().map(|entry| entry.unwrap().path());
            let idx =
                packs.into_iter().find(|path| path.extension().is_some_and(|end| end == "idx")).unwrap();
            verify_pack(&bench.git, &idx, format).await.unwrap();
            let pack = idx.with_extension("pack");
            std::fs::set_permissions(&pack, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::File::options().write(true).open(&pack).unwrap().write_at(b"x", 40).unwrap();
            let damaged = verify_pack(&bench.git, &idx, format).await;
            assert!(matches!(damaged, Err(ChildError::Failed { .. })), "{damaged:?}");
        }
    }

    #[tokio::test]
    async fn derived_files_are_written_and_removed() {
        let bench = Bench::new().await;
        let (dir, [one, ..]) = bench.history(ObjectFormat::Sha1);
        testing::git(&dir, &["repack", "-q", "-d"]);
        let other = testing::commit(&dir, "other", &[one]);
        testing::git(&dir, &["update-ref", "refs/heads/other", &other.to_string()]);
        testing::git(&dir, &["repack", "-q", "-d"]);
        write_commit_graph(&bench.git, &dir).await.unwrap();
        write_multi_pack_index(&bench.git, &dir).await.unwrap();
        testing::git(&dir, &["commit-graph", "verify"]);
        testing::git(&dir, &["multi-pack-index", "verify"]);
        for _ in 0..2 {
            remove_derived(&dir).unwrap();
        }
        assert!(!dir.objects().join("pack/multi-pack-index").exists());
        assert!(!dir.objects().join("info/commit-graphs").exists());
        testing::git(&dir, &["fsck"]);
    }
}
