//! More bytes of an upload.

use std::sync::Arc;

use hakata_blob::{BlobKey, UploadId};
use hakata_names::LfsOid;
use hakata_runtime::fault;
use hakata_store::lfs_uploads::{self, LfsUpload, UploadKey, Writer};
use sha2::Sha256;
use tokio::io::AsyncRead;

use super::part::{self, Piece};
use super::writers::Held;
use super::{
    Progress, WRITER_TIME, busy, bytes, check_size, discard, find, finish, hasher_of, key_of, other_size,
    state_of, stopped, whole,
};
use crate::access::{Grant, Write};
use crate::lfs::download::failed;
use crate::lfs::measure::{RESUMED, TransferOutcome};
use crate::lfs::present::look_up_sent;
use crate::lfs::upload::{Ended, Upload};
use crate::{Error, Forge, Kind};

/// Takes more bytes of an upload, and brings it to its end with the last of them. What came in whole parts is kept,
/// however this ends: also when the future is dropped, as when the client leaves.
///
/// # Errors
/// [`Kind::Conflict`] if `offset_bytes` is not where the upload is; [`Kind::Invalid`] if the bytes are not those of the
/// object: nothing is kept then; [`Kind::Limited`] while another node writes it, or too many uploads are written.
pub async fn append<R>(
    forge: &Forge,
    grant: &Grant<Write>,
    oid: LfsOid,
    (offset_bytes, size_bytes): (u64, Option<u64>),
    source: R,
) -> Result<Progress, Error>
where
    R: AsyncRead + Send + Unpin,
{
    let mut ended = Ended(TransferOutcome::Broken);
    let result = take_in(forge, grant, oid, (offset_bytes, size_bytes), source).await;
    ended.0 = match &result {
        Ok(progress) if progress.offset_bytes < progress.size_bytes => TransferOutcome::Part,
        result => TransferOutcome::of(result.as_ref().err()),
    };
    result
}

async fn take_in<R>(
    forge: &Forge,
    grant: &Grant<Write>,
    oid: LfsOid,
    (offset_bytes, size_bytes): (u64, Option<u64>),
    source: R,
) -> Result<Progress, Error>
where
    R: AsyncRead + Send + Unpin,
{
    let known = look_up_sent(forge, grant.repository(), oid).await?;
    if let Some(stored) = known.as_ref().filter(|at| !at.is_bad) {
        let size = bytes(stored.size_bytes);
        return if offset_bytes == size { Ok(whole(size)) } else { Err(elsewhere(size)) };
    }
    let key = key_of(grant, oid)?;
    let memory = forge.inner.lfs.resumable.acquire().await?;
    let held = forge.inner.lfs.writers.enter(&key).await.ok_or_else(busy)?;
    let row = match find(forge, &key).await? {
        Some(row) => row,
        // What is bad is counted already.
        None if offset_bytes == 0 => begin(forge, &key, size_bytes, known.is_none()).await?,
        None => return Err(elsewhere(0)),
    };
    if size_bytes.is_some_and(|asked| asked != bytes(row.size_bytes)) {
        return Err(other_size(bytes(row.size_bytes)));
    }
    if bytes(row.offset_bytes) != offset_bytes {
        return Err(elsewhere(bytes(row.offset_bytes)));
    }
    let mut writing = Writing::claim(forge, row, held, memory).await?;
    if offset_bytes > 0 {
        RESUMED.inc();
    }
    let taken = writing.take(source).await;
    let Writing { row, held, .. } = writing;
    match taken {
        Ok(()) if row.offset_bytes == row.size_bytes => {
            let size = bytes(row.size_bytes);
            let held = Arc::into_inner(held).ok_or_else(busy)?;
            finish::finish(forge, grant, row, held).await.map(|()| whole(size))
        }
        taken => {
            release(forge, &row, &held).await;
            let offset_bytes = bytes(row.offset_bytes);
            taken.map(|()| Progress { offset_bytes, size_bytes: bytes(row.size_bytes) })
        }
    }
}

fn elsewhere(at: u64) -> Error {
    Error::new(Kind::Conflict, format!("the upload is at byte {at}"))
}

/// Begins an upload, in a task: whoever leaves meanwhile leaves no bytes without a row.
async fn begin(
    forge: &Forge,
    key: &UploadKey,
    size_bytes: Option<u64>,
    takes_room: bool,
) -> Result<LfsUpload, Error> {
    let unknown =
        || Error::new(Kind::Invalid, "ask for a batch first: the length of the object is not known");
    let size_bytes = size_bytes.ok_or_else(unknown)?;
    check_size(forge, size_bytes)?;
    let (owned, key) = (forge.clone(), key.clone());
    let began = forge.tasks().spawn("lfs.begin_upload", async move {
        let upload = Upload { forge: &owned, repository: key.repository, oid: key.oid, size_bytes };
        let now = owned.clock().now_ms();
        let lasts = i64::try_from(owned.settings().lfs.staged_age.as_millis()).unwrap_or(i64::MAX / 4);
        if takes_room {
            // What is kept takes it until it is swept.
            upload.reserve((now, now.saturating_add(lasts))).await?;
        }
        let id = match upload.stage().await {
            Ok(id) => id,
            Err(error) => {
                upload.give_up(None).await;
                return Err(error);
            }
        };
        fault::point("lfs.staged_row");
        let began = insert(&owned, &upload, key, (id, now)).await;
        if began.is_err() {
            upload.give_up(Some(id)).await;
        }
        began
    });
    began.await.map_err(stopped)?
}

