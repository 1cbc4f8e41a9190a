//! Bare repositories that somebody else made, for imports and recovery.
//!
//! git never runs in such a directory: its configuration, hooks and alternates could make it do anything. Refs
//! are read here as files; objects are read by a git that runs in a repository of ours, into which the foreign
//! packs and loose objects are linked one by one (`pin`), and every object is hashed again on its way in.

mod config;
mod links;
mod pin;
mod refs;
mod tree;

use std::io;
use std::path::{Path, PathBuf};

use hakata_names::ObjectFormat;
use hakata_runtime::blocking::BlockingError;

use crate::command::{Command, Subcommand};
use crate::process::{Child, ChildError};
use crate::quarantine::{IndexPackError, IndexedPack, PackLimits, Quarantine, write_alternates};
use crate::refs::{Head, Ref};
use crate::{Git, GitDir};

pub use tree::{Found, Oddity, Search, What};

/// Depth to which alternates are followed, as git does.
const MAX_ALTERNATES_DEPTH: usize = 5;

/// Longest `config`, `HEAD` or `alternates` that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Whether a repository may borrow objects from directories outside of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Alternates {
    /// No: such a repository is refused.
    #[default]
    Inside,
    /// From below this directory only, whose path is resolved: forks that share with a pool beside them.
    Below(PathBuf),
    /// Yes, because the operator says so.
    Anywhere,
}

/// Why a foreign repository cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// It is no bare repository.
    #[error("{} is not a bare git repository: {what}", .path.display())]
    NotARepository {
        /// The directory.
        path: PathBuf,
        /// What is missing or odd.
        what: &'static str,
    },
    /// It keeps its refs in a format we do not read.
    #[error("{} stores its refs as {storage}; run `git refs migrate --ref-format=files` on it first", .path.display())]
    RefStorage {
        /// The directory.
        path: PathBuf,
        /// The format.
        storage: String,
    },
    /// It borrows objects from elsewhere.
    #[error("{} borrows objects from {}, which is outside of what is imported", .path.display(), .outside.display())]
    Outside {
        /// The directory.
        path: PathBuf,
        /// Where it points to.
        outside: PathBuf,
    },
    /// A part of it is a symbolic link, which could lead anywhere.
    #[error("{} is a symbolic link, and those are not followed", .path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("reading {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The pool of blocking work is full, or the process is stopping.
    #[error("waiting to read files")]
    Busy(#[source] BlockingError),
    /// Its objects cannot be packed.
    #[error("packing the objects of {}", .path.display())]
    Pack {
        /// The directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: ChildError,
    },
    /// Its objects are not accepted.
    #[error("taking in the objects of {}", .path.display())]
    Index {
        /// The directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: IndexPackError,
    },
}

/// A foreign bare repository whose refs have been read.
#[derive(Clone, Debug)]
pub struct Foreign {
    path: PathBuf,
    /// Its object directory, then those that it borrows from.
    objects: Vec<PathBuf>,
    format: ObjectFormat,
    /// Whether objects may come from nowhere else.
    is_bounded: bool,
    description: String,
    head: Head,
    refs: Vec<Ref>,
    n_skipped: usize,
}

impl Foreign {
    /// Reads format, `HEAD` and refs. Symbolic refs other than `HEAD`, links in their place, and refs whose names we
    /// do not store are skipped and counted; any other symbolic link inside is refused, unless objects may come from
    /// anywhere. What tags are about is filled in only where `packed-refs` says it. Blocks.
    ///
    /// # Errors
    /// Any [`ForeignError`] about the directory.
    pub fn open(path: &Path, alternates: Alternates) -> Result<Self, ForeignError> {
        let path = std::fs::canonicalize(path)
            .map_err(|source| ForeignError::Io { path: path.to_owned(), source })?;
        let objects = path.join("objects");
        if !objects.is_dir() {
            return Err(ForeignError::NotARepository { path, what: "it has no objects" });
        }
        let config = config::read(&path)?;
        let format = config::format(&path, &config)?;
        let mut objects = vec![objects];
        let within = match &alternates {
            Alternates::Inside => Some(&path),
            Alternates::Below(within) => Some(within),
            Alternates::Anywhere => None,
        };
        if let Some(within) = within {
            check_alternates(&path, within, &mut objects)?;
            if !path.starts_with(within) {
                return Err(ForeignError::NotARepository { path, what: "it lies behind a symbolic link" });
            }
            objects.iter().try_for_each(|directory| links::refuse(directory))?;
        }
        let description = config::description(&path, &config);
        let (head, refs, n_skipped) = refs::read(&path, format)?;
        let is_bounded = within.is_some();
        Ok(Self { path, objects, format, is_bounded, description, head, refs, n_skipped })
    }

