//! The file that tells a supervisor or a test that every listener is up, and where.

use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where the listeners of a process are, as bound.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Addresses {
    /// Git over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<String>,
    /// Git over SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ssh: Option<String>,
    /// Metrics and health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<String>,
    /// Ids by the memcached protocol, over TCP or else a Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Ids over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_http: Option<String>,
    /// Ids over gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_grpc: Option<String>,
    /// Repository operations over gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rpc_grpc: Option<String>,
    /// Repository operations over MessagePack-RPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rpc_msgpack: Option<String>,
}

/// A ready file, removed when dropped.
#[derive(Debug)]
pub(crate) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes the file whole under its name: a reader sees all of it or none.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn write(path: &Path, addresses: &Addresses) -> io::Result<Self> {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!(".{}", std::process::id()));
        let staged = PathBuf::from(staged);
        let mut file = std::fs::File::create(&staged)?;
        file.write_all(&serde_json::to_vec(addresses)?)?;
        file.write_all(b"\n")?;
        drop(file);
        std::fs::rename(&staged, path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_what_listens_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        let addresses = Addresses { http: Some("127.0.0.1:34567".to_owned()), ..Addresses::default() };
        let ready = ReadyFile::write(&path, &addresses).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"http\":\"127.0.0.1:34567\"}\n");
        drop(ready);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
