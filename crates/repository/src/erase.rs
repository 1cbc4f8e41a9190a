//! The end of repositories that were deleted.
//!
//! A deleted repository can be restored for a while. Then its rows go, in short transactions; packs that no fork shares
//! are declared dead by the sweep that follows, and keep their bytes for as long as any dead pack. Its directory goes
//! at the first sweep of each node: while there are rows and packs, it can be made again.

use std::sync::Arc;

use hakata_names::RepositoryId;
use hakata_runtime::fault;
use hakata_runtime::metrics::{Counter, Metric};
use hakata_store::page::PageSize;
use hakata_store::repositories::{self, Erased};
use hakata_store::{RepositoryState, StoreError};

use crate::cache;
use crate::engine::Engine;
use crate::repository::millis;
use crate::verify::chain;

static ERASED: Counter = Counter::new(
    "hakata_repositories_erased_total",
    "Deleted repositories whose time to be restored was over, erased",
);

static FAILED: Counter = Counter::new(
    "hakata_repository_erase_failures_total",
    "Deleted repositories that a sweep could not erase; the next one tries again",
);

/// Rows of one table that one transaction erases.
const ROWS: i64 = 1_000;

/// Erases the repositories that cannot be restored any more, and drops the directories of all that are deleted.
pub(crate) async fn sweep(engine: &Arc<Engine>) -> Result<usize, StoreError> {
    let before = engine.clock.now_ms().saturating_sub(millis(engine.settings.restore_for));
    let (mut n_erased, mut after) = (0, None);
    loop {
        let mut conn = engine.db.read().await?;
        let deleted = RepositoryState::Deleted;
        let page = repositories::list_in_state(&mut conn, deleted, after, PageSize::default()).await?;
        drop(conn);
        for row in &page.rows {
            cache::remove(engine, row.id).await;
            if row.deleted_at.is_none_or(|at| at > before) {
                continue;
            }
            match erase(engine, row.id, before).await {
                Ok(()) => {
                    ERASED.inc();
                    n_erased += 1;
                    tracing::info!(repository.id = row.id.get(), "erased a deleted repository");
                }
                Err(error) if error.is_transient() => return Err(error),
                // One that cannot be erased holds up no other; the next sweep tries it again.
                Err(error) => {
                    FAILED.inc();
                    let error = chain(&error);
                    tracing::warn!(repository.id = row.id.get(), error, "erasing a deleted repository");
                }
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(n_erased);
        }
    }
}

/// Erases the rows of one repository; what was erased when this ends early stays so, and the next sweep goes on.
async fn erase(engine: &Engine, id: RepositoryId, before: i64) -> Result<(), StoreError> {
    loop {
        let part = engine
            .db
            .transaction(|tx| Box::pin(async move { repositories::erase(tx, id, before, ROWS).await }));
        match part.await? {
            Erased::Part => fault::point("erase.part"),
            Erased::All => {
                engine.snapshots.forget(id);
                return Ok(());
            }
        }
    }
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&ERASED, &FAILED]
}
