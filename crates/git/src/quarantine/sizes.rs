//! Objects that are too large, and where they are.

use std::path::Path;

use gix::odb::pack;
use hakata_names::{Oid, TreePath};

use super::connectivity::lines;
use super::{IndexedPack, Quarantine};
use crate::Git;
use crate::objects::{Kind, ReadError, View};
use crate::process::{ChildError, ask};

/// Most output of git that is searched for a path, in bytes.
const MAX_LISTING: u64 = 256 << 20;

/// A large object of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeObject {
    /// The object.
    pub oid: Oid,
    /// What it is.
    pub kind: Kind,
    /// Length of its content.
    pub size_bytes: u64,
}

/// Why sizes or paths cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// The pack cannot be read back.
    #[error("reading the pack back")]
    Read(#[source] ReadError),
    /// git did not run.
    #[error("running git")]
    Child(#[source] ChildError),
}

impl Quarantine {
    /// Lists the objects of a pack that are longer than `limit_bytes`, largest first, at most `max` of them.
    /// Reads headers only.
    ///
    /// # Errors
    /// [`SizeError::Read`].
    pub async fn objects_over(
        &self,
        git: &Git,
        pack: &IndexedPack,
        limit_bytes: u64,
        max: usize,
    ) -> Result<Vec<LargeObject>, SizeError> {
        if pack.n_objects == 0 {
            return Ok(Vec::new());
        }
        let idx = pack.idx.clone();
        let objects = self.objects(git).await.map_err(SizeError::Read)?;
        let mut large =
            objects.read(move |view| scan(view, &idx, limit_bytes)).await.map_err(SizeError::Read)?;
        large.sort_by_key(|object| std::cmp::Reverse(object.size_bytes));
        large.truncate(max);
        Ok(large)
    }

    /// Finds a path under which a new object is reachable from the tips.
    ///
    /// # Errors
    /// [`SizeError::Child`].
    pub async fn path_of(&self, git: &Git, oid: &Oid, tips: &[Oid]) -> Result<Option<TreePath>, SizeError> {
        let command = self.new_objects().flag("--objects").flag("--filter=object:type=blob");
        let (_, said) = ask(git, &command, lines(tips), MAX_LISTING).await.map_err(SizeError::Child)?;
        let wanted = format!("{oid} ");
        let mut rows = said.split(|byte| *byte == b'\n');
        let path = rows.find_map(|row| row.strip_prefix(wanted.as_bytes()));
        Ok(path.and_then(|path| TreePath::parse(path).ok()))
    }
}

/// Looks at the header of every object of a pack, through the database that the quarantine's other readers use too: the
/// pack is mapped once.
fn scan(view: &View, idx: &Path, limit_bytes: u64) -> Result<Vec<LargeObject>, ReadError> {
    let index = pack::index::File::at(idx, view.repository().object_hash());
    let index = index.map_err(|source| ReadError::Walk(source.into()))?;
    let mut large = Vec::new();
    for entry in index.iter() {
        let oid = Oid::from_bytes(entry.oid.as_slice()).map_err(|source| ReadError::Walk(source.into()))?;
        let header = view.header(&oid)?.ok_or(ReadError::Absent(oid))?;
        if header.size_bytes > limit_bytes {
            large.push(LargeObject { oid, kind: header.kind, size_bytes: header.size_bytes });
        }
    }
    Ok(large)
}
