//! Refs as files of a repository: how a cache follows its snapshot. Source: gitrepository-layout(5),
//! git-pack-refs(1).
//!
//! ```text
//! packed-refs                      refs/heads/main
//!   # pack-refs with: peeled fully-peeled sorted     <oid>\n
//!   <oid> refs/heads/main
//!   <oid> refs/tags/v1
//!   ^<oid that the tag is about>
//! ```
//!
//! One writer at a time: the owner of the cache. Readers see every ref at its old or its new value.

use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};

use hakata_names::RefName;
use rustix::fs::{AtFlags, CWD};

use crate::GitDir;
use crate::refs::{RefChange, RefSnapshot};

/// Loose refs from which on they are packed again.
pub const MAX_LOOSE: usize = 200;

/// Whether files are synced before they replace others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// They are.
    Yes,
    /// They are not: what is written can be written again.
    No,
}

/// Writes all refs of a snapshot: `HEAD`, one `packed-refs`, and no loose ref. Blocks.
///
/// # Errors
/// The file system's.
pub fn write_all(dir: &GitDir, snapshot: &RefSnapshot, sync: Sync) -> io::Result<()> {
    crate::init::write_head(dir, snapshot.head())?;
    write_packed(dir, snapshot, sync)?;
    remove_loose(&dir.path().join("refs"))
}

/// Makes the files follow some changes, of which `snapshot` is the result: loose files for a few refs that
/// were set, everything packed again when a ref went or [`MAX_LOOSE`] is passed. Blocks.
///
/// # Errors
/// The file system's; the files may then show some changes and not others, and `write_all` mends them.
pub fn apply(dir: &GitDir, snapshot: &RefSnapshot, changes: &[RefChange], sync: Sync) -> io::Result<()> {
    let is_removal = |change: &RefChange| matches!(change, RefChange::Remove(_));
    if changes.iter().any(is_removal)
        || changes.len() > MAX_LOOSE
        || count_loose(dir)? + changes.len() > MAX_LOOSE
    {
        return write_all(dir, snapshot, sync);
    }
    for change in changes {
        if let RefChange::Set(at) = change
            && write_loose(dir, &at.name, format!("{}\n", at.oid).as_bytes(), sync).is_err()
        {
            // A directory or a file is where the other should be: left by hand, or by refs that are gone.
            return write_all(dir, snapshot, sync);
        }
    }
    Ok(())
}

/// Counts the loose refs of a repository. Blocks.
///
/// # Errors
/// The file system's.
pub fn count_loose(dir: &GitDir) -> io::Result<usize> {
    let mut n = 0;
    visit(&dir.path().join("refs"), &mut |_| {
        n += 1;
        Ok(())
    })?;
    Ok(n)
}

fn write_packed(dir: &GitDir, snapshot: &RefSnapshot, sync: Sync) -> io::Result<()> {
    let path = dir.path().join("packed-refs");
    let lock = dir.path().join("packed-refs.lock");
    let mut out = io::BufWriter::new(std::fs::File::create(&lock)?);
    out.write_all(b"# pack-refs with: peeled fully-peeled sorted \n")?;
    for at in snapshot.iter() {
        write!(out, "{} ", at.oid)?;
        out.write_all(at.name.as_bytes())?;
        out.write_all(b"\n")?;
        if let Some(peeled) = at.peeled {
            writeln!(out, "^{peeled}")?;
        }
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    if sync == Sync::Yes {
        file.sync_all()?;
    }
    std::fs::rename(&lock, &path)?;
    sync_directory(dir.path(), sync)
}

/// Writes one ref as a file. Its name was parsed, so that no component leaves the directory.
fn write_loose(dir: &GitDir, name: &RefName, line: &[u8], sync: Sync) -> io::Result<()> {
    let path = path_of(dir, name);
    let parent = path.parent().unwrap_or(dir.path());
    std::fs::create_dir_all(parent)?;
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    let mut file = std::fs::File::create(&lock)?;
    file.write_all(line)?;
    if sync == Sync::Yes {
        file.sync_all()?;
    }
    if path.is_dir() {
        remove_empty(&path)?;
    }
    if let Err(error) = std::fs::rename(&lock, &path) {
        let _ = std::fs::remove_file(&lock);
        return Err(error);
    }
    sync_directory(parent, sync)
}

fn path_of(dir: &GitDir, name: &RefName) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    dir.path().join(std::ffi::OsStr::from_bytes(name.as_bytes()))
}

fn sync_directory(path: &Path, sync: Sync) -> io::Result<()> {
    if sync == Sync::Yes { std::fs::File::open(path)?.sync_all() } else { Ok(()) }
}

/// Removes all files below `refs`, and directories but for the two that make a repository one.
fn remove_loose(refs: &Path) -> io::Result<()> {
    visit(refs, &mut |path| std::fs::remove_file(path))?;
    for entry in std::fs::read_dir(refs)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_empty_below(&path)?;
            if !path.ends_with("heads") && !path.ends_with("tags") {
                remove_empty(&path)?;
            }
        }
    }
    Ok(())
}

fn remove_empty_below(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a directory that holds nothing but empty directories.
fn remove_empty(path: &Path) -> io::Result<()> {
    remove_empty_below(path)?;
    rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR).map_err(io::Error::from)
}

/// Calls `each` for every file below a directory; links are not followed.
fn visit(directory: &Path, each: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => waiting.push(entry.path()),
                false => each(&entry.path())?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hakata_names::{ObjectFormat, Oid, RefName};

    use super::{Sync, apply, count_loose, write_all};
    use crate::refs::{Head, Ref, RefChange, RefSnapshot};
    use crate::testing::{self, Bench};

    fn at(name: &str, oid: Oid) -> Ref {
        Ref { name: RefName::parse(name.as_bytes()).unwrap(), oid, peeled: None }
    }

    #[tokio::test]
    async fn git_reads_what_we_write() {
        let bench = Bench::new().await;
        let dir = bench.repository(ObjectFormat::Sha1);
        let [a, b] = [1, 2].map(|n| testing::commit(&dir, &format!("{n}"), &[]));
        let head = Head::Symbolic(RefName::parse(b"refs/heads/main").unwrap());
        let first = RefSnapshot::build(
            1,
            ObjectFormat::Sha1,
            head,
            vec![at("refs/heads/main", a), at("refs/heads/x/y", a)],
        );
        write_all(&dir, &first, Sync::Yes).unwrap();
        assert_eq!(testing::git(&dir, &["rev-parse", "HEAD", "refs/heads/x/y"]), format!("{a}\n{a}\n"));
        assert_eq!(count_loose(&dir).unwrap(), 0);

        let set = [RefChange::Set(at("refs/heads/main", b))];
        let second = first.apply(2, set.clone());
        apply(&dir, &second, &set, Sync::No).unwrap();
        assert_eq!(testing::git(&dir, &["rev-parse", "HEAD"]), format!("{b}\n"));
        assert_eq!(count_loose(&dir).unwrap(), 1);

        let swap = [
            RefChange::Remove(RefName::parse(b"refs/heads/x/y").unwrap()),
            RefChange::Set(at("refs/heads/x", b)),
        ];
        let third = second.apply(3, swap.clone());
        apply(&dir, &third, &swap, Sync::No).unwrap();
        let listed = testing::git(&dir, &["for-each-ref", "--format=%(objectname) %(refname)"]);
        assert_eq!(
            listed,
            format!("{b} refs/heads/main\n{b} refs/heads/x\n"),
            "a file may replace a directory"
        );
    }
}
