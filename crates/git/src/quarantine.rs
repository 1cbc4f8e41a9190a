//! Objects that were pushed and are not accepted yet.
//!
//! A quarantine is a repository of its own for the time of one push: new objects are written to it, and the
//! repository that is pushed to stands behind it as an alternate. It goes, with all it holds, when dropped.
//! Making packs durable is the caller's job: [`IndexedPack`] names the files, which git has not synced.

mod connectivity;
mod index_pack;
mod proof;
mod scratch;
mod sizes;
mod whole;

use std::io;
use std::path::{Path, PathBuf};

use hakata_names::{ObjectFormat, Oid};
use tokio::sync::OnceCell;

pub use connectivity::{ConnectivityError, Disconnected, Why};
pub(crate) use index_pack::metrics;
pub use index_pack::{Fsck, IndexPackError, IndexedPack, PackLimits};
pub(crate) use scratch::Scratch;
pub use scratch::make_empty;
pub use sizes::{LargeObject, SizeError};

use crate::objects::{Objects, ReadError};
use crate::refs::Head;
use crate::{Git, GitDir};

/// A place for objects that may still be refused.
#[derive(Debug)]
pub struct Quarantine {
    scratch: Scratch,
    dir: GitDir,
    base: Option<GitDir>,
    format: ObjectFormat,
    /// Opened by the first reader: opening maps the indexes of all packs behind it too.
    opened: OnceCell<Objects>,
}

impl Quarantine {
    /// Makes a quarantine below `parent` in front of `base`; without one, of an empty repository.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(parent: &Path, base: Option<&GitDir>, format: ObjectFormat) -> io::Result<Self> {
        let scratch = Scratch::create(parent)?;
        let dir = GitDir::new(scratch.path());
        let main = hakata_names::RefName::parse_branch(b"quarantine").expect("a branch can be called that");
        crate::init::init_bare(&dir, format, &Head::Symbolic(main))?;
        if let Some(base) = base {
            write_alternates(&dir, &[base.objects()])?;
        }
        Ok(Self { scratch, dir, base: base.cloned(), format, opened: OnceCell::new() })
    }

    /// Returns the quarantine as a repository: its objects and those behind it.
    pub fn dir(&self) -> &GitDir {
        &self.dir
    }

    /// Returns the repository behind it.
    pub fn base(&self) -> Option<&GitDir> {
        self.base.as_ref()
    }

    /// Returns the hash function.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Opens its objects for reading, once. Packs that come later are found as well.
    ///
    /// # Errors
    /// [`ReadError::Open`] or [`ReadError::Busy`].
    pub async fn objects(&self, git: &Git) -> Result<Objects, ReadError> {
        self.opened.get_or_try_init(|| Objects::open_once(git, &self.dir)).await.cloned()
    }

    /// Writes the client's shallow boundary where git reads it.
    fn write_shallow(&self, shallow: &[Oid]) -> io::Result<PathBuf> {
        let path = self.scratch.path().join("pushed-shallow");
        let lines: String = shallow.iter().map(|oid| format!("{oid}\n")).collect();
        std::fs::write(&path, lines)?;
        Ok(path)
    }
}

/// Lists object directories that are searched behind a repository's own. Source: gitrepository-layout(5).
pub(crate) fn write_alternates(dir: &GitDir, objects: &[PathBuf]) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let mut lines = Vec::new();
    for path in objects {
        let bytes = path.as_os_str().as_bytes();
        if bytes.contains(&b'\n') || bytes.starts_with(b"#") || bytes.starts_with(b"\"") {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path that alternates cannot hold"));
        }
        lines.extend_from_slice(bytes);
        lines.push(b'\n');
    }
    crate::init::write_file(&dir.objects().join("info/alternates"), &lines)
}

#[cfg(test)]
mod tests;
