//! Bringing the bytes of a pack back, from its row or its blob.

use std::sync::Arc;

use hakata_blob::{BlobError, BlobKey, PackPart};
use hakata_git::quarantine::{Fsck, IndexedPack, PackLimits, Quarantine};
use hakata_store::packs::{self as catalogue, Pack};
use tokio::io::AsyncWriteExt as _;

use super::packs;
use super::step::StepError;
use crate::engine::Engine;

/// Length in bytes from which a pack is downloaded with its index; indexing a smaller one takes less than two more
/// requests.
const DOWNLOAD_FROM: i64 = 4 << 20;

/// Puts a pack into a quarantine: linked from a local blob, else downloaded with its index, else indexed again.
pub(crate) async fn fetch(
    engine: &Arc<Engine>,
    quarantine: &Quarantine,
    row: &Pack,
) -> Result<IndexedPack, StepError> {
    let (id, dir, format) = (row.id, quarantine.dir().clone(), quarantine.format());
    if !row.is_inline {
        let engine_ = engine.clone();
        let link = move || match packs::adopt_blob(&dir, id, &engine_.blobs)? {
            true => IndexedPack::open(&packs::path_of(&dir, id, PackPart::Pack), format).map(Some),
            false => Ok(None),
        };
        let linked = engine.blocking.run(link).await.map_err(StepError::Busy)?;
        let path = quarantine.dir().path().to_owned();
        if let Some(pack) = linked.map_err(|source| StepError::Io { path, source })? {
            return is_as_promised(pack, row);
        }
    }
    bring_back(engine, quarantine, row).await
}

/// Puts a pack that is not a local file into a quarantine: with the index that was made for it once, or, if it is small
/// or that index is not right, by indexing it again.
pub(super) async fn bring_back(
    engine: &Engine,
    quarantine: &Quarantine,
    row: &Pack,
) -> Result<IndexedPack, StepError> {
    let is_large = row.size_bytes >= DOWNLOAD_FROM && !row.is_inline;
    if is_large && let Some(pack) = download(engine, quarantine, row).await? {
        return Ok(pack);
    }
    index_again(engine, quarantine, row).await
}

/// Downloads the files of a pack; `None` if they are not whole, which git may know to say more about.
async fn download(
    engine: &Engine,
    quarantine: &Quarantine,
    row: &Pack,
) -> Result<Option<IndexedPack>, StepError> {
    let (dir, format) = (quarantine.dir().clone(), quarantine.format());
    for part in PackPart::ALL {
        let path = packs::path_of(&dir, row.id, part);
        let io_failed = |source| StepError::Io { path: path.clone(), source };
        let mut bytes = match engine.blobs.get(BlobKey::pack(row.id, part), None).await {
            Err(BlobError::Absent(_)) if part != PackPart::Pack => return Ok(None),
            opened => opened.map_err(|source| StepError::Blob { pack: row.id, source })?,
        };
        let mut file = tokio::fs::File::create(&path).await.map_err(io_failed)?;
        tokio::io::copy(&mut bytes, &mut file).await.map_err(io_failed)?;
        file.flush().await.map_err(io_failed)?;
    }
    let (path, row_checksum, id) =
        (packs::path_of(&dir, row.id, PackPart::Pack), row.checksum.clone(), row.id);
    let checked = engine.blocking.run(move || {
        let pack = IndexedPack::open(&path, format)?;
        let is_right = pack.checksum.as_bytes() == row_checksum && pack.is_whole()?;
        if !is_right {
            packs::remove(&dir, id)?;
        }
        Ok(is_right.then_some(pack))
    });
    let failed = |source| StepError::Io { path: quarantine.dir().path().to_owned(), source };
    checked.await.map_err(StepError::Busy)?.map_err(failed)
}

/// Reads the bytes of a pack and indexes them in a quarantine.
pub(crate) async fn index_again(
    engine: &Engine,
    quarantine: &Quarantine,
    row: &Pack,
) -> Result<IndexedPack, StepError> {
    let id = row.id;
    let limits = PackLimits { fsck: Fsck::Hashes, ..PackLimits::default() };
    let indexed = if row.is_inline {
        let bytes = catalogue::get_inline(&mut engine.db.read().await?, id).await?;
        let bytes = bytes.ok_or(StepError::Corrupt { pack: id })?;
        quarantine.index_pack(&engine.git, &mut &bytes[..], &limits).await
    } else {
        let bytes = engine.blobs.get(BlobKey::pack(id, PackPart::Pack), None).await;
        let mut bytes = bytes.map_err(|source| StepError::Blob { pack: id, source })?;
        quarantine.index_pack(&engine.git, &mut bytes, &limits).await
    };
    is_as_promised(indexed.map_err(|source| StepError::Index { pack: id, source })?, row)
}

fn is_as_promised(pack: IndexedPack, row: &Pack) -> Result<IndexedPack, StepError> {
    match pack.checksum.as_bytes() == row.checksum {
        true => Ok(pack),
        false => Err(StepError::Corrupt { pack: row.id }),
    }
}
