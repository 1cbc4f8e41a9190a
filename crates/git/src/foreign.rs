//! Bare repositories that somebody else made, for imports and recovery.
//!
//! git never runs in such a directory: its configuration, hooks and alternates could make it do anything. Refs
//! are read here as files; objects are read by a git that runs in an empty repository of ours with the
//! foreign object directory behind it, and every object is hashed again on its way in.

mod refs;

use std::io;
use std::path::{Path, PathBuf};

use hakata_names::ObjectFormat;

use crate::command::{Command, Subcommand};
use crate::process::{Child, ChildError};
use crate::quarantine::{IndexPackError, IndexedPack, PackLimits, Quarantine, write_alternates};
use crate::refs::{Head, Ref};
use crate::{Git, GitDir};

/// Depth to which alternates are followed, as git does.
const MAX_ALTERNATES_DEPTH: usize = 5;

/// Longest `config`, `HEAD` or `alternates` that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Whether a repository may borrow objects from directories outside of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alternates {
    /// No: such a repository is refused.
    #[default]
    Inside,
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
    #[error("{} borrows objects from {}, which is outside of it", .path.display(), .outside.display())]
    Outside {
        /// The directory.
        path: PathBuf,
        /// Where it points to.
        outside: PathBuf,
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
    objects: PathBuf,
    format: ObjectFormat,
    head: Head,
    refs: Vec<Ref>,
    n_skipped: usize,
}

impl Foreign {
    /// Reads format, `HEAD` and refs. Symbolic links are not followed; symbolic refs other than `HEAD` and refs
    /// whose names we do not store are skipped and counted. What tags are about is filled in only where
    /// `packed-refs` says it. Blocks.
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
        let format = refs::read_format(&path)?;
        if alternates == Alternates::Inside {
            check_alternates(&path, &objects, 0)?;
        }
        let (head, refs, n_skipped) = refs::read(&path, format)?;
        Ok(Self { path, objects, format, head, refs, n_skipped })
    }

    /// Returns the hash function.
    pub fn format(&self) -> ObjectFormat {
        self.format
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
        // A repository of our own, so that none of its configuration is read.
        let front = Quarantine::create(&git.settings().scratch, None, self.format)
            .and_then(|front| {
                write_alternates(front.dir(), std::slice::from_ref(&self.objects)).map(|()| front)
            })
            .map_err(|source| ForeignError::Io { path: git.settings().scratch.clone(), source })?;
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

fn pack_command(dir: &GitDir) -> Command {
    Command::new(Subcommand::PackObjects)
        .dir(dir)
        .flag("--revs")
        .flag("--stdout")
        .flag("--delta-base-offset")
        .flag("--quiet")
}

/// Refuses alternates that lead out of the repository, followed as far as git follows them.
fn check_alternates(root: &Path, objects: &Path, depth: usize) -> Result<(), ForeignError> {
    let file = objects.join("info/alternates");
    let Some(lines) = refs::read_file(&file)? else { return Ok(()) };
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"))
    {
        use std::os::unix::ffi::OsStrExt;
        let named = objects.join(std::ffi::OsStr::from_bytes(line));
        let outside = || ForeignError::Outside { path: root.to_owned(), outside: named.clone() };
        let real = std::fs::canonicalize(&named).map_err(|_| outside())?;
        if !real.starts_with(root) || depth >= MAX_ALTERNATES_DEPTH {
            return Err(outside());
        }
        check_alternates(root, &real, depth + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
