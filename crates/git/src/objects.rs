//! Reading objects in process, without starting git.
//!
//! An [`Objects`] is an open object database; [`Objects::read`] runs a closure with a [`View`] of it on the
//! blocking pool. Views read one repository: a cache, or a quarantine with the cache behind it.

mod handles;
mod walk;

use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use hakata_names::{ObjectFormat, Oid};
use hakata_runtime::blocking::BlockingError;

pub(crate) use handles::Handles;

use crate::{Git, GitDir};

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A directory.
    Tree,
    /// A file.
    Blob,
    /// An annotated tag.
    Tag,
}

impl From<gix::object::Kind> for Kind {
    fn from(kind: gix::object::Kind) -> Self {
        match kind {
            gix::object::Kind::Commit => Self::Commit,
            gix::object::Kind::Tree => Self::Tree,
            gix::object::Kind::Blob => Self::Blob,
            gix::object::Kind::Tag => Self::Tag,
        }
    }
}

/// Kind and size of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Length of its content.
    pub size_bytes: u64,
}

/// What a commit says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFacts {
    /// Its tree.
    pub tree: Oid,
    /// Its parents, in order.
    pub parents: Vec<Oid>,
    /// Name and e-mail of its author, as written.
    pub author: Vec<u8>,
    /// When it was made, in seconds since 1970.
    pub committed_at: i64,
    /// First paragraph of its message, on one line.
    pub summary: Vec<u8>,
}

