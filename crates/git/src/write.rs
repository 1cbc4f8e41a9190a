//! Making objects without a worktree: blobs, trees, commits and tags in process, and one pack of them.
//!
//! Nothing is written to a repository. What is made is collected in memory, within bounds, and leaves as a pack that
//! [`Quarantine::index_pack`](crate::quarantine::Quarantine::index_pack) judges like one that was pushed. Contents that
//! are too long for that ([`LongBlobs`]) wait in a file.
//!
//! ```
//! use hakata_git::write::{Bounds, EntryMode, NewEntry, NewObjects};
//! use hakata_names::ObjectFormat;
//!
//! let mut made = NewObjects::new(ObjectFormat::Sha1, Bounds::default());
//! let blob = made.blob(b"hello\n".to_vec())?;
//! let tree = made.tree(vec![NewEntry { name: b"hello".to_vec(), mode: EntryMode::FILE, oid: blob }])?;
//! assert_eq!(tree.to_string(), "b4d01e9b0c4a9356736dfddf8830ba9a54f5271c");
//! # Ok::<(), hakata_git::write::WriteError>(())
//! ```

mod checkout;
mod collect;
mod commit;
mod edit;
mod lines;
mod long;
mod message;
mod pack;
mod person;
mod tree;

use std::collections::HashMap;

use hakata_names::{ObjectFormat, Oid};

pub use commit::{NewCommit, NewTag};
pub use edit::{Act, EditError, Existing, FileChange, Obstacle, PathConflict};
pub use lines::{ReplaceError, Replacement, replace_lines};
pub use long::LongBlobs;
pub use message::clean as clean_message;
pub use pack::NewPack;
pub use person::Signer;
pub use tree::{EntryMode, NewEntry};

use crate::objects::{Kind, ReadError};

/// How much may be made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The content of all objects together, in bytes. Twice as much memory is needed at most.
    pub max_bytes: u64,
    /// The objects.
    pub max_objects: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_bytes: 128 << 20, max_objects: 100_000 }
    }
}

/// Why an object cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The objects are too large together.
    #[error("what is to be made has more than {limit_bytes} bytes")]
    TooLarge {
        /// The most they may have.
        limit_bytes: u64,
    },
    /// There are too many of them.
    #[error("more than {limit} objects are to be made")]
    TooMany {
        /// The most there may be.
        limit: usize,
    },
    /// git would not take it; a sentence for who asked.
    #[error("{0}")]
    Invalid(String),
    /// An object that it is made from cannot be read.
    #[error("reading what is there")]
    Read(#[from] ReadError),
    /// The file for long contents cannot be written.
    #[error("keeping a long content")]
    Store(#[source] std::io::Error),
}

/// Objects that were made and are not part of a repository yet, each once.
#[derive(Debug)]
pub struct NewObjects {
    format: ObjectFormat,
    bounds: Bounds,
    n_bytes: u64,
    objects: Vec<NewObject>,
    by_oid: HashMap<Oid, usize>,
    long: Option<LongBlobs>,
}

#[derive(Debug)]
struct NewObject {
    kind: Kind,
    content: Vec<u8>,
}

impl NewObjects {
    /// Begins with none.
    pub fn new(format: ObjectFormat, bounds: Bounds) -> Self {
        Self { format, bounds, n_bytes: 0, objects: Vec::new(), by_oid: HashMap::new(), long: None }
    }

    /// Returns how the objects are named.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Begins with long contents, which the bounds do not hold for.
    #[must_use]
    pub fn with_long(mut self, long: LongBlobs) -> Self {
        self.long = Some(long);
        self
    }

    /// Counts them.
    pub fn len(&self) -> usize {
        self.objects.len() + self.long.as_ref().map_or(0, LongBlobs::len)
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds one of them.
    pub fn find(&self, oid: &Oid) -> Option<(Kind, &[u8])> {
        let object = &self.objects[*self.by_oid.get(oid)?];
        Some((object.kind, &object.content))
    }

    /// Makes a file.
    ///
    /// # Errors
    /// [`WriteError::TooLarge`], [`WriteError::TooMany`].
    pub fn blob(&mut self, content: Vec<u8>) -> Result<Oid, WriteError> {
        self.insert(Kind::Blob, content)
    }

    /// Takes an object as it is and names it. Nothing looks at its content before the pack is indexed.
    fn insert(&mut self, kind: Kind, content: Vec<u8>) -> Result<Oid, WriteError> {
        let oid = name(self.format, kind, &content)?;
        if self.by_oid.contains_key(&oid) || self.long.as_ref().is_some_and(|long| long.has(&oid)) {
            return Ok(oid);
        }
        let n_bytes = self.n_bytes.saturating_add(content.len() as u64);
        if n_bytes > self.bounds.max_bytes {
            return Err(WriteError::TooLarge { limit_bytes: self.bounds.max_bytes });
        }
        if self.objects.len() >= self.bounds.max_objects {
            return Err(WriteError::TooMany { limit: self.bounds.max_objects });
        }
        self.n_bytes = n_bytes;
        self.by_oid.insert(oid, self.objects.len());
        self.objects.push(NewObject { kind, content });
        Ok(oid)
    }
}

/// Hashes an object.
fn name(format: ObjectFormat, kind: Kind, content: &[u8]) -> Result<Oid, WriteError> {
    let hash = hash_kind(format);
    named(gix::objs::compute_hash(hash, library_kind(kind), content))
}

/// Names what was hashed.
fn hashed(hasher: gix::hash::Hasher) -> Result<Oid, WriteError> {
    named(hasher.try_finalize())
}

fn named<E: std::fmt::Display>(id: Result<gix::ObjectId, E>) -> Result<Oid, WriteError> {
    // SHA-1 that was tampered with is the only thing that can go wrong.
    let id = id.map_err(|error| WriteError::Invalid(format!("hashing an object: {error}")))?;
    Oid::from_bytes(id.as_slice()).map_err(|error| WriteError::Invalid(error.to_string()))
}

fn hash_kind(format: ObjectFormat) -> gix::hash::Kind {
    match format {
        ObjectFormat::Sha1 => gix::hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix::hash::Kind::Sha256,
    }
}

fn library_kind(kind: Kind) -> gix::object::Kind {
    match kind {
        Kind::Commit => gix::object::Kind::Commit,
        Kind::Tree => gix::object::Kind::Tree,
        Kind::Blob => gix::object::Kind::Blob,
        Kind::Tag => gix::object::Kind::Tag,
    }
}

#[cfg(test)]
mod tests;
