//! Objects that are too large, and where they are.

use gix::odb::pack;
use hakata_names::{Oid, TreePath};

use super::connectivity::lines;
use super::{IndexedPack, Quarantine};
use crate::Git;
use crate::objects::{Cause, Kind, object_id};
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
    Pack(#[source] Cause),
    /// git did not run.
    #[error("running git")]
    Child(#[source] ChildError),
    /// The pool is full or stopping.
    #[error("waiting to read the pack")]
    Busy(#[source] hakata_runtime::blocking::BlockingError),
}

impl Quarantine {
    /// Lists the objects of a pack that are longer than `limit_bytes`, largest first, at most `max` of them.
    /// Reads headers only.
    ///
    /// # Errors
    /// [`SizeError::Pack`] or [`SizeError::Busy`].
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
        let (idx, kind) = (pack.idx.clone(), object_id(&pack.checksum).kind());
        let scan = move || scan(&idx, kind, limit_bytes);
        let mut large = git.blocking().run(scan).await.map_err(SizeError::Busy)?.map_err(SizeError::Pack)?;
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

fn scan(idx: &std::path::Path, kind: gix::hash::Kind, limit_bytes: u64) -> Result<Vec<LargeObject>, Cause> {
    let bundle = pack::Bundle::at(idx, kind)?;
    let mut inflate = gix::zlib::Inflate::default();
    let mut large = Vec::new();
    for entry in bundle.index.iter() {
        let at = bundle.pack.entry(entry.pack_offset)?;
        let resolve = |base: &gix::hash::oid| {
            let index = bundle.index.lookup(base);
            let offset = index.map(|index| bundle.index.pack_offset_at_index(index));
            let entry = offset.map(|offset| bundle.pack.entry(offset)).transpose()?;
            Ok(entry.map(pack::data::decode::header::ResolvedBase::InPack))
        };
        let header = bundle.pack.decode_header(at, &mut inflate, &resolve)?;
        if header.object_size > limit_bytes {
            let oid = Oid::from_bytes(entry.oid.as_slice())?;
            large.push(LargeObject { oid, kind: header.kind.into(), size_bytes: header.object_size });
        }
    }
    Ok(large)
}
