//! Where the admin socket lies: in the data directory, or in a short private one when the path would be too long.

use crate::data_dir::{DataDir, Holder};
use hakata_runtime::secret::random_bytes;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The longest path used for a socket, in bytes; the kernel's own limit is 107.
const MAX_SOCKET_PATH: usize = 100;
/// How private directories are called.
const PREFIX: &str = "hakata-";

/// A path for the admin socket; socket and private directory are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    private: Option<PathBuf>,
}

impl SocketPath {
    /// Chooses the path, in `runtime` (or the temporary directory) when the data directory's is too long, and removes
    /// what a former server of this directory left behind. The caller holds the directory's lock.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn choose(dir: &DataDir, runtime: Option<&Path>, former: Option<&Holder>) -> io::Result<Self> {
        if let Some(former) = former {
            Self::remove_left_by(dir, former);
        }
        let path = dir.path().join("admin.sock");
        if path.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => return Ok(Self { path, private: None }),
            }
        }
        let short = |base: &&Path| base.as_os_str().len() <= MAX_SOCKET_PATH - 40 && base.is_dir();
        let base = runtime.filter(short).unwrap_or(Path::new("/tmp"));
        let private = base.join(format!("{PREFIX}{:016x}", u64::from_ne_bytes(random_bytes())));
        DirBuilder::new().mode(0o700).create(&private)?;
        Ok(Self { path: private.join("admin.sock"), private: Some(private) })
    }

    /// Removes what a dead server left behind. The caller holds the directory's lock, and its own name is about to
    /// replace the dead one's there.
    pub(crate) fn remove_left_by(dir: &DataDir, former: &Holder) {
        if let Some(socket) = former.socket.as_deref() {
            remove_stale(dir, socket);
        }
    }

    /// Tells the path to bind.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        if let Some(private) = &self.private {
            let _ = std::fs::remove_dir(private);
        }
    }
}

/// Removes a dead server's socket, and its private directory if it is recognisably one of ours and empty.
fn remove_stale(dir: &DataDir, socket: &Path) {
    let Some(parent) = socket.parent() else { return };
    let is_private = parent.file_name().is_some_and(|name| name.as_bytes().starts_with(PREFIX.as_bytes()));
    if socket.file_name().is_none_or(|name| name != "admin.sock") || (parent != dir.path() && !is_private) {
        return;
    }
    let _ = std::fs::remove_file(socket);
    if is_private && parent != dir.path() {
        let _ = std::fs::remove_dir(parent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::Role;

    #[test]
    fn a_long_data_path_gets_a_short_private_socket() {
        let folder = tempfile::tempdir().unwrap();
        let long = DataDir::open_or_create(&folder.path().join("d".repeat(120))).unwrap();
        let first = SocketPath::choose(&long, Some(folder.path()), None).unwrap();
        assert!(first.path().as_os_str().len() <= MAX_SOCKET_PATH, "{:?}", first.path());
        let left = first.path().to_owned();
        std::mem::forget(first);
        let former = Holder { pid: 1, role: Role::Server, socket: Some(left.clone()) };
        let second = SocketPath::choose(&long, Some(folder.path()), Some(&former)).unwrap();
        assert!(!left.parent().unwrap().exists(), "a dead server's directory is cleaned up");
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.parent().unwrap().exists(), "the directory goes with its owner");
    }

    #[test]
    fn a_short_data_path_keeps_its_socket_and_strangers_paths_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open_or_create(&folder.path().join("d")).unwrap();
        let foreign = folder.path().join("admin.sock");
        std::fs::write(&foreign, "").unwrap();
        std::fs::write(dir.path().join("admin.sock"), "stale").unwrap();
        let former = Holder { pid: 1, role: Role::Server, socket: Some(foreign.clone()) };
        let chosen = SocketPath::choose(&dir, None, Some(&former)).unwrap();
        assert_eq!(chosen.path(), dir.path().join("admin.sock"));
        assert!(!chosen.path().exists(), "a stale socket is removed before the new one is bound");
        assert!(foreign.exists(), "only what is recognisably ours is removed");
    }
}
