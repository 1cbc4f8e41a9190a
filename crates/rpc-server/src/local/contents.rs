//! Contents of files that come beside a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use hakata_git::write::LongBlobs;
use hakata_names::Oid;
use hakata_repository::Repository;
use hakata_rpc::v1::{CommitFilesRequest, FileChange};
use hakata_rpc::{Code, Requests, Status};

use super::status;
use crate::metrics::{LIMITS_MET, Limit, UPLOADING};

/// After this some room may be free again.
const PAUSE: Duration = Duration::from_secs(5);

/// The room that contents of all calls take.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    n_bytes: AtomicU64,
}

/// Room for the contents of one call, given back when it ends.
pub(super) struct Room {
    uploads: Arc<Uploads>,
    n_bytes: u64,
}

impl Uploads {
    /// Takes room for so many bytes.
    fn take(self: &Arc<Self>, n_bytes: u64, max_bytes: u64) -> Result<Room, Status> {
        let more = |used: u64| used.checked_add(n_bytes).filter(|used| *used <= max_bytes);
        if self.n_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_err() {
            LIMITS_MET.get(Limit::Uploads).inc();
            let message = "contents of all callers together take more room than there is";
            return Err(Status::new(Code::ResourceExhausted, message).retry_after(PAUSE));
        }
        UPLOADING.add(signed(n_bytes));
        Ok(Room { uploads: self.clone(), n_bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.uploads.n_bytes.fetch_sub(self.n_bytes, Ordering::AcqRel);
        UPLOADING.add(-signed(self.n_bytes));
    }
}

fn signed(n_bytes: u64) -> i64 {
    i64::try_from(n_bytes).unwrap_or(i64::MAX)
}

/// Contents that changes announce.
pub(super) struct Announced {
    lengths: Vec<u64>,
    room: Room,
}

/// Contents that came: their names in the order of the changes, the objects, and the room that they take.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) oids: Vec<Oid>,
    pub(super) blobs: Option<LongBlobs>,
    pub(super) room: Option<Room>,
}

impl Announced {
    /// Reads what changes announce, and takes room for it before the first byte comes; `None` if they announce nothing.
    pub(super) fn of(
        changes: &[FileChange],
        uploads: &Arc<Uploads>,
        (max_each, max_all): (u64, u64),
    ) -> Result<Option<Self>, Status> {
        let announcing = changes.iter().filter(|change| change.content_bytes > 0);
        let lengths: Vec<u64> = announcing.map(|change| change.content_bytes).collect();
        if lengths.is_empty() {
            return Ok(None);
        }
        let total = lengths.iter().copied().fold(0, u64::saturating_add);
        if total > max_each {
            LIMITS_MET.get(Limit::Upload).inc();
            let message = format!("the contents are {total} bytes together, more than {max_each}");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        Ok(Some(Self { lengths, room: uploads.take(total, max_all)? }))
    }

    /// Takes the contents from further messages of a request, as fast as they can be named, compressed and written.
    pub(super) async fn take(
        self,
        repository: &Repository,
        requests: &mut Requests<CommitFilesRequest>,
    ) -> Result<Contents, Status> {
        let begun = repository.long_contents().await;
        let mut contents = begun.map_err(|error| status(&error))?;
        let (mut oids, mut piece) = (Vec::with_capacity(self.lengths.len()), Bytes::new());
        for mut left in self.lengths {
            contents.begin(left).await.map_err(|error| status(&error))?;
            while left > 0 {
                if piece.is_empty() {
                    piece = next(requests).await?.ok_or_else(|| ends_early(left))?;
                    continue;
                }
                left = contents.write(&mut piece).await.map_err(|error| status(&error))?;
            }
            oids.push(contents.end().await.map_err(|error| status(&error))?);
        }
        if !piece.is_empty() {
            return Err(too_long());
        }
        finish(requests).await?;
        Ok(Contents { oids, blobs: contents.into_blobs(), room: Some(self.room) })
    }
}

/// Waits until a request is over; it may bring nothing more.
pub(super) async fn finish(requests: &mut Requests<CommitFilesRequest>) -> Result<(), Status> {
    while let Some(piece) = next(requests).await? {
        if !piece.is_empty() {
            return Err(too_long());
        }
    }
    Ok(())
}

/// Waits for the next bytes.
async fn next(requests: &mut Requests<CommitFilesRequest>) -> Result<Option<Bytes>, Status> {
    let Some(mut part) = requests.next().await.transpose()? else { return Ok(None) };
    let content = std::mem::take(&mut part.content);
    if part != CommitFilesRequest::default() {
        return Err(Status::invalid("messages behind the first have nothing but content"));
    }
    Ok(Some(content))
}

fn ends_early(left: u64) -> Status {
    Status::invalid(format!("the contents end early: {left} bytes of one that was announced are missing"))
}

fn too_long() -> Status {
    Status::invalid("there is more content than was announced")
}
