//! Files below `objects/` that clients of the old protocol fetch as they are.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use hakata_runtime::blocking::BlockingError;

use super::root::Repository;

/// A file of a repository, open.
#[derive(Debug)]
pub struct ObjectsFile {
    /// The file.
    pub file: tokio::fs::File,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was changed, in seconds since 1970.
    pub modified_s: i64,
}

/// Why a file cannot be had for a reason of ours.
#[derive(Debug, thiserror::Error)]
#[error("opening a file of a repository")]
pub struct OpenFileError(#[source] BlockingError);

impl Repository {
    /// Opens a file; `None` if there is none, or it lies outside of the folder. `name` is below `objects/` and comes
    /// from a table, so it has no `..`.
    ///
    /// # Errors
    /// When there is no thread to open it.
    pub async fn open_file(&self, name: &str) -> Result<Option<ObjectsFile>, OpenFileError> {
        let (path, root) = (self.path().join(name), self.root().path().to_owned());
        let opened = self.git().blocking().run(move || -> io::Result<Option<(File, Metadata)>> {
            let path = std::fs::canonicalize(path)?;
            let there = std::fs::metadata(&path)?;
            if !path.starts_with(root) || !there.is_file() {
                return Ok(None);
            }
            let file = File::open(&path)?;
            let there = file.metadata()?;
            Ok(Some((file, there)))
        });
        // Whatever cannot be opened is not there, as for git's own server.
        let Ok(Some((file, there))) = opened.await.map_err(OpenFileError)? else { return Ok(None) };
        let (size_bytes, modified_s) = (there.size(), there.mtime());
        Ok(Some(ObjectsFile { file: tokio::fs::File::from_std(file), size_bytes, modified_s }))
    }
}
