//! A file of names and hashed passwords, as web servers have it.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::secrets::{HashError, Hashed};

/// Largest file in bytes: some hundred thousand names.
const MAX_FILE: u64 = 16 << 20;

/// Longest name in bytes.
const MAX_NAME: usize = 255;

/// The file, read again when it changes.
#[derive(Debug)]
pub struct Htpasswd {
    path: PathBuf,
    read: Mutex<Read>,
}

/// The names of the file as it was last read.
pub(super) type Names = Arc<HashMap<String, Hashed>>;

#[derive(Debug)]
struct Read {
    stamp: Option<(u64, u64, u64, i64, i64)>,
    names: Names,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenHtpasswdError {
    /// It cannot be read.
    #[error("reading {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// A line is not a name and a hash.
    #[error("{}:{line}: not a name, a colon and a hashed password", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A password cannot be verified.
    #[error("{}:{line}: the line of {name}", .path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Whose it is.
        name: String,
        /// What is wrong.
        #[source]
        source: HashError,
    },
}

impl Htpasswd {
    /// Reads a file. Blocks.
    ///
    /// # Errors
    /// The first line that cannot be used; each error is a sentence for the operator.
    pub fn open(path: &Path) -> Result<Self, OpenHtpasswdError> {
        let read = Read::from(path)?;
        let n_weak = read.names.values().filter(|hashed| hashed.is_weak()).count();
        if n_weak > 0 {
            tracing::warn!(path = %path.display(), users = n_weak, "passwords in MD5 or SHA-1 are guessed fast; htpasswd -B makes better ones");
        }
        Ok(Self { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// Counts the names.
    pub fn len(&self) -> usize {
        self.names().len()
    }

    /// Tells whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the names as the file has them now; a file that cannot be used any more leaves the old ones in place.
    /// Blocks.
    pub(super) fn names(&self) -> Names {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = fs::metadata(&self.path).ok().as_ref().map(stamp);
        if now != read.stamp {
            match Read::from(&self.path) {
                Ok(new) => *read = new,
                Err(error) => {
                    tracing::error!(cause = %Chain(&error), "the file of passwords cannot be used: the old one stays");
                    read.stamp = now;
                }
            }
        }
        read.names.clone()
    }
}

impl Read {
    fn from(path: &Path) -> Result<Self, OpenHtpasswdError> {
        let failed = |source| OpenHtpasswdError::Io { path: path.to_owned(), source };
        let there = fs::metadata(path).map_err(failed)?;
        if !there.is_file() || there.len() > MAX_FILE {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no file, or too large")));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let mut names = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let odd = || OpenHtpasswdError::Line { path: path.to_owned(), line: at + 1 };
            let (name, hash) = line.split_once(':').filter(|(name, _)| is_name(name)).ok_or_else(odd)?;
            // Some write more fields behind the hash.
            let hash = hash.split(':').next().unwrap_or_default();
            let hashed = Hashed::parse(hash).map_err(|source| OpenHtpasswdError::Hash {
                path: path.to_owned(),
                line: at + 1,
                name: name.to_owned(),
                source,
            })?;
            // The first line of a name counts, as it does for web servers.
            names.entry(name.to_owned()).or_insert(hashed);
        }
        Ok(Self { stamp: Some(stamp(&there)), names: Arc::new(names) })
    }
}

/// Shows an error with its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        self.0.source().map_or(Ok(()), |cause| write!(f, ": {}", Chain(cause)))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

fn stamp(there: &Metadata) -> (u64, u64, u64, i64, i64) {
    (there.dev(), there.ino(), there.size(), there.mtime(), there.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::{Htpasswd, OpenHtpasswdError};

    const SHA: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

    #[test]
    fn names_are_read_and_read_again_when_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        std::fs::write(&path, format!("# people\n\nalice:{SHA}\nbob:{SHA}:more\r\nalice:{{SHA}}x\n"))
            .unwrap_or(());
        let file = Htpasswd::open(&path);
        assert!(matches!(file, Err(OpenHtpasswdError::Hash { line: 5, .. })), "{file:?}");
        std::fs::write(&path, format!("# people\n\nalice:{SHA}\nbob:{SHA}:more\r\n")).unwrap();
        let file = Htpasswd::open(&path).unwrap();
        assert_eq!(file.len(), 2);
        std::fs::write(&path, format!("carol:{SHA}\n")).unwrap();
        assert!(file.names().contains_key("carol") && file.len() == 1);
        std::fs::write(&path, "mallory:plain\n").unwrap();
        assert!(file.names().contains_key("carol"), "a file that makes no sense changes nothing");
        std::fs::remove_file(&path).unwrap();
        assert!(file.names().contains_key("carol"), "nor does its absence");
    }

    #[test]
    fn a_bad_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        for (text, line) in [("alice\n", 1), (":x\n", 1), ("a\tb:x\n", 1), ("# x\nalice:secret\n", 2)] {
            std::fs::write(&path, text).unwrap();
            let error = Htpasswd::open(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("htpasswd:{line}: ")), "{error}");
            assert!(!error.contains("secret"), "a password that is not hashed stays secret");
        }
    }
}
