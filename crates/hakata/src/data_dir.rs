//! The data directory: who owns it, where things lie in it, and the file that says the listeners are up.

mod database_lock;
mod lock;
mod ready;
mod socket_path;

pub(crate) use database_lock::{DatabaseLock, LockDatabaseError};
pub(crate) use lock::{Holder, Lock, LockError, Role};
pub(crate) use ready::{Addresses, ReadyFile};
pub(crate) use socket_path::SocketPath;

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

    /// Opens a data directory that exists.
    ///
    /// # Errors
    /// The file system's; `NotFound` when there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
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
