//! Finding the repositories below a directory. Nothing is run, and no symbolic link is followed.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::config;

/// What looks like a repository.
#[derive(Debug)]
pub struct Found {
    /// Where it lies below the directory that was searched; of a work tree the folder around its `.git`.
    pub place: PathBuf,
    /// What it is.
    pub what: What,
}

/// What lies there.
#[derive(Debug)]
pub enum What {
    /// A repository, as far as can be seen from outside.
    Repository {
        /// The directory with `HEAD` in it.
        directory: PathBuf,
        /// The bytes of its object files.
        size_bytes: u64,
        /// What GitLab calls it, which keeps repositories under hashes and their names in `gitlab.fullpath`.
        full_path: Option<String>,
    },
    /// Something that somebody may think to be one.
    Odd(Oddity),
}

/// Why something is not taken for a repository.
#[derive(Debug, thiserror::Error)]
pub enum Oddity {
    /// A symbolic link to a directory.
    #[error("it is a symbolic link, and those are not followed")]
    Link,
    /// A symbolic link among its objects.
    #[error("its {} is a symbolic link, and those are not followed", .0.display())]
    LinkInside(PathBuf),
    /// Something of a repository is missing.
    #[error("it is not a git repository: it has no {0}")]
    Lacks(&'static str),
    /// A work tree whose repository is elsewhere.
    #[error("its .git is a file that names a repository elsewhere")]
    GitFile,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
}

/// A search that goes on as far as it is told to, so that no thread is taken for long.
#[derive(Debug)]
pub struct Search {
    root: PathBuf,
    /// Directories to be read, below the root.
    ahead: Vec<PathBuf>,
    found: Vec<Found>,
}

impl Search {
    /// Begins a search below a directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ahead: vec![PathBuf::new()], found: Vec::new() }
    }

    /// Reads at most so many directories more; false when there are none left. Blocks.
    pub fn advance(&mut self, n_directories: usize) -> bool {
        for _ in 0..n_directories {
            let Some(place) = self.ahead.pop() else { return false };
            if let Err(error) = self.read(&place) {
                self.found.push(Found { place, what: What::Odd(Oddity::Unreadable(error)) });
            }
        }
        !self.ahead.is_empty()
    }

    /// Returns how many were found so far.
    pub fn n_found(&self) -> usize {
        self.found.len()
    }

    /// Returns what was found, in the order of names.
    pub fn into_found(mut self) -> Vec<Found> {
        self.found.sort_by(|left, right| left.place.cmp(&right.place));
        self.found
    }

    /// Whether the directory is a repository itself, bare or with a `.git` in it. Blocks.
    pub fn is_repository(directory: &Path) -> bool {
        [directory.to_owned(), directory.join(".git")].iter().any(|path| shape(path) == Shape::Whole)
    }

    fn read(&mut self, place: &Path) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(place))? {
            let entry = entry?;
            let (kind, place) = (entry.file_type()?, place.join(entry.file_name()));
            if kind.is_dir() {
                self.judge(place);
            } else if kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|target| target.is_dir()) {
                self.found.push(Found { place, what: What::Odd(Oddity::Link) });
            }
        }
        Ok(())
    }

    /// Decides whether a directory is a repository, a broken one, or one to search.
    fn judge(&mut self, place: PathBuf) {
        let path = self.root.join(&place);
        let has_tail = place.as_os_str().as_bytes().ends_with(b".git");
        let what = match (shape(&path), path.join(".git").symlink_metadata()) {
            (Shape::Whole, _) => measured(path),
            (_, Ok(inner)) if inner.is_symlink() => What::Odd(Oddity::Link),
            (_, Ok(inner)) if inner.is_file() => What::Odd(Oddity::GitFile),
            (_, Ok(_)) => match shape(&path.join(".git")) {
                Shape::Whole => measured(path.join(".git")),
                Shape::Lacks(what) => What::Odd(Oddity::Lacks(what)),
                Shape::Nothing => What::Odd(Oddity::Lacks("HEAD")),
            },
            (Shape::Lacks(what), Err(_)) if has_tail || what != "HEAD" => What::Odd(Oddity::Lacks(what)),
            (_, Err(_)) => {
                if has_tail {
                    let what = What::Odd(Oddity::Lacks("HEAD"));
                    self.found.push(Found { place: place.clone(), what });
                }
                return self.ahead.push(place);
            }
        };
        self.found.push(Found { place, what });
    }
}

/// How much of a repository a directory has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    Lacks(&'static str),
    Nothing,
}

/// Looks for what git itself looks for.
fn shape(path: &Path) -> Shape {
    let has = |name: &str| {
        path.join(name).symlink_metadata().is_ok_and(|at| match name {
            "HEAD" => !at.is_dir(),
            // A link is told from its absence when the objects are measured.
            "objects" => !at.is_file(),
            _ => at.is_dir(),
        })
    };
    let parts = ["HEAD", "objects", "refs"];
    match parts.iter().find(|name| !has(name)) {
        None => Shape::Whole,
        Some(_) if !parts.iter().any(|name| has(name)) => Shape::Nothing,
        Some(missing) => Shape::Lacks(missing),
    }
}

/// Adds up the files of the objects; a link among them could lead anywhere.
fn measured(directory: PathBuf) -> What {
    let mut size_bytes = 0;
    let mut ahead = vec![PathBuf::from("objects")];
    while let Some(place) = ahead.pop() {
        match measure(&directory, &place, &mut ahead) {
            Ok(bytes) => size_bytes += bytes,
            Err(oddity) => return What::Odd(oddity),
        }
    }
    let full_path = config::read(&directory).ok().and_then(|config| config::full_path(&config));
    What::Repository { directory, size_bytes, full_path }
}

fn measure(directory: &Path, place: &Path, ahead: &mut Vec<PathBuf>) -> Result<u64, Oddity> {
    let path = directory.join(place);
    if path.symlink_metadata().map_err(Oddity::Unreadable)?.is_symlink() {
        return Err(Oddity::LinkInside(place.to_owned()));
    }
    let mut size_bytes = 0;
    for entry in fs::read_dir(path).map_err(Oddity::Unreadable)? {
        let entry = entry.map_err(Oddity::Unreadable)?;
        let inside = place.join(entry.file_name());
        let at = entry.metadata().map_err(Oddity::Unreadable)?;
        if at.is_symlink() {
            return Err(Oddity::LinkInside(inside));
        }
        match at.is_dir() {
            true => ahead.push(inside),
            false => size_bytes += at.len(),
        }
    }
    Ok(size_bytes)
}

#[cfg(test)]
mod tests;
