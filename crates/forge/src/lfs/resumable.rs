//! Uploads that go on where they were cut: parts in the store of blobs, and a row that says how many are there.
//!
//! ```text
//! HEAD  ─▶ stop the writer before ─▶ offset of the row
//! PATCH ─▶ row, staged object, upload ─▶ [ part synced ─▶ row: offset, state of the hash ]* ─▶ hash right?
//!       ─▶ parts become the blob ─▶ one transaction: live, linked, usage ─▶ row deleted ─▶ reply
//! ```
//!
//! Nobody goes on with what another has begun. The row holds the state of the hash too, so that nothing is read again at
//! the end, in whatever process that is.

mod append;
mod finish;
mod part;
mod sweep;
mod writers;

use std::time::Duration;

use hakata_blob::{BlobKey, MAX_PARTS, UploadId};
use hakata_names::LfsOid;
use hakata_store::lfs_uploads::{self, LfsUpload, UploadKey};
use sha2::Sha256;
use sha2::digest::common::hazmat::SerializableState;

use super::Refusal;
use super::download::failed;
use super::present::look_up_sent;
use super::upload::Upload;
use crate::access::{Grant, Write};
use crate::{Actor, Error, Forge, Kind};

pub use append::append;
pub(super) use sweep::sweep;
pub(super) use writers::Writers;

/// How long a writer has an upload for itself without keeping a part, against other nodes.
const WRITER_TIME: Duration = Duration::from_secs(120);

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes are kept: all of them only if the repository has the object.
    pub offset_bytes: u64,
    /// The length of the object.
    pub size_bytes: u64,
}

/// Tells how far an upload is, after stopping the request of the same client that may still seem to write it. One whose
/// bytes are all there is brought to its end first.
///
/// `size_bytes` is what the client was told to send.
///
/// # Errors
/// [`Kind::NotFound`] if there is no such upload and `size_bytes` does not say what one would be; [`Kind::Limited`] while
/// another node writes it.
pub async fn offset(
    forge: &Forge,
    grant: &Grant<Write>,
    oid: LfsOid,
    size_bytes: Option<u64>,
) -> Result<Progress, Error> {
    let known = look_up_sent(forge, grant.repository(), oid).await?;
    if let Some(stored) = known.filter(|at| !at.is_bad) {
        return Ok(whole(bytes(stored.size_bytes)));
    }
    if size_bytes == Some(0) {
        // Whose end is where it begins: clients send nothing after they heard that.
        super::receive(forge, grant, oid, 0, tokio::io::empty()).await?;
        return Ok(whole(0));
    }
    let key = key_of(grant, oid)?;
    let held = forge.inner.lfs.writers.enter(&key).await.ok_or_else(busy)?;
    let Some(row) = find(forge, &key).await? else {
        let size_bytes = size_bytes.ok_or_else(|| Error::new(Kind::NotFound, "there is no such upload"))?;
        check_size(forge, size_bytes)?;
        return Ok(Progress { offset_bytes: 0, size_bytes });
    };
    let size = bytes(row.size_bytes);
    if size_bytes.is_some_and(|asked| asked != size) {
        return Err(other_size(size));
    }
    if row.is_written_elsewhere(forge.repositories().node(), forge.clock().now_ms()) {
        return Err(busy());
    }
    if row.offset_bytes < row.size_bytes {
        return Ok(Progress { offset_bytes: bytes(row.offset_bytes), size_bytes: size });
    }
    match finish::finish(forge, grant, row, held).await {
        Ok(()) => Ok(whole(size)),
        // What was kept is wrong or gone: it begins again.
        Err(error) if error.kind() == Kind::Invalid => Ok(Progress { offset_bytes: 0, size_bytes: size }),
        Err(error) => Err(error),
    }
}

fn whole(size_bytes: u64) -> Progress {
    Progress { offset_bytes: size_bytes, size_bytes }
}

