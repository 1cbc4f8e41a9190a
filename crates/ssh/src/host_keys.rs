//! The keys by which clients recognise this server.

use russh::keys::ssh_key::private::{KeypairData, RsaKeypair};
use russh::keys::ssh_key::{self, LineEnding};
use russh::keys::{Algorithm, HashAlg, PrivateKey};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bits of a generated RSA host key.
const RSA_BITS: usize = 3072;

/// Largest file that is read as a key.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// The server's own keys: ed25519 for everybody, RSA for old clients.
#[derive(Clone, Debug)]
pub struct HostKeys {
    keys: Vec<PrivateKey>,
}

/// Why there are no host keys.
#[derive(Debug, thiserror::Error)]
pub enum OpenHostKeysError {
    /// The file could not be read or written.
    #[error("opening host key {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The file holds no usable key.
    #[error("reading host key {}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ssh_key::Error,
    },
    /// Others than the owner may read the file.
    #[error("host key {} is readable by others; run: chmod 600 {}", path.display(), path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
    },
    /// No key could be made.
    #[error("generating a host key")]
    Generate(#[source] ssh_key::Error),
}

#[derive(Clone, Copy)]
enum HostKeyKind {
    Ed25519,
    Rsa,
}

impl HostKeys {
    /// Loads the keys of a directory; makes those that are missing, and the directory, on the first start.
    ///
    /// Blocks for up to some seconds while an RSA key is generated. A file that exists and is no key is an error and
    /// never overwritten: clients would meet a changed host key.
    ///
    /// # Errors
    /// Any [`OpenHostKeysError`].
    pub fn open(directory: &Path) -> Result<Self, OpenHostKeysError> {
        std::fs::create_dir_all(directory).map_err(|source| io_error(directory, source))?;
        let open_one = |kind: HostKeyKind| {
            let path = directory.join(kind.file_name());
            match load(&path)? {
                Some(key) => Ok(key),
                None => generate(kind, &path),
            }
        };
        Ok(Self { keys: vec![open_one(HostKeyKind::Ed25519)?, open_one(HostKeyKind::Rsa)?] })
    }

    /// Makes one key that is stored nowhere, for servers that live as long as a test.
    ///
    /// # Errors
    /// [`OpenHostKeysError::Generate`].
    pub fn ephemeral() -> Result<Self, OpenHostKeysError> {
        Ok(Self { keys: vec![HostKeyKind::Ed25519.generate()?] })
    }

    /// Returns the public keys as `known_hosts` lines without the host.
    pub fn public_lines(&self) -> Vec<String> {
        self.keys.iter().filter_map(|key| key.public_key().to_openssh().ok()).collect()
    }

    /// Returns the fingerprints, for the log and for people who compare.
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string()).collect()
    }

    pub(crate) fn private_keys(&self) -> Vec<PrivateKey> {
        self.keys.clone()
    }
}

impl HostKeyKind {
    fn file_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "host_ed25519",
            Self::Rsa => "host_rsa",
        }
    }

    fn generate(self) -> Result<PrivateKey, OpenHostKeysError> {
        let mut random = russh::keys::key::safe_rng();
        let key = match self {
            Self::Ed25519 => PrivateKey::random(&mut random, Algorithm::Ed25519),
            Self::Rsa => RsaKeypair::random(&mut random, RSA_BITS)
                .and_then(|pair| PrivateKey::new(KeypairData::Rsa(pair), "")),
        };
        key.map_err(OpenHostKeysError::Generate)
    }
}

fn load(path: &Path) -> Result<Option<PrivateKey>, OpenHostKeysError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(path, source)),
    };
    let metadata = file.metadata().map_err(|source| io_error(path, source))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(OpenHostKeysError::Mode { path: path.to_owned() });
    }
    let mut text = Vec::new();
    file.take(MAX_KEY_FILE).read_to_end(&mut text).map_err(|source| io_error(path, source))?;
    let key_error = |source| OpenHostKeysError::Key { path: path.to_owned(), source };
    PrivateKey::from_openssh(&text).map(Some).map_err(key_error)
}

fn generate(kind: HostKeyKind, path: &Path) -> Result<PrivateKey, OpenHostKeysError> {
    let key = kind.generate()?;
    let text = key.to_openssh(LineEnding::LF).map_err(OpenHostKeysError::Generate)?;
    let public = key.public_key().to_openssh().map_err(OpenHostKeysError::Generate)?;
    write_new(path, text.as_bytes(), 0o600).map_err(|source| io_error(path, source))?;
    let public_path = path.with_extension("pub");
    write_new(&public_path, format!("{public}\n").as_bytes(), 0o644)
        .map_err(|source| io_error(&public_path, source))?;
    tracing::info!(host_key.path = %path.display(), host_key.fingerprint = %key.fingerprint(HashAlg::Sha256), "host key generated");
    Ok(key)
}

/// Writes a file whole or not at all: a crash leaves either no key, and the next start makes one, or the whole key.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let staged = path.with_extension("new");
    let _ = std::fs::remove_file(&staged);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&staged, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn io_error(path: &Path, source: io::Error) -> OpenHostKeysError {
    OpenHostKeysError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::{HostKeys, OpenHostKeysError};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ssh");
        let first = HostKeys::open(&path).unwrap();
        let second = HostKeys::open(&path).unwrap();
        assert_eq!(first.public_lines(), second.public_lines(), "a restart changes no host key");
        assert!(first.public_lines()[0].starts_with("ssh-ed25519 "));
        assert!(first.public_lines()[1].starts_with("ssh-rsa "));
        assert!(first.fingerprints().iter().all(|text| text.starts_with("SHA256:")));
        for name in ["host_ed25519", "host_rsa"] {
            let mode = path.join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name} is private");
        }
        assert!(!path.join("host_rsa.new").exists(), "nothing staged is left");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host_ed25519");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(HostKeys::open(directory.path()), Err(OpenHostKeysError::Mode { .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host_ed25519");
        std::fs::write(&path, "not a key").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(HostKeys::open(directory.path()), Err(OpenHostKeysError::Key { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key");
    }
}
