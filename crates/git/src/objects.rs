//! Reading objects in process, without starting git.
//!
//! An [`Objects`] is an open object database; [`Objects::read`] runs a closure with a [`View`] of it on the
//! blocking pool. Views read one repository: a cache, or a quarantine with the cache behind it. What else a view
//! can answer is in [`read`](crate::read).

mod error;
mod handles;
mod kept;
mod readers;
mod walk;

use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use gix::ObjectId;
use gix::bstr::ByteSlice;
use hakata_names::{ObjectFormat, Oid};

pub use error::{Cause, ReadError};
pub(crate) use handles::{Handles, Opened};
pub(crate) use kept::metrics;

use crate::read::{Allowance, CommitGraph, Meter, RefLookup, resolve_by_graph};
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

impl Kind {
    /// Says that an object is of another kind.
    fn missed(self) -> &'static str {
        match self {
            Self::Commit => "it is no commit",
            Self::Tree => "it is no directory",
            Self::Blob => "it is no file",
            Self::Tag => "it is no tag",
        }
    }
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

/// The open objects of one repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    git: Git,
    opened: Arc<Opened>,
}

impl Git {
    /// Opens the objects of a repository, or finds them open.
    ///
    /// New packs are noticed; raise `generation` when packs were removed, so that their files are let go.
    ///
    /// # Errors
    /// [`ReadError::Open`], or [`ReadError::Busy`].
    pub async fn objects(&self, dir: &GitDir, generation: u64) -> Result<Objects, ReadError> {
        let opened = match self.handles().find(dir, generation) {
            Some(opened) => opened,
            None => {
                let (git, path) = (self.clone(), dir.clone());
                let open = move || git.handles().open(&path, generation);
                let opened = self.blocking().run(open).await.map_err(ReadError::Busy)??;
                self.merges().forget(dir);
                opened
            }
        };
        Ok(Objects { git: self.clone(), opened })
    }

    /// Forgets the open objects of a repository, before its directory goes.
    pub fn forget(&self, dir: &GitDir) {
        self.handles().forget(dir);
        self.merges().forget(dir);
    }
}

impl Objects {
    /// Opens a repository that is not worth keeping open, such as a quarantine.
    pub(crate) async fn open_once(git: &Git, dir: &GitDir) -> Result<Self, ReadError> {
        let dir = dir.clone();
        let room = git.handles().room().clone();
        let open = move || Opened::open(&dir, room);
        let opened = git.blocking().run(open).await.map_err(ReadError::Busy)??;
        Ok(Self { git: git.clone(), opened })
    }

    /// Returns what is open, for who keeps it without the git that goes with it.
    pub(crate) fn opened(&self) -> &Arc<Opened> {
        &self.opened
    }

    /// Makes objects of what was kept open.
    pub(crate) fn of_opened(git: &Git, opened: &Arc<Opened>) -> Self {
        Self { git: git.clone(), opened: opened.clone() }
    }

    /// Returns the hash function of the repository.
    pub(crate) fn format(&self) -> ObjectFormat {
        match self.opened.repository.objects.object_hash() {
            gix::hash::Kind::Sha256 => ObjectFormat::Sha256,
            _ => ObjectFormat::Sha1,
        }
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
        self.read_within(&Allowance::default(), work).await
    }

    /// As [`read`](Self::read), but long walks end when the allowance does, or when the future is dropped.
    ///
    /// # Errors
    /// The closure's, or [`ReadError::Busy`].
    pub async fn read_within<T, F>(&self, allowance: &Allowance, work: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, ReadError> + Send + 'static,
    {
        let opened = self.opened.clone();
        let (meter, _stop_on_drop) = Meter::start(allowance);
        let work = move || {
            let repository = opened.readers.take(&opened.repository, &opened.kept);
            let view = View { repository, opened, meter, commit_graph: OnceCell::new() };
            let answer = work(&view);
            view.opened.readers.give_back(view.repository);
            answer
        };
        self.git.blocking().run(work).await.map_err(ReadError::Busy)?
    }

    /// Resolves a revision that begins with a ref, at once, if the commit-graph that is open already knows every commit
    /// that it leads over. `None` says nothing: [`View::resolve`] finds out.
    pub fn resolve_at_once(&self, revision: &[u8], refs: RefLookup<'_>) -> Option<(Oid, Kind)> {
        let graph = self.opened.known_commit_graph()?;
        let (id, kind) = resolve_by_graph(&graph, revision, refs)?;
        Some((Oid::from_bytes(id.as_slice()).ok()?, kind))
    }

    /// Says at once of what a ref points to that it is a commit, if the commit-graph that is open already knows it.
    pub fn knows_commit(&self, oid: &Oid) -> bool {
        self.opened.known_commit_graph().is_some_and(|graph| graph.find(&object_id(oid)).is_some())
    }

    /// Returns the library's own handle, for a closure that reads two repositories.
    pub(crate) fn library(&self) -> gix::Repository {
        self.opened.repository.to_thread_local()
    }

    /// Returns the git that goes with the objects.
    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// Returns the directory of the repository.
    pub(crate) fn dir(&self) -> &GitDir {
        &self.opened.dir
    }
}

/// Objects for one thread. All methods block.
#[derive(Debug)]
pub struct View {
    repository: gix::Repository,
    opened: Arc<Opened>,
    meter: Meter,
    commit_graph: OnceCell<Option<Arc<CommitGraph>>>,
}

impl View {
    /// Returns the library's own handle.
    pub(crate) fn repository(&self) -> &gix::Repository {
        &self.repository
    }