async fn insert(
    forge: &Forge,
    upload: &Upload<'_>,
    key: UploadKey,
    (object, created_at): (hakata_names::LfsObjectId, i64),
) -> Result<LfsUpload, Error> {
    let blobs = forge.repositories().blobs();
    let id = blobs.begin_upload(BlobKey::lfs(object)).await.map_err(failed)?;
    let row = LfsUpload {
        key,
        object,
        upload: id.as_str().to_owned(),
        size_bytes: upload.size(),
        part_bytes: i64::try_from(blobs.part_bytes()).unwrap_or(i64::MAX),
        offset_bytes: 0,
        digest: state_of(&Sha256::default()),
        is_contested: false,
        created_at,
        written_by: None,
    };
    let inserted = async { lfs_uploads::insert(&mut forge.db().write().await?, &row).await };
    match inserted.await {
        Ok(true) => Ok(row),
        not => {
            blobs.abort_upload(BlobKey::lfs(object), &id).await.map_err(failed)?;
            // Another node was faster.
            not.map_err(Error::from).and(Err(busy()))
        }
    }
}

async fn release(forge: &Forge, row: &LfsUpload, held: &Held) {
    let released =
        async { lfs_uploads::release(&mut forge.db().write().await?, &row.key, held.name()).await };
    if let Err(error) = released.await {
        tracing::debug!(%error, "an upload is its writer's until that time is over");
    }
}

/// An upload that is being written.
struct Writing<'a> {
    forge: &'a Forge,
    row: LfsUpload,
    held: Arc<Held>,
    memory: Arc<hakata_runtime::limit::Permit>,
}

impl<'a> Writing<'a> {
    async fn claim(
        forge: &'a Forge,
        row: LfsUpload,
        held: Held,
        memory: hakata_runtime::limit::Permit,
    ) -> Result<Self, Error> {
        let now = forge.clock().now_ms();
        let mut conn = forge.db().write().await?;
        let writer = writer(forge, &held);
        if !lfs_uploads::claim(&mut conn, &row.key, row.object, writer, now).await? {
            return Err(busy());
        }
        // What another wrote until now counts.
        let claimed = lfs_uploads::find(&mut conn, &row.key).await?;
        let is_same = |at: &LfsUpload| (at.object, at.offset_bytes) == (row.object, row.offset_bytes);
        let row = claimed.filter(is_same).ok_or_else(busy)?;
        Ok(Self { forge, row, held: Arc::new(held), memory: Arc::new(memory) })
    }

    /// Keeps part after part, up to the last byte or as far as whole parts come.
    async fn take(&mut self, mut source: impl AsyncRead + Unpin + Send) -> Result<(), Error> {
        let mut hasher = hasher_of(&self.row);
        let begun_at = self.row.offset_bytes;
        loop {
            let left = bytes(self.row.size_bytes - self.row.offset_bytes);
            if left == 0 {
                break;
            }
            let most = bytes(self.row.part_bytes).min(left);
            let read = tokio::select! {
                read = part::read(&mut source, most, &mut hasher) => read,
                () = self.held.unwanted() => return Err(busy()),
            };
            match read.map_err(Error::client_left)? {
                Piece::Whole(bytes) => self.keep(bytes, &hasher).await?,
                Piece::Short if self.row.offset_bytes > begun_at => return Ok(()),
                Piece::Short => return Err(self.too_little()),
            }
        }
        match part::is_at_end(&mut source).await {
            true => Ok(()),
            false => {
                discard(self.forge, &self.row).await?;
                let size = self.row.size_bytes;
                Err(Error::new(
                    Kind::Invalid,
                    format!("the content is longer than the {size} bytes that were announced"),
                ))
            }
        }
    }

    fn too_little(&self) -> Error {
        let part = self.row.part_bytes;
        Error::new(Kind::Invalid, format!("send {part} bytes at once or more, or all that is left"))
    }

    /// Keeps one part and counts it, in a task: whoever leaves meanwhile leaves a part that is kept and counted, and the
    /// next writer waits for that.
    async fn keep(&mut self, content: bytes::Bytes, hasher: &Sha256) -> Result<(), Error> {
        let from = self.row.offset_bytes;
        let to = from.saturating_add(i64::try_from(content.len()).unwrap_or(i64::MAX));
        let number = u16::try_from(from / self.row.part_bytes.max(1) + 1).unwrap_or(u16::MAX);
        let (forge, row, held, memory) =
            (self.forge.clone(), self.row.clone(), Arc::clone(&self.held), Arc::clone(&self.memory));
        let digest = state_of(hasher);
        let counted = digest.clone();
        let kept = self.forge.tasks().spawn("lfs.put_part", async move {
            let id = UploadId::new(row.upload.clone());
            let put = forge.repositories().blobs().put_part(BlobKey::lfs(row.object), &id, number, content);
            put.await.map_err(failed)?;
            fault::point("lfs.part_put");
            let mut conn = forge.db().write().await?;
            let advanced =
                lfs_uploads::advance(&mut conn, &row.key, writer(&forge, &held), from, (to, &counted))
                    .await?;
            fault::point("lfs.part_row");
            drop((held, memory));
            if advanced { Ok(()) } else { Err(busy()) }
        });
        kept.await.map_err(stopped)??;
        (self.row.offset_bytes, self.row.digest) = (to, digest);
        Ok(())
    }
}

fn writer<'a>(forge: &'a Forge, held: &'a Held) -> Writer<'a> {
    let lasts = i64::try_from(WRITER_TIME.as_millis()).unwrap_or(i64::MAX / 4);
    let until = forge.clock().now_ms().saturating_add(lasts);
    Writer { name: held.name(), node: forge.repositories().node(), until }
}
