//! Directories that go when they are dropped.

use std::io;
use std::path::{Path, PathBuf};

use hakata_runtime::secret::random_bytes;

/// A directory of a random name, removed with all it holds when dropped. A crash leaves it behind; what is
/// older than a day in the parent directory may be swept.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a directory below `parent`, which is made if absent.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        let name: String = random_bytes::<12>().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::path::absolute(parent)?.join(format!("incoming-{name}"));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary directory stays behind");
        }
    }
}