    /// Returns the hash function.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Returns the line about it that its owner wrote, or nothing.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns where `HEAD` points.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Returns the refs, sorted by name.
    pub fn refs(&self) -> &[Ref] {
        &self.refs
    }

    /// Returns how many refs were skipped.
    pub fn n_skipped(&self) -> usize {
        self.n_skipped
    }

    /// Packs everything that the refs lead to into a quarantine (made without a base), checking every object.
    /// `None` if there is nothing to pack.
    ///
    /// # Errors
    /// [`ForeignError::Pack`] or [`ForeignError::Index`].
    pub async fn pack_all(
        &self,
        git: &Git,
        into: &Quarantine,
        limits: &PackLimits,
    ) -> Result<Option<IndexedPack>, ForeignError> {
        if self.refs.is_empty() {
            return Ok(None);
        }
        let packing = |source| ForeignError::Pack { path: self.path.clone(), source };
        let (this, scratch) = (self.clone(), git.settings().scratch.clone());
        let front = git.blocking().run(move || this.front(&scratch)).await.map_err(ForeignError::Busy)??;
        let mut child = Child::spawn(git, &pack_command(front.dir())).await.map_err(packing)?;
        let (stdin, stdout) = (child.stdin(), child.stdout());
        let tips: String = self.refs.iter().map(|at| format!("{}\n", at.oid)).collect();
        let asking = async move {
            use tokio::io::AsyncWriteExt;
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(tips.as_bytes()).await;
            }
        };
        let indexing = async {
            match stdout {
                Some(mut stdout) => into.index_pack(git, &mut stdout, limits).await,
                None => Err(IndexPackError::Truncated),
            }
        };
        let ((), indexed) = tokio::join!(asking, indexing);
        let finished = child.finish().await.map_err(packing)?;
        match (finished.success(), indexed) {
            (Ok(_), Ok(pack)) => Ok(Some(pack)),
            // A pack that ends early is the fault of the side that made it.
            (Err(source), Err(IndexPackError::Truncated) | Ok(_)) => Err(packing(source)),
            (_, Err(source)) => Err(ForeignError::Index { path: self.path.clone(), source }),
        }
    }
}

impl Foreign {
    /// Makes a repository of our own with the foreign objects in it, so that none of its configuration is read. Blocks.
    fn front(&self, scratch: &Path) -> Result<Quarantine, ForeignError> {
        let failed = |source| ForeignError::Io { path: scratch.to_owned(), source };
        let front = Quarantine::create(scratch, None, self.format).map_err(failed)?;
        match self.is_bounded {
            true => self.objects.iter().try_for_each(|objects| pin::pin(objects, &front.dir().objects()))?,
            false => write_alternates(front.dir(), &self.objects).map_err(failed)?,
        }
        Ok(front)
    }
}

fn pack_command(dir: &GitDir) -> Command {
    Command::new(Subcommand::PackObjects)
        .dir(dir)
        .flag("--revs")
        .flag("--stdout")
        .flag("--delta-base-offset")
        .flag("--quiet")
}

/// Refuses alternates that lead out of `within`, followed as far as git follows them, and adds the others to
/// `objects`: git does not follow relative ones that are not the first.
fn check_alternates(path: &Path, within: &Path, objects: &mut Vec<PathBuf>) -> Result<(), ForeignError> {
    use std::os::unix::ffi::OsStrExt;
    let mut from = 0;
    for depth in 0.. {
        let level: Vec<PathBuf> = objects[from..].to_vec();
        from = objects.len();
        for directory in &level {
            let Some(lines) = refs::read_file(&directory.join("info/alternates"))? else { continue };
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !matches!(line, [] | [b'#', ..])) {
                let named = directory.join(std::ffi::OsStr::from_bytes(line));
                let outside = || ForeignError::Outside { path: path.to_owned(), outside: named.clone() };
                let real = std::fs::canonicalize(&named).map_err(|_| outside())?;
                if !real.starts_with(within) || depth >= MAX_ALTERNATES_DEPTH {
                    return Err(outside());
                }
                if !objects.contains(&real) {
                    objects.push(real);
                }
            }
        }
        if from == objects.len() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