impl Forge {
    /// Tells how large an object may be that is sent so: a store takes so many parts.
    pub fn lfs_resumable_bytes(&self) -> u64 {
        self.repositories().blobs().part_bytes().saturating_mul(u64::from(MAX_PARTS))
    }
}

async fn find(forge: &Forge, key: &UploadKey) -> Result<Option<LfsUpload>, Error> {
    Ok(lfs_uploads::find(&mut forge.db().read().await?, key).await?)
}

fn key_of(grant: &Grant<Write>, oid: LfsOid) -> Result<UploadKey, Error> {
    let uploader = match grant.actor() {
        Actor::User { id, .. } => format!("user:{id}"),
        Actor::DeployKey { key, .. } => format!("key:{key}"),
        Actor::Anonymous | Actor::System => return Err(Error::sign_in()),
    };
    Ok(UploadKey { repository: grant.repository(), oid, uploader })
}

fn check_size(forge: &Forge, size_bytes: u64) -> Result<(), Error> {
    let limit_bytes = forge.settings().lfs.max_object.bytes().min(forge.lfs_resumable_bytes());
    if size_bytes > limit_bytes {
        return Err(Error::new(Kind::Invalid, Refusal::TooLarge { limit_bytes }.to_string()));
    }
    Ok(())
}

fn busy() -> Error {
    let words = "another request writes this upload; come again when it has ended";
    Error::new(Kind::Limited, words).with_retry_after(Duration::from_secs(10))
}

fn stopped(error: hakata_runtime::tasks::Stopped) -> Error {
    Error::new(Kind::Unavailable, "the server is busy or stopping").with_source(error)
}

fn other_size(size: u64) -> Error {
    Error::new(Kind::Invalid, format!("the upload is of {size} bytes"))
}

fn bytes(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn upload_of<'a>(forge: &'a Forge, row: &LfsUpload) -> Upload<'a> {
    let UploadKey { repository, oid, .. } = row.key;
    Upload { forge, repository, oid, size_bytes: bytes(row.size_bytes) }
}

/// Deletes what an upload has kept, and its row last: until then that names it.
async fn discard(forge: &Forge, row: &LfsUpload) -> Result<(), Error> {
    let (key, id) = (BlobKey::lfs(row.object), UploadId::new(row.upload.clone()));
    forge.repositories().blobs().abort_upload(key, &id).await.map_err(failed)?;
    upload_of(forge, row).give_up(Some(row.object)).await;
    lfs_uploads::delete(&mut forge.db().write().await?, &row.key, row.object).await?;
    Ok(())
}

/// The state of a hash for a row.
pub(super) fn state_of(hasher: &Sha256) -> Vec<u8> {
    hasher.serialize().to_vec()
}

/// The hash of a row; one that cannot be read is of no bytes, so that nothing comes of the upload.
fn hasher_of(row: &LfsUpload) -> Sha256 {
    let state = row.digest.as_slice().try_into().ok();
    state.and_then(|state| Sha256::deserialize(state).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::{LfsUpload, UploadKey};
    use super::{hasher_of, state_of};

    #[test]
    fn a_hash_goes_on_where_it_was() {
        let mut hasher = Sha256::new();
        hasher.update([7; 1_000]);
        let row = LfsUpload {
            key: UploadKey {
                repository: hakata_names::RepositoryId::new(1),
                oid: hakata_names::LfsOid::new([0; 32]),
                uploader: String::new(),
            },
            object: hakata_names::LfsObjectId::new(1),
            upload: String::new(),
            size_bytes: 2_000,
            part_bytes: 1_000,
            offset_bytes: 1_000,
            digest: state_of(&hasher),
            is_contested: false,
            created_at: 0,
            written_by: None,
        };
        let mut later = hasher_of(&row);
        later.update([7; 1_000]);
        assert_eq!(later.finalize(), Sha256::digest([7; 2_000]));
        let broken = LfsUpload { digest: vec![1, 2, 3], ..row };
        assert_eq!(hasher_of(&broken).finalize(), Sha256::digest([]));
    }
}
