//! The lock of a SQLite database that lies outside the data directory.
//!
//! One process writes a SQLite database and answers from memory what it knows of it. Inside the data directory the
//! directory's own lock sees to that; outside, two directories could name one file, so a lock lies beside the file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a waiting process looks again.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a database, held until it is dropped.
#[derive(Debug)]
pub(crate) struct DatabaseLock(#[expect(dead_code, reason = "an open file holds the lock")] File);

/// Why a database could not be locked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockDatabaseError {
    /// The Hakata of another data directory has it.
    #[error("the Hakata of another data directory has {}", .0.display())]
    Held(PathBuf),
    /// The file system refused.
    #[error("locking {}", .path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl DatabaseLock {
    /// Takes the lock of the database at `url`, waiting for commands that hold it; `None` when `url` names none that needs
    /// one: a server, or a file inside `data`.
    ///
    /// # Errors
    /// [`LockDatabaseError::Held`] after `patience`, or the file system's.
    pub(crate) async fn take(
        url: &str,
        data: &Path,
        patience: Duration,
    ) -> Result<Option<Self>, LockDatabaseError> {
        let Some(database) = outside(url, data) else { return Ok(None) };
        let mut path = database.clone().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |source| LockDatabaseError::Io { path: path.clone(), source };
        let mut open = OpenOptions::new();
        let file = open.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                    return Err(LockDatabaseError::Held(database));
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// The file of a SQLite URL, unless it lies inside the data directory. Links are followed, so that every way to name the
/// file finds one lock.
fn outside(url: &str, data: &Path) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
    let path = path.canonicalize().unwrap_or_else(|_| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).join(path.file_name().unwrap_or_default())
    });
    Some(path).filter(|path| !path.starts_with(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_file_has_one_lock_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (data, elsewhere) = (root.join("data"), root.join("elsewhere"));
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("link")).unwrap();
        let take = |path: &Path| {
            let url = format!("sqlite://{}", path.display());
            let data = data.clone();
            async move { DatabaseLock::take(&url, &data, Duration::ZERO).await }
        };
        let held = take(&elsewhere.join("h.db")).await.unwrap();
        assert!(held.is_some(), "a database elsewhere is locked");
        let refused = take(&root.join("link/h.db")).await.unwrap_err();
        assert!(matches!(refused, LockDatabaseError::Held(_)), "{refused:?}");
        drop(held);
        assert!(take(&root.join("link/h.db")).await.unwrap().is_some(), "a lock ends with its holder");
        assert!(
            take(&data.join("hakata.db")).await.unwrap().is_none(),
            "the directory's lock is enough inside"
        );
        let server = DatabaseLock::take("postgres://localhost/h", &data, Duration::ZERO).await.unwrap();
        assert!(server.is_none(), "a database server is there for many");
    }
}