    /// Returns what counts the work against the caller's allowance.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Returns the commit-graph, the same one as long as this view lives.
    pub(crate) fn commit_graph(&self) -> Option<&Arc<CommitGraph>> {
        self.commit_graph.get_or_init(|| self.opened.commit_graph()).as_ref()
    }

    /// Finds a commit that is there and that the commit-graph knows.
    pub(crate) fn graphed(&self, oid: &Oid) -> Option<gix::commitgraph::file::Commit<'_>> {
        let graph = self.commit_graph()?;
        let position = graph.find(&object_id(oid))?;
        self.exists(oid).then(|| graph.at(position))
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
        let id = object_id(oid);
        if let Some(known) = self.opened.kept.header(&id) {
            return Ok(Some(known));
        }
        let Some(found) = self.repository.try_find_header(id).map_err(|e| broken(oid, e))? else {
            return Ok(None);
        };
        let header = Header { kind: found.kind().into(), size_bytes: found.size() };
        self.opened.kept.keep_header(id, header);
        Ok(Some(header))
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

    /// Finds out which of these tag objects no tag object of `from` leads to. Reads all of those, until there is none
    /// left to find.
    ///
    /// # Errors
    /// [`ReadError::Object`].
    pub(crate) fn unreached_tags(
        &self,
        mut wanted: HashSet<Oid>,
        from: &[Oid],
    ) -> Result<HashSet<Oid>, ReadError> {
        // A tag of a tag is rare, and nobody needs a longer row of them.
        const MAX_DEPTH: usize = 16;
        for tip in from {
            let mut at = *tip;
            for _ in 0..MAX_DEPTH {
                if wanted.is_empty() {
                    return Ok(wanted);
                }
                wanted.remove(&at);
                if self.header(&at)?.is_none_or(|header| header.kind != Kind::Tag) {
                    break;
                }
                let tag = self.repository.find_object(object_id(&at)).map_err(|e| broken(&at, e))?;
                let tag = tag.try_into_tag().map_err(|e| broken(&at, e))?;
                at = our_oid(tag.target_id().map_err(|e| broken(&at, e))?.detach(), &at)?;
            }
        }
        Ok(wanted)
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
    pub fn read_blob(&self, oid: &Oid, max_bytes: u64) -> Result<Bytes, ReadError> {
        let header = self.header(oid)?.ok_or(ReadError::Absent(*oid))?;
        if header.size_bytes > max_bytes {
            return Err(ReadError::TooLarge { oid: *oid, size_bytes: header.size_bytes });
        }
        self.read_object(oid, Kind::Blob)
    }

    /// Reads an object of a kind. If the caller has a limit of bytes, it is not read unless that allows it.
    ///
    /// # Errors
    /// [`ReadError::Absent`], [`ReadError::Exhausted`], or [`ReadError::Object`] if it is broken or of another kind.
    pub(crate) fn read_counted(&self, oid: &Oid, kind: Kind) -> Result<Bytes, ReadError> {
        if self.meter.limits_bytes() {
            self.meter.take_bytes(self.header(oid)?.ok_or(ReadError::Absent(*oid))?.size_bytes)?;
        }
        self.read_object(oid, kind)
    }

    /// Reads an object of a kind.
    ///
    /// # Errors
    /// [`ReadError::Absent`], or [`ReadError::Object`] if it is broken or of another kind.
    pub(crate) fn read_object(&self, oid: &Oid, kind: Kind) -> Result<Bytes, ReadError> {
        let id = object_id(oid);
        if let Some(content) = self.opened.kept.content(&id, kind) {
            return Ok(content);
        }
        let found = self.repository.try_find_object(id).map_err(|e| broken(oid, e))?;
        let object = found.ok_or(ReadError::Absent(*oid))?;
        if kind != object.kind.into() {
            return Err(broken(oid, kind.missed()));
        }
        Ok(object.detach().data.into())
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
        walk::reachable(self, targets, from)
    }
}

/// Names an object for the library.
pub(crate) fn object_id(oid: &Oid) -> ObjectId {
    ObjectId::try_from(oid.as_bytes()).expect("an oid has the length of a hash")
}

/// Takes a name that stands in an object.
pub(crate) fn our_oid(id: ObjectId, within: &Oid) -> Result<Oid, ReadError> {
    Oid::from_bytes(id.as_slice()).map_err(|e| broken(within, e))
}

/// Makes the error of an object that cannot be understood.
pub(crate) fn broken(oid: &Oid, source: impl Into<Cause>) -> ReadError {
    ReadError::Object { oid: *oid, source: source.into() }
}

#[cfg(test)]
mod tests;
