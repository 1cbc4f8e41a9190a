//! Directories that go when they are dropped.

use std::io;
use std::path::{Path, PathBuf};

use hakata_runtime::secret::random_bytes;

/// A directory of a random name, removed with all it holds when dropped. A crash leaves it behind, until
/// [`make_empty`] at the next start.
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

/// Makes a directory for quarantines and the like, or empties it of what a dead process left: nobody else may use
/// it. Blocks.
///
/// # Errors
/// The file system's.
pub fn make_empty(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary directory stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Scratch, make_empty};

    #[test]
    fn a_directory_is_made_and_emptied_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (dir, outside) = (root.path().join("scratch"), root.path().join("outside"));
        make_empty(&dir).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "").unwrap();
        std::mem::forget(Scratch::create(&dir).unwrap());
        std::fs::write(dir.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, dir.join("link")).unwrap();
        make_empty(&dir).unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
    }
}
