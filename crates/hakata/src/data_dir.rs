//! The data directory: who owns it, where things lie in it, and the file that says the listeners are up.

mod database_lock;
mod lock;
mod ready;
mod socket_path;

pub(crate) use database_lock::{DatabaseLock, LockDatabaseError};
pub(crate) use lock::{Holder, Lock, LockError, Role};
pub(crate) use ready::{Addresses, ReadyFile};
pub(crate) use socket_path::SocketPath;

use rustix::fs::Mode;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The name of the SQLite database in a data directory.
pub(crate) const DATABASE: &str = "hakata.db";

/// The absolute path of a data directory that exists.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Opens a data directory, making it, readable by its owner alone, when it is absent.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        Self::open(path)
    }

    /// Opens a data directory that exists. From here on whatever this process and its children make is for their
    /// own user alone: the directory may have been made by others, for everybody to look into.
    ///
    /// # Errors
    /// The file system's; `NotFound` when there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        path.canonicalize().map(Self)
    }

    /// Tells the directory's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether nothing was ever kept here.
    pub(crate) fn is_new(&self) -> bool {
        !self.0.join(DATABASE).exists() && !self.0.join("repositories").exists()
    }
}

#[cfg(test)]
mod tests {
    use super::DataDir;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn what_is_made_in_an_open_directory_is_private() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let dir = DataDir::open_or_create(folder.path()).unwrap();
        let (file, below) = (dir.path().join(super::DATABASE), dir.path().join("blobs"));
        std::fs::write(&file, "").unwrap();
        std::fs::create_dir(&below).unwrap();
        for path in [file, below] {
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o077, 0, "{}", path.display());
        }
    }
}
