//! Step 0: the bytes of a pack are kept before any row leans on them.
//!
//! A large pack is announced by a staged row, committed on its own; then its files become blobs, synced. Whatever dies
//! in between leaves a row that the sweeper finds by its age. A small pack has no bytes outside the database: its row
//! is written by the commit itself, so there is nothing to announce, unless another process shall commit it.

use std::path::PathBuf;

use hakata_blob::{BlobKey, PackPart};
use hakata_git::quarantine::IndexedPack;
use hakata_names::{Oid, PackId, RepositoryId};
use hakata_runtime::fault;
use hakata_store::packs::{self, NewPack, Pack};
use hakata_store::{Conn, StoreError};

use crate::commit::CommitError;
use crate::engine::Engine;
use crate::prepared::Prepared;
use crate::sweep;

/// A pack whose bytes are kept, not yet part of a repository.
#[derive(Debug)]
pub(crate) struct StagedPack {
    pub(crate) id: PackId,
    size_bytes: i64,
    n_objects: i64,
    pub(crate) checksum: Oid,
    kind: &'static str,
    node: String,
    at: i64,
    bytes: Bytes,
}

/// Where the bytes of a staged pack are.
#[derive(Debug)]
enum Bytes {
    /// Here: the commit writes the row, with them in it.
    Unwritten(Vec<u8>),
    /// In the row, or in blobs that it names. Nobody else knows of it.
    Kept,
    /// The same, and others may know of it: see [`Repository::stage`](crate::Repository::stage).
    Shared,
}

/// When the row of a small pack is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmallPacks {
    AtCommit,
    Now,
}

/// Whether a pack could be linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linked {
    Yes,
    /// The sweeper took it, or another commit.
    Gone,
}

impl StagedPack {
    /// Takes over a pack that was staged before.
    pub(crate) fn adopted(row: &Pack, checksum: Oid) -> Self {
        Self {
            id: row.id,
            size_bytes: row.size_bytes,
            n_objects: row.n_objects,
            checksum,
            kind: "",
            node: row.node.clone(),
            at: row.created_at,
            bytes: Bytes::Shared,
        }
    }

    pub(crate) fn size_bytes(&self) -> i64 {
        self.size_bytes
    }

    fn row<'a>(&'a self, inline: Option<&'a [u8]>) -> NewPack<'a> {
        NewPack {
            id: self.id,
            node: &self.node,
            checksum: self.checksum.as_bytes(),
            size_bytes: self.size_bytes,
            n_objects: self.n_objects,
            kind: self.kind,
            inline,
            created_at: self.at,
        }
    }
}

/// Keeps the pack of a change, unless that was done in an earlier attempt or there is none.
pub(crate) async fn put(
    engine: &Engine,
    prepared: &mut Prepared,
    small: SmallPacks,
) -> Result<(), CommitError> {
    let pack = prepared.offered.as_ref().and_then(|offered| offered.pack.as_ref());
    let Some(pack) = pack.filter(|pack| pack.n_objects > 0 && prepared.staged.is_none()) else {
        return Ok(());
    };
    keep(engine, pack, prepared.intent.reason.name(), small, &mut prepared.staged).await
}

/// Keeps a pack, and puts it into `place` as soon as there is something to take back.
pub(crate) async fn keep(
    engine: &Engine,
    pack: &IndexedPack,
    kind: &'static str,
    small: SmallPacks,
    place: &mut Option<StagedPack>,
) -> Result<(), CommitError> {
    let mut staged = StagedPack {
        id: engine.ids.next().await?,
        size_bytes: saturated(pack.size_bytes),
        n_objects: i64::from(pack.n_objects),
        checksum: pack.checksum,
        kind,
        node: engine.settings.node.clone(),
        at: engine.clock.now_ms(),
        bytes: Bytes::Kept,
    };
    let inline = match pack.size_bytes <= engine.settings.inline_bytes {
        true => Some(tokio::fs::read(&pack.pack).await.map_err(CommitError::Read)?),
        false => None,
    };
    if let (Some(bytes), SmallPacks::AtCommit) = (&inline, small) {
        staged.bytes = Bytes::Unwritten(bytes.clone());
        *place = Some(staged);
        return Ok(());
    }
    let files = files(staged.id, pack);
    packs::insert_staged(&mut engine.db.write().await?, &staged.row(inline.as_deref())).await?;
    // From here on there is something to take back.
    *place = Some(staged);
    fault::point("push.staged_row");
    if inline.is_none() {
        engine.blobs.put_files(files).await.map_err(CommitError::Blob)?;
    }
    Ok(())
}

/// Names the files of a pack as blobs.
fn files(id: PackId, pack: &IndexedPack) -> Vec<(BlobKey, PathBuf)> {
    let path = |part| match part {
        PackPart::Pack => pack.pack.clone(),
        PackPart::Idx => pack.idx.clone(),
        PackPart::Rev => pack.rev.clone(),
    };
    PackPart::ALL.into_iter().map(|part| (BlobKey::pack(id, part), path(part))).collect()
}

/// Step 2, inside the transaction of a commit.
pub(crate) async fn link(
    conn: &mut Conn,
    staged: &StagedPack,
    repository: RepositoryId,
    version: i64,
) -> Result<Linked, StoreError> {
    if let Bytes::Unwritten(bytes) = &staged.bytes {
        packs::insert_staged(conn, &staged.row(Some(bytes))).await?;
    }
    let is_live = packs::make_live(conn, staged.id, repository, version).await?;
    Ok(if is_live { Linked::Yes } else { Linked::Gone })
}

/// Gives the bytes of a change that came to nothing back at once. A row that cannot be deleted now is left to the
/// sweeper, but not its bytes: nobody else could commit them, and a full disk may be why it came to nothing. Of a pack
/// that others know, nothing is deleted while its row stands: one of them may have committed it.
pub(crate) async fn take_back(engine: &Engine, staged: Option<StagedPack>) {
    let Some(staged) = staged else { return };
    if let Bytes::Unwritten(_) = staged.bytes {
        return;
    }
    let (id, is_ours) = (staged.id, matches!(staged.bytes, Bytes::Kept));
    let discarded = match sweep::discard(engine, id).await {
        Ok(false) if is_ours => sweep::delete_bytes(engine, id).await,
        Err(error) if is_ours => sweep::delete_bytes(engine, id).await.and(Err(error)),
        discarded => discarded.map(drop),
    };
    if let Err(error) = discarded {
        tracing::info!(pack.id = id.get(), error = %error, "a refused pack is left to the sweeper");
    }
}

/// Counts bytes for a row.
pub(crate) fn saturated(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
