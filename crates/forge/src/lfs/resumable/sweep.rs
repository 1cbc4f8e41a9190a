//! Uploads that never came to their end.

use hakata_blob::{BlobKey, UploadId};
use hakata_store::lfs_uploads;
use hakata_store::page::PageSize;

use super::upload_of;
use crate::Forge;
use crate::lfs::sweep::SweepError;

/// Takes back uploads that were begun before a time, and tells how many.
pub(in crate::lfs) async fn sweep(forge: &Forge, before_ms: i64) -> Result<usize, SweepError> {
    let mut n = 0;
    loop {
        let mut conn = forge.db().read().await?;
        let rows = lfs_uploads::older_than(&mut conn, before_ms, PageSize::default()).await?;
        drop(conn);
        if rows.is_empty() {
            return Ok(n);
        }
        for row in rows {
            let id = UploadId::new(row.upload.clone());
            forge.repositories().blobs().abort_upload(BlobKey::lfs(row.object), &id).await?;
            upload_of(forge, &row).give_up(Some(row.object)).await;
            lfs_uploads::delete(&mut forge.db().write().await?, &row.key, row.object).await?;
            n += 1;
        }
    }
}
