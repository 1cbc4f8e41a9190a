//! Cleaning up: uploads that never ended, objects that no repository has, promises that lapsed.
//!
//! As with packs, a row names the bytes at every moment until they are gone.

use std::sync::Arc;
use std::time::Duration;

use hakata_blob::{BlobError, BlobKey, Family, SweepUploadsError};
use hakata_names::LfsObjectId;
use hakata_store::page::PageSize;
use hakata_store::{StoreError, lfs_objects, lfs_reservations};

use super::measure::SWEPT;
use super::{collect, resumable, scrub};
use crate::Forge;

/// Time from the start to the first sweep, unless sweeps are closer.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// Why a sweep stopped; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    /// The rows cannot be read or written.
    #[error("sweeping rows of LFS objects")]
    Store(#[from] StoreError),
    /// Bytes cannot be deleted.
    #[error("sweeping bytes of LFS objects")]
    Blob(#[from] BlobError),
    /// Unfinished uploads to a bucket cannot be found or ended.
    #[error("sweeping uploads of LFS objects")]
    Uploads(#[from] SweepUploadsError),
}

impl Forge {
    /// Starts the periodic sweep of LFS objects, which the forge's own tasks are; it ends with them.
    pub fn sweep_lfs_periodically(&self) {
        let (weak, stop) = (Arc::downgrade(&self.inner), self.tasks().cancel_token());
        let every = self.settings().lfs.sweep_every;
        drop(self.tasks().spawn("lfs.sweep", async move {
            let mut wait = every.min(FIRST_AFTER);
            while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
                wait = every;
                let Some(inner) = weak.upgrade() else { return };
                let forge = Self { inner };
                match sweep(&forge).await {
                    Ok(n_objects) => tracing::debug!(n_objects, "swept LFS objects"),
                    Err(error) => tracing::warn!(%error, "a sweep of LFS objects stopped early"),
                }
                for scheduled in [collect::schedule(&forge).await, scrub::schedule(&forge).await] {
                    if let Err(error) = scheduled {
                        tracing::warn!(error = error.chain(), "enqueuing work on LFS objects");
                    }
                }
            }
        }));
    }
}

/// Sweeps once, and counts the objects whose bytes were deleted. Safe beside uploads, as long as none lasts longer than
/// `staged_age`.
pub(crate) async fn sweep(forge: &Forge) -> Result<usize, SweepError> {
    let now = forge.clock().now_ms();
    let settings = &forge.settings().lfs;
    lfs_reservations::prune(&mut forge.db().write().await?, now).await?;
    let mut n = resumable::sweep(forge, now - millis(settings.staged_age)).await?;
    n += staged(forge, now - millis(settings.staged_age)).await?;
    unlinked(forge, now + millis(settings.dead_age)).await?;
    n += dead(forge, now).await?;
    // Last of what the bucket is asked: it may be away while the rows are there.
    forge.repositories().blobs().sweep_uploads(Family::Lfs, settings.staged_age).await?;
    Ok(n)
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

async fn staged(forge: &Forge, before: i64) -> Result<usize, SweepError> {
    let mut n = 0;
    loop {
        let mut conn = forge.db().read().await?;
        let rows = lfs_objects::staged_older_than(&mut conn, before, PageSize::default()).await?;
        drop(conn);
        if rows.is_empty() {
            return Ok(n);
        }
        for row in rows {
            n += usize::from(discard(forge, row.id).await?);
        }
    }
}

/// Declares objects dead that no repository has any more, such as those of one that was erased.
async fn unlinked(forge: &Forge, delete_after: i64) -> Result<(), SweepError> {
    let mut after = None;
    loop {
        let mut conn = forge.db().read().await?;
        let rows = lfs_objects::list_unlinked(&mut conn, after, PageSize::default()).await?;
        drop(conn);
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id);
        for row in rows {
            let killed = forge.db().transaction(|tx| {
                Box::pin(async move { lfs_objects::kill_unlinked(tx, row.id, delete_after).await })
            });
            let _: bool = killed.await?;
        }
    }
}

async fn dead(forge: &Forge, now: i64) -> Result<usize, SweepError> {
    let mut n = 0;
    loop {
        let mut conn = forge.db().read().await?;
        let rows = lfs_objects::dead_before(&mut conn, now, PageSize::default()).await?;
        drop(conn);
        if rows.is_empty() {
            return Ok(n);
        }
        for row in rows {
            bury(forge, row.id, now).await?;
            n += 1;
        }
    }
}

/// Deletes a staged object, unless an upload or another sweeper takes it first; false then.
pub(super) async fn discard(forge: &Forge, id: LfsObjectId) -> Result<bool, SweepError> {
    let now = forge.clock().now_ms();
    if !lfs_objects::give_up_staged(&mut forge.db().write().await?, id, now).await? {
        return Ok(false);
    }
    bury(forge, id, now).await?;
    Ok(true)
}

/// Deletes the bytes of a dead object, then its row.
async fn bury(forge: &Forge, id: LfsObjectId, now: i64) -> Result<(), SweepError> {
    forge.repositories().blobs().delete(BlobKey::lfs(id)).await?;
    if lfs_objects::delete_dead(&mut forge.db().write().await?, id, now).await? {
        SWEPT.inc();
    }
    Ok(())
}
