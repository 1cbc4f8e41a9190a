//! From a path of a URL to a repository, as git finds it. Source: `enter_repo` in git's path.c.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hakata_runtime::blocking::BlockingError;
use rustix::fs::Access;

use crate::GitDir;

/// What git appends to a path, in the order in which it tries.
const ENDINGS: [&[u8]; 4] = [b"/.git", b"", b".git/.git", b".git"];

/// Longest path in bytes. Source: `PATH_MAX` of Linux.
const MAX_PATH: usize = 4_096;

/// Longest `HEAD` or `.git` file that is read, in bytes.
const MAX_FILE: u64 = 8 << 10;

/// Why a path names no repository although something is there.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// A file stands where a repository should, and does not lead to one.
    #[error("{} is a file, and names no repository", .path.display())]
    File {
        /// The file.
        path: PathBuf,
    },
    /// There was no thread to look.
    #[error("looking for a repository")]
    Busy(#[source] BlockingError),
}

/// A repository's directory, as it is now.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) dir: GitDir,
    pub(super) is_exported: bool,
    /// The user whom the directory belongs to.
    pub(super) owner: u32,
}

/// Finds a repository below `root`, which is resolved. Blocks.
pub(super) fn find(root: &Path, below: &[u8]) -> Result<Option<Found>, FindError> {
    let mut path = root.as_os_str().as_bytes().to_vec();
    path.extend_from_slice(below);
    while path.len() > 1 && path.ends_with(b"/") {
        path.pop();
    }
    if path.len() >= MAX_PATH || path.contains(&0) {
        return Ok(None);
    }
    for ending in ENDINGS {
        let whole = PathBuf::from(OsStr::from_bytes(&[&path, ending].concat()));
        let Ok(there) = fs::metadata(&whole) else { continue };
        if there.is_file() {
            let dir = linked(&whole)?.ok_or(FindError::File { path: whole })?;
            return Ok(inside(root, &dir));
        }
        if there.is_dir() && is_git_dir(&whole) {
            return Ok(inside(root, &whole));
        }
    }
    Ok(None)
}

/// Takes a directory if, all links resolved, it lies below the root.
fn inside(root: &Path, dir: &Path) -> Option<Found> {
    let resolved = fs::canonicalize(dir).ok()?;
    if !resolved.starts_with(root) {
        tracing::debug!(path = %dir.display(), "a repository outside of the folder is not served");
        return None;
    }
    let owner = fs::metadata(&resolved).as_ref().map(Metadata::uid).ok()?;
    let is_exported = resolved.join("git-daemon-export-ok").exists();
    Some(Found { dir: GitDir::new(resolved), is_exported, owner })
}

/// Reads a `.git` file, which names the directory of a repository. Source: gitrepository-layout(5).
fn linked(file: &Path) -> Result<Option<PathBuf>, FindError> {
    let unreadable = |_| FindError::File { path: file.to_owned() };
    let text = read_start(file).map_err(unreadable)?;
    let Some(name) = text.strip_prefix(b"gitdir: ") else { return Ok(None) };
    let name = Path::new(OsStr::from_bytes(name.trim_ascii_end()));
    let dir = file.parent().unwrap_or(Path::new("/")).join(name);
    Ok(is_git_dir(&dir).then_some(dir))
}

/// Tells whether a directory is a repository of its own. Source: `is_git_directory` in git's setup.c; directories of
/// linked worktrees, which it takes too, are none here.
fn is_git_dir(dir: &Path) -> bool {
    let can_enter = |name: &str| rustix::fs::access(dir.join(name), Access::EXEC_OK).is_ok();
    is_head(&dir.join("HEAD")) && can_enter("objects") && can_enter("refs") && !dir.join("commondir").exists()
}

/// Tells whether a file is a `HEAD`. Source: `validate_headref` in git's setup.c.
fn is_head(path: &Path) -> bool {
    let Ok(there) = fs::symlink_metadata(path) else { return false };
    if there.is_symlink() {
        return fs::read_link(path).is_ok_and(|target| target.as_os_str().as_bytes().starts_with(b"refs/"));
    }
    let Ok(text) = read_start(path) else { return false };
    match text.strip_prefix(b"ref:") {
        Some(name) => name.trim_ascii_start().starts_with(b"refs/"),
        None => text.len() >= 40 && text[..40].iter().all(u8::is_ascii_hexdigit),
    }
}

fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{FindError, find};

    fn make(dir: &Path) {
        std::fs::create_dir_all(dir.join("objects")).unwrap();
        std::fs::create_dir_all(dir.join("refs")).unwrap();
        std::fs::write(dir.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    #[test]
    fn names_are_tried_with_gits_endings_and_nothing_outside_is_found() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let root = place.join("root");
        for name in ["root/a.git", "root/deep/er/b.git", "root/tree/.git", "root.git", "other.git"] {
            make(&place.join(name));
        }
        std::fs::write(root.join("file"), "nothing\n").unwrap();
        std::fs::write(root.join("link"), "gitdir: deep/er/b.git\n").unwrap();
        std::fs::write(root.join("leak"), "gitdir: ../other.git\n").unwrap();
        symlink(place.join("other.git"), root.join("out.git")).unwrap();
        symlink(root.join("a.git"), root.join("in.git")).unwrap();
        symlink(&place, root.join("up")).unwrap();
        for (below, expected) in [
            ("/a.git", Some("root/a.git")),
            ("/a", Some("root/a.git")),
            ("/a/", Some("root/a.git")),
            ("/deep/er/b", Some("root/deep/er/b.git")),
            ("/tree", Some("root/tree/.git")),
            ("/in", Some("root/a.git")),
            ("/link", Some("root/deep/er/b.git")),
            ("/leak", None),
            ("/out.git", None),
            ("/up/other.git", None),
            ("/deep", None),
            ("/absent", None),
            ("", None),
            ("/", None),
        ] {
            let found = find(&root, below.as_bytes()).unwrap();
            let found = found.map(|found| found.dir.path().strip_prefix(&place).unwrap().to_owned());
            assert_eq!(found.as_deref(), expected.map(Path::new), "{below}");
        }
        assert!(matches!(find(&root, b"/file"), Err(FindError::File { .. })));
        let long = [b"/".as_slice(), &[b'a'; 5_000]].concat();
        assert!(find(&root, &long).unwrap().is_none());
    }
}
