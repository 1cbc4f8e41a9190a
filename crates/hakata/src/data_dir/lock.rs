//! The lock that makes one process the owner of a data directory.
//!
//! The lock is `flock(2)` on `DIR/lock`, so it ends with its holder however that dies. The file's text names the
//! holder for the others:
//!
//! ```text
//! {"pid":4711,"role":"server","socket":"/srv/hakata/admin.sock"}
//! ```

use crate::data_dir::DataDir;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a waiting process looks again.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest text read from a lock file.
const MAX_HOLDER: u64 = 8192;

/// The lock of a data directory, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    former: Option<Holder>,
}

/// Who holds a lock, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its process id.
    pub(crate) pid: u32,
    /// What it is there for.
    pub(crate) role: Role,
    /// Where a server answers administrative commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
}

/// What a holder does with the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// It serves until it is told to stop.
    Server,
    /// It is one administrative command and will be gone soon.
    Command,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process holds it, and kept it for as long as we were ready to wait.
    #[error("{}", held(.0.as_ref()))]
    Held(Option<Holder>),
    /// The file system refused.
    #[error("locking the data directory")]
    Io(#[from] io::Error),
}

impl Lock {
    /// Takes the lock if it is free; else tells who has it, when that is known.
    ///
    /// # Errors
    /// [`LockError::Held`] at once, or the file system's.
    pub(crate) fn try_take(dir: &DataDir, role: Role) -> Result<Self, LockError> {
        let path = dir.path().join("lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read(&mut file))),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let former = read(&mut file);
        let mut lock = Self { file, former };
        lock.write(&Holder { pid: std::process::id(), role, socket: None })?;
        Ok(lock)
    }

    /// Takes the lock for a server: a running server refuses it at once, a command is waited for.
    ///
    /// # Errors
    /// [`LockError::Held`] by a server, or by a command for the whole `patience`.
    pub(crate) fn take_for_server(dir: &DataDir, patience: Duration) -> Result<Self, LockError> {
        let until = Instant::now() + patience;
        loop {
            match Self::try_take(dir, Role::Server) {
                Err(LockError::Held(holder)) => {
                    let serves = holder.as_ref().is_some_and(|holder| holder.role == Role::Server);
                    if Instant::now() >= until || (serves && holder.as_ref().is_some_and(Holder::is_alive)) {
                        return Err(LockError::Held(holder));
                    }
                }
                taken => return taken,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Names the socket where this server answers, for those who find the lock held.
    ///
    /// # Errors
    /// The write's.
    pub(crate) fn publish_socket(&mut self, socket: &Path) -> io::Result<()> {
        self.write(&Holder { pid: std::process::id(), role: Role::Server, socket: Some(socket.to_owned()) })
    }

    /// Tells who held the lock before and died without saying good-bye.
    pub(crate) fn former(&self) -> Option<&Holder> {
        self.former.as_ref()
    }

    fn write(&mut self, holder: &Holder) -> io::Result<()> {
        let mut text = serde_json::to_vec(holder)?;
        text.push(b'\n');
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)
    }
}

impl Drop for Lock {
    /// Empties the file, so that the next one to find it does not read about a holder that is gone.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

impl Holder {
    /// Whether the process still runs, as far as this process can see.
    fn is_alive(&self) -> bool {
        Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_HOLDER).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn held(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, role: Role::Server, .. }) => {
            format!("a server (process {pid}) owns this data directory")
        }
        Some(Holder { pid, role: Role::Command, .. }) => {
            format!("a command (process {pid}) is busy in this data directory")
        }
        None => "another process owns this data directory".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, DataDir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(&folder.path().join("data")).unwrap();
        (folder, dir)
    }

    #[test]
    fn a_held_lock_names_its_holder_and_ends_with_it() {
        let (_folder, dir) = scratch();
        let mut lock = Lock::try_take(&dir, Role::Server).unwrap();
        lock.publish_socket(Path::new("/run/a.sock")).unwrap();
        let Err(LockError::Held(Some(holder))) = Lock::try_take(&dir, Role::Command) else {
            panic!("a second process must be told who holds the lock");
        };
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(holder.socket.as_deref(), Some(Path::new("/run/a.sock")));
        drop(lock);
        let lock = Lock::try_take(&dir, Role::Command).unwrap();
        assert_eq!(lock.former(), None, "a holder that ended in order leaves no trace");
    }

    #[test]
    fn a_server_refuses_beside_a_server_and_waits_for_a_command() {
        let (_folder, dir) = scratch();
        let server = Lock::try_take(&dir, Role::Server).unwrap();
        let refused = Lock::take_for_server(&dir, Duration::from_secs(60)).unwrap_err();
        assert!(refused.to_string().starts_with("a server (process "), "{refused}");
        drop(server);
        let command = Lock::try_take(&dir, Role::Command).unwrap();
        let refused = Lock::take_for_server(&dir, Duration::ZERO).unwrap_err();
        assert!(refused.to_string().starts_with("a command (process "), "{refused}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::take_for_server(&dir, Duration::from_secs(60)));
            drop(command);
            assert!(waiting.join().unwrap().is_ok(), "the server starts when the command is done");
        });
    }

    #[test]
    fn a_crashed_holder_is_remembered_for_cleaning_up() {
        let (_folder, dir) = scratch();
        let text = r#"{"pid":1,"role":"server","socket":"/tmp/hakata-x/admin.sock"}"#;
        std::fs::write(dir.path().join("lock"), text).unwrap();
        let lock = Lock::try_take(&dir, Role::Server).unwrap();
        assert_eq!(lock.former().unwrap().socket.as_deref(), Some(Path::new("/tmp/hakata-x/admin.sock")));
    }
}
