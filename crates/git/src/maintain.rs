//! What makes reading fast and can be made again: commit-graph, multi-pack-index and its reachability bitmaps.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

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

/// Whether an index over all packs comes with bitmaps of what its commits reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bitmaps<'a> {
    /// It does not.
    None,
    /// It does, and a clone takes what it can out of this pack as it is: the file of one of the directory's indexes.
    Preferring(&'a str),
}

/// Writes one index over all packs. A reader that has the one before open keeps it, and one that comes between the
/// index and its bitmaps does without them.
///
/// # Errors
/// Any [`ChildError`].
pub async fn write_multi_pack_index(git: &Git, dir: &GitDir, bitmaps: Bitmaps<'_>) -> Result<(), ChildError> {
    let command = Command::new(Subcommand::MultiPackIndex)
        .dir(dir)
        .config("core.fsync", "committed")
        .flag("write")
        .flag("--no-progress");
    let command = match bitmaps {
        Bitmaps::None => command,
        Bitmaps::Preferring(idx) => command.flag("--bitmap").option("--preferred-pack", idx),
    };
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

/// Removes commit-graph, multi-pack-index and bitmaps, before packs that they name are removed. Blocks.
///
/// # Errors
/// The file system's.
pub fn remove_derived(dir: &GitDir) -> io::Result<()> {
    let objects = dir.objects();
    // The index first: without it nobody looks for the rest.
    absent_is_fine(fs::remove_file(objects.join("pack/multi-pack-index")))?;
    for of_index in beginning(&objects, b"multi-pack-index-")? {
        absent_is_fine(fs::remove_file(of_index))?;
    }
    absent_is_fine(fs::remove_file(objects.join("info/commit-graph")))?;
    let graphs = objects.join("info/commit-graphs");
    absent_is_fine(fs::remove_file(graphs.join("commit-graph-chain")))?;
    match fs::remove_dir_all(graphs) {
        // A git that writes just now; what it adds is not older than this call.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => absent_is_fine(removed),
    }
}

/// Removes what a git that was killed left behind: locks, which every later one would stop at, and files that never got
/// their names. To be called by the only writer of derived files in a directory, when none is being written. Blocks.
///
/// # Errors
/// The file system's.
pub fn remove_leftovers(dir: &GitDir) -> io::Result<()> {
    const LOCKS: [&str; 3] = [
        "pack/multi-pack-index.lock",
        "info/commit-graph.lock",
        "info/commit-graphs/commit-graph-chain.lock",
    ];
    let objects = dir.objects();
    let locks = LOCKS.into_iter().map(|lock| objects.join(lock));
    let nameless = beginning(&objects, b"tmp_")?;
    locks.chain(nameless).try_for_each(|path| absent_is_fine(fs::remove_file(path)))
}

/// Lists files beside the packs whose names begin so.
fn beginning(objects: &Path, prefix: &[u8]) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(objects.join("pack")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

async fn run(git: &Git, command: &Command) -> Result<(), ChildError> {
    let (finished, _) = ask(git, command, Vec::new(), MAX_OUTPUT).await?;
    finished.success().map(drop)
}

#[cfg(test)]
mod tests {
    use hakata_names::ObjectFormat;

    use super::{
        Bitmaps, remove_derived, remove_leftovers, verify_pack, write_commit_graph, write_multi_pack_index,
    };
    use crate::GitDir;
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

    /// Lists the files of packs and of indexes over them.
    fn names(dir: &GitDir, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let entries = std::fs::read_dir(dir.objects().join("pack")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| wanted(name)).collect()
    }

    /// Makes a repository of two packs; returns the index of one.
    fn two_packs(bench: &Bench, format: ObjectFormat) -> (GitDir, String) {
        let (dir, [one, ..]) = bench.history(format);
        testing::git(&dir, &["-c", "repack.writeBitmaps=false", "repack", "-q", "-a", "-d"]);
        let idx = names(&dir, |name| name.ends_with(".idx")).remove(0);
        let other = testing::commit(&dir, "other", &[one]);
        testing::git(&dir, &["update-ref", "refs/heads/other", &other.to_string()]);
        testing::git(&dir, &["repack", "-q", "-d"]);
        (dir, idx)
    }

    #[tokio::test]
    async fn derived_files_are_written_and_removed() {
        let bench = Bench::new().await;
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let (dir, idx) = two_packs(&bench, format);
            write_commit_graph(&bench.git, &dir).await.unwrap();
            write_multi_pack_index(&bench.git, &dir, Bitmaps::Preferring(&idx)).await.unwrap();
            testing::git(&dir, &["commit-graph", "verify"]);
            testing::git(&dir, &["multi-pack-index", "verify"]);
            let counted = testing::git(&dir, &["rev-list", "--test-bitmap", "refs/heads/other"]);
            assert_eq!(counted, "", "git says what is wrong with a bitmap, and ends with an error");
            for _ in 0..2 {
                remove_derived(&dir).unwrap();
            }
            assert_eq!(names(&dir, |name| name.starts_with("multi")), Vec::<String>::new());
            assert!(!dir.objects().join("info/commit-graphs").exists());
            testing::git(&dir, &["fsck"]);
        }
    }

    #[tokio::test]
    async fn what_a_killed_git_left_does_not_stop_the_next() {
        let bench = Bench::new().await;
        let (dir, idx) = two_packs(&bench, ObjectFormat::Sha1);
        let write = async || {
            write_commit_graph(&bench.git, &dir).await?;
            write_multi_pack_index(&bench.git, &dir, Bitmaps::Preferring(&idx)).await
        };
        for lock in ["info/commit-graphs/commit-graph-chain.lock", "pack/multi-pack-index.lock"] {
            remove_derived(&dir).unwrap();
            std::fs::create_dir_all(dir.objects().join("info/commit-graphs")).unwrap();
            std::fs::write(dir.objects().join(lock), "half").unwrap();
            assert!(write().await.is_err(), "git stops at {lock}");
            remove_leftovers(&dir).unwrap();
            write().await.unwrap();
        }
        std::fs::write(dir.objects().join("pack/tmp_bitmap_x"), "half").unwrap();
        remove_leftovers(&dir).unwrap();
        assert_eq!(names(&dir, |name| name.starts_with("tmp_")), Vec::<String>::new());
    }
}