/// The cause of a failed read, as the library words it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why objects cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory is no repository.
    #[error("opening the objects of {}", .dir.path().display())]
    Open {
        /// The directory.
        dir: GitDir,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The object is not there.
    #[error("object {0} does not exist")]
    Absent(Oid),
    /// The object is there and broken, or cannot be read.
    #[error("reading object {oid}")]
    Object {
        /// The object.
        oid: Oid,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The object is larger than the caller takes.
    #[error("object {oid} has {size_bytes} bytes")]
    TooLarge {
        /// The object.
        oid: Oid,
        /// Its size.
        size_bytes: u64,
    },
    /// History cannot be walked.
    #[error("walking history")]
    Walk(#[source] Cause),
    /// The pool is full or stopping.
    #[error("waiting to read objects")]
    Busy(#[source] BlockingError),
}

/// The open objects of one repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    git: Git,
    repository: Arc<gix::ThreadSafeRepository>,
}

impl Git {
    /// Opens the objects of a repository, or finds them open.
    ///
    /// New packs are noticed; raise `generation` when packs were removed, so that their files are let go.
    ///
    /// # Errors
    /// [`ReadError::Open`], or [`ReadError::Busy`].
    pub async fn objects(&self, dir: &GitDir, generation: u64) -> Result<Objects, ReadError> {
        let repository = match self.handles().find(dir, generation) {
            Some(repository) => repository,
            None => {
                let (git, dir) = (self.clone(), dir.clone());
                let open = move || git.handles().open(&dir, generation);
                self.blocking().run(open).await.map_err(ReadError::Busy)??
            }
        };
        Ok(Objects { git: self.clone(), repository })
    }

    /// Forgets the open objects of a repository, before its directory goes.
    pub fn forget(&self, dir: &GitDir) {
        self.handles().forget(dir);
    }
}

impl Objects {
    /// Opens a repository that is not worth keeping open, such as a quarantine.
    pub(crate) async fn open_once(git: &Git, dir: &GitDir) -> Result<Self, ReadError> {
        let dir = dir.clone();
        let open = move || handles::open(&dir);
        let repository = git.blocking().run(open).await.map_err(ReadError::Busy)??;
        Ok(Self { git: git.clone(), repository })
    }

    /// Runs a closure with the objects on the blocking pool.
    ///
    /// # Errors
    /// The closure's, or [`ReadError::Busy`].
    pub async fn read<T, F>(&self, work: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, ReadError> + Send + 'static,
    {
        let repository = self.repository.clone();
        let cache_bytes = self.git.settings().object_cache_bytes;
        let work = move || {
            let mut repository = repository.to_thread_local();
            repository.object_cache_size_if_unset(cache_bytes);
            work(&View { repository })
        };
        self.git.blocking().run(work).await.map_err(ReadError::Busy)?
    }
}

/// Objects for one thread. All methods block.
#[derive(Debug)]
pub struct View {
    repository: gix::Repository,
}

impl View {
    /// Returns the library's own handle.
    pub(crate) fn repository(&self) -> &gix::Repository {
        &self.repository
    }

    /// Returns the hash function of the repository.
    pub fn format(&self) -> ObjectFormat {
        match self.repository.object_hash() {
            gix::hash::Kind::Sha256 => ObjectFormat::Sha256,
            _ => ObjectFormat::Sha1,
        }
    }

    /// Says whether an object is there.
    pub fn exists(&self, oid: &Oid) -> bool {
        self.repository.has_object(object_id(oid))
    }

    /// Finds kind and size of an object without reading its content.
    ///
    /// # Errors
    /// [`ReadError::Object`] if it is broken.
    pub fn header(&self, oid: &Oid) -> Result<Option<Header>, ReadError> {
        let header = self.repository.try_find_header(object_id(oid)).map_err(|e| broken(oid, e))?;
        Ok(header.map(|header| Header { kind: header.kind().into(), size_bytes: header.size() }))
    }

    /// Follows tag objects to what they are about; `None` if the object is no tag.
    ///
    /// # Errors
    /// [`ReadError::Absent`] or [`ReadError::Object`].
    pub fn peel(&self, oid: &Oid) -> Result<Option<Oid>, ReadError> {
        if self.header(oid)?.ok_or(ReadError::Absent(*oid))?.kind != Kind::Tag {
            return Ok(None);
        }
        let object = self.repository.find_object(object_id(oid)).map_err(|e| broken(oid, e))?;
        let peeled = object.peel_tags_to_end().map_err(|e| broken(oid, e))?;
        Ok(Some(our_oid(peeled.id, oid)?))
    }

    /// Reads what a commit says.
    ///
    /// # Errors
    /// [`ReadError::Absent`], or [`ReadError::Object`] if it is broken or no commit.
    pub fn commit(&self, oid: &Oid) -> Result<CommitFacts, ReadError> {
        let object = self.repository.try_find_object(object_id(oid)).map_err(|e| broken(oid, e))?;
        let object = object.ok_or(ReadError::Absent(*oid))?;
        let commit = object.try_into_commit().map_err(|e| broken(oid, e))?;
        let parsed = commit.decode().map_err(|e| broken(oid, e))?;
        let author = parsed.author().map_err(|e| broken(oid, e))?;
        let mut parents = Vec::new();
        for parent in parsed.parents() {
            parents.push(our_oid(parent, oid)?);
        }
        Ok(CommitFacts {
            tree: our_oid(parsed.tree(), oid)?,
            parents,
            author: [author.name.as_bytes(), b" <", author.email.as_bytes(), b">"].concat(),
            committed_at: commit.time().map_err(|e| broken(oid, e))?.seconds,
            summary: parsed.message_summary().to_vec(),
        })
    }

    /// Reads a file, if it is not longer than `max_bytes`.
    ///
    /// # Errors
    /// [`ReadError::Absent`], [`ReadError::TooLarge`], or [`ReadError::Object`] if it is broken or no file.
    pub fn read_blob(&self, oid: &Oid, max_bytes: u64) -> Result<Vec<u8>, ReadError> {
        let header = self.header(oid)?.ok_or(ReadError::Absent(*oid))?;
        if header.size_bytes > max_bytes {
            return Err(ReadError::TooLarge { oid: *oid, size_bytes: header.size_bytes });
        }
        let object = self.repository.find_object(object_id(oid)).map_err(|e| broken(oid, e))?;
        Ok(object.try_into_blob().map_err(|e| broken(oid, e))?.take_data())
    }

    /// Says whether commit `a` is `b` or among its ancestors.
    ///
    /// # Errors
    /// [`ReadError::Walk`].
    pub fn is_ancestor(&self, a: &Oid, b: &Oid) -> Result<bool, ReadError> {
        Ok(self.reachable(&[*a], &[*b])?.first() == Some(&true))
    }

    /// Says of each target whether it is reachable from any of `from`; objects that are no commits reach
    /// nothing. One walk for all, which stops when it can find no more.
    ///
    /// # Errors
    /// [`ReadError::Walk`].
    pub fn reachable(&self, targets: &[Oid], from: &[Oid]) -> Result<Vec<bool>, ReadError> {
        walk::reachable(&self.repository, targets, from)
    }
}

/// Names an object for the library.
pub(crate) fn object_id(oid: &Oid) -> ObjectId {
    ObjectId::try_from(oid.as_bytes()).expect("an oid has the length of a hash")
}

fn our_oid(id: ObjectId, within: &Oid) -> Result<Oid, ReadError> {
    Oid::from_bytes(id.as_slice()).map_err(|e| broken(within, e))
}

fn broken(oid: &Oid, source: impl Into<Cause>) -> ReadError {
    ReadError::Object { oid: *oid, source: source.into() }
}

#[cfg(test)]
mod tests;
