//! The path of a repository that is ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of a bare repository that Hakata made itself: its configuration is ours, it has no hooks
/// that users wrote, and its alternates point to our own directories.
///
/// git runs only in such directories; a repository that came from elsewhere is read through
/// [`Foreign`](crate::foreign::Foreign). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitDir(Arc<Path>);

impl GitDir {
    /// Names a directory that the caller vouches for; [`init_bare`](crate::init::init_bare) makes one.
    /// Relative paths are taken from the working directory of the process, once.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        Self(std::path::absolute(&path).unwrap_or(path).into())
    }

    /// Returns the directory, always absolute.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the directory of its objects.
    pub fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }
}

impl AsRef<GitDir> for GitDir {
    fn as_ref(&self) -> &GitDir {
        self
    }
}
