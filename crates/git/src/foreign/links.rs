//! Symbolic links among objects: git would follow them out of what may be read.

use std::io;
use std::path::{Path, PathBuf};

use super::ForeignError;

/// Refuses an object directory that is a symbolic link or has one in it. Blocks.
pub(super) fn refuse(objects: &Path) -> Result<(), ForeignError> {
    check(objects)?;
    let mut ahead = vec![objects.to_owned()];
    while let Some(directory) = ahead.pop() {
        read(&directory, &mut ahead)?;
    }
    Ok(())
}

/// Refuses a path that is a symbolic link.
pub(super) fn check(path: &Path) -> Result<(), ForeignError> {
    match path.symlink_metadata().map_err(failed(path))?.is_symlink() {
        true => Err(ForeignError::Link { path: path.to_owned() }),
        false => Ok(()),
    }
}

fn read(directory: &Path, ahead: &mut Vec<PathBuf>) -> Result<(), ForeignError> {
    for entry in std::fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        let kind = entry.file_type().map_err(failed(directory))?;
        if kind.is_symlink() {
            return Err(ForeignError::Link { path: entry.path() });
        }
        if kind.is_dir() {
            ahead.push(entry.path());
        }
    }
    Ok(())
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ForeignError + '_ {
    |source| ForeignError::Io { path: path.to_owned(), source }
}
