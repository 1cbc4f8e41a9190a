//! Bringing the bytes of a pack back, from its row or its blob.

use std::sync::Arc;

use hakata_blob::{BlobKey, PackPart};
use hakata_git::quarantine::{Fsck, IndexedPack, PackLimits, Quarantine};
use hakata_store::packs::{self as catalogue, Pack};

use super::packs;
use super::step::StepError;
use crate::engine::Engine;

/// Puts a pack into a quarantine: linked from a local blob, else indexed again.
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
    index_again(engine, quarantine, row).await
}

/// Reads the bytes of a pack and indexes them in a quarantine.
pub(super) async fn index_again(
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
