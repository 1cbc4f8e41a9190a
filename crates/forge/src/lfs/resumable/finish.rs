//! The end of an upload whose bytes are all kept.

use hakata_blob::{BlobKey, UploadId, UploadedPart};
use hakata_runtime::fault;
use hakata_store::lfs_uploads::{self, LfsUpload};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::writers::Held;
use super::{bytes, discard, hasher_of, stopped, upload_of};
use crate::access::{Grant, Write};
use crate::lfs::download::failed;
use crate::lfs::measure::{Phase, RECEIVED, Step};
use crate::{Actor, Error, Forge, Kind};

/// Bytes read at once of what is hashed again.
const SCRATCH_BYTES: usize = 256 << 10;

/// Makes an object of an upload, in a task: a client that leaves does not stop it. Whoever asks again while it runs
/// waits for it.
pub(super) async fn finish(
    forge: &Forge,
    grant: &Grant<Write>,
    row: LfsUpload,
    held: Held,
) -> Result<(), Error> {
    let (owned, actor) = (forge.clone(), grant.actor().clone());
    let finished = forge.tasks().spawn("lfs.finish_upload", async move {
        let _held = held;
        make(&owned, &actor, &row).await
    });
    finished.await.map_err(stopped)?
}

async fn make(forge: &Forge, actor: &Actor, row: &LfsUpload) -> Result<(), Error> {
    let upload = upload_of(forge, row);
    let digest: [u8; 32] = hasher_of(row).finalize().into();
    if digest != *row.key.oid.as_bytes() {
        discard(forge, row).await?;
        let found = hakata_names::LfsOid::new(digest);
        return Err(Error::new(Kind::Invalid, format!("the content hashes to {found}, not to the oid")));
    }
    {
        let _step = Step::begin(Phase::Store, forge.clock());
        complete(forge, row).await?;
    }
    fault::point("lfs.blob_put");
    if row.is_contested && !is_right(forge, row).await? {
        discard(forge, row).await?;
        return Err(Error::new(
            Kind::Invalid,
            "two writers met, and the content is not that of the oid; send it again",
        ));
    }
    if let Err(error) = upload.judge_again(actor).await {
        discard(forge, row).await?;
        return Err(error);
    }
    let committed = upload.commit(row.object).await;
    if committed.is_ok() {
        RECEIVED.add(bytes(row.size_bytes));
    }
    // With an outcome that is not known the row stays: whoever asks again learns it.
    let is_over = committed.as_ref().map_or_else(|error| !error.is_unknown_outcome(), |_| true);
    if is_over {
        lfs_uploads::delete(&mut forge.db().write().await?, &row.key, row.object).await?;
    }
    committed.map(drop)
}

/// Makes the blob of the parts, unless that was done before.
async fn complete(forge: &Forge, row: &LfsUpload) -> Result<(), Error> {
    let blobs = forge.repositories().blobs();
    let (key, id) = (BlobKey::lfs(row.object), UploadId::new(row.upload.clone()));
    let Some(mut parts) = blobs.list_parts(key, &id).await.map_err(failed)? else {
        let stat = blobs.stat(key).await.map_err(failed)?;
        return match stat {
            Some(stat) if stat.size_bytes == bytes(row.size_bytes) => Ok(()),
            _ => lost(forge, row).await,
        };
    };
    // One that was kept and not counted may stand behind the last.
    let n_parts = bytes(row.size_bytes).div_ceil(bytes(row.part_bytes).max(1));
    parts.truncate(usize::try_from(n_parts).unwrap_or(usize::MAX));
    if !is_unbroken(&parts, bytes(row.size_bytes)) {
        return lost(forge, row).await;
    }
    blobs.complete_upload(key, &id, &parts).await.map(drop).map_err(failed)
}

/// Gives up an upload whose parts are gone, as when somebody emptied the store or configured another one.
async fn lost(forge: &Forge, row: &LfsUpload) -> Result<(), Error> {
    tracing::warn!(lfs.object = row.object.get(), "parts of a resumable upload are gone: it begins again");
    discard(forge, row).await?;
    Err(Error::new(Kind::Invalid, "parts of the upload are gone; send it again"))
}

fn is_unbroken(parts: &[UploadedPart], size_bytes: u64) -> bool {
    let in_order = parts.iter().zip(1..).all(|(part, number)| part.number == number);
    in_order && parts.iter().map(|part| part.size_bytes).sum::<u64>() == size_bytes
}

/// Reads the object again: an earlier writer may have written a part late.
async fn is_right(forge: &Forge, row: &LfsUpload) -> Result<bool, Error> {
    let mut reader =
        forge.repositories().blobs().get(BlobKey::lfs(row.object), None).await.map_err(failed)?;
    let (mut hasher, mut scratch) = (Sha256::new(), vec![0; SCRATCH_BYTES]);
    loop {
        match reader.read(&mut scratch).await.map_err(Error::internal)? {
            0 => break,
            n => hasher.update(&scratch[..n]),
        }
    }
    Ok(<[u8; 32]>::from(hasher.finalize()) == *row.key.oid.as_bytes())
}
