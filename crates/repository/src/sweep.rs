//! Cleaning up after what died half-way.
//!
//! A staged pack that no commit took is first declared dead, then its bytes are deleted, then its row: at every moment a
//! row names the bytes that are left. Bytes that cannot be deleted keep their row for the next sweep, and hold up none
//! but themselves.

use std::sync::Arc;
use std::time::Duration;

use hakata_blob::{BlobError, BlobKey, Family, PackPart, SweepUploadsError};
use hakata_names::PackId;
use hakata_runtime::fault;
use hakata_runtime::metrics::{Counter, Metric};
use hakata_store::page::PageSize;
use hakata_store::{RepositoryState, StoreError, idempotency, imports, packs, repositories};

use crate::cache::{self, evict};
use crate::engine::{Engine, Repositories};
use crate::erase;
use crate::repository::millis;
use crate::verify::chain;

static SWEPT: Counter = Counter::new("hakata_packs_swept_total", "Packs that no commit took, deleted");
static FAILED: Counter = Counter::new(
    "hakata_pack_sweep_failures_total",
    "Packs whose bytes a sweep could not delete; the next one tries again",
);

/// How long answers under a caller's key are kept.
const IDEMPOTENCY_MS: i64 = 7 * 24 * 3_600 * 1_000;

/// Packs in a row that cannot be deleted, after which a sweep takes the store for away.
const MOST_FAILURES: usize = 100;

/// Time from the start to the first sweep, unless sweeps are closer: a process that never lives for long sweeps too.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// What a sweep deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Packs that no commit took, and dead ones whose time had come.
    pub n_packs: usize,
    /// Repositories that were never finished.
    pub n_repositories: usize,
    /// Deleted repositories that cannot be restored any more.
    pub n_erased: usize,
    /// Uploads to a bucket whose writers died.
    pub n_uploads: usize,
    /// Cache directories that nobody used.
    pub n_caches: usize,
    /// Packs whose bytes could not be deleted: their rows stay for the next sweep.
    pub n_failed: usize,
}

/// What could not be deleted so far; said once at the end, however much it is.
#[derive(Debug, Default)]
struct Failures {
    n: usize,
    n_in_a_row: usize,
    /// The first, and why.
    first: Option<(PackId, BlobError)>,
}

/// Why a sweep stopped; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The rows cannot be read or written.
    #[error("sweeping rows")]
    Store(#[from] StoreError),
    /// Bytes cannot be deleted.
    #[error("sweeping bytes")]
    Blob(#[from] BlobError),
    /// The bucket cannot be asked.
    #[error("sweeping uploads")]
    Uploads(#[from] SweepUploadsError),
}

impl Repositories {
    /// Deletes packs that were staged more than `age_ms` ago and never committed, repositories that were begun that
    /// long ago and never finished, deleted ones that cannot be restored any more, and what else nobody needs. Safe beside pushes, as long as none lasts
    /// longer than that.
    ///
    /// # Errors
    /// [`SweepError`]; what was swept until then stays swept.
    pub async fn sweep(&self, age_ms: i64) -> Result<Swept, SweepError> {
        run(&self.engine, age_ms).await
    }
}

/// Starts the periodic sweep.
pub(crate) fn start(engine: &Arc<Engine>) {
    let (weak, stop) = (Arc::downgrade(engine), engine.tasks.cancel_token());
    let (every, age_ms) = (engine.settings.sweep_every, millis(engine.settings.staged_age));
    drop(engine.tasks.spawn("repository.sweep", async move {
        let mut wait = every.min(FIRST_AFTER);
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            wait = every;
            let Some(engine) = weak.upgrade() else { return };
            match run(&engine, age_ms).await {
                Ok(swept) => tracing::debug!(?swept, "swept"),
                Err(error) => tracing::warn!(error = %error, "a sweep stopped early"),
            }
        }
    }));
}

async fn run(engine: &Arc<Engine>, age_ms: i64) -> Result<Swept, SweepError> {
    let before = engine.clock.now_ms() - age_ms;
    let n_repositories = unfinished(engine, before).await?;
    let n_erased = erase::sweep(engine).await?;
    unlinked(engine).await?;
    let mut failures = Failures::default();
    let swept = packs(engine, before, &mut failures).await;
    failures.log();
    let n_packs = swept?;
    idempotency::prune(&mut engine.db.write().await?, engine.clock.now_ms() - IDEMPOTENCY_MS).await?;
    // Last of what the bucket is asked: it may be away while the rows are there.
    let age = Duration::from_millis(u64::try_from(engine.clock.now_ms() - before).unwrap_or_default());
    let n_caches = evict(engine).await;
    let n_uploads = engine.blobs.sweep_uploads(Family::Packs, age).await?;
    Ok(Swept { n_packs, n_repositories, n_erased, n_uploads, n_caches, n_failed: failures.n })
}

/// Deletes repositories whose import or creation never came to its end.
async fn unfinished(engine: &Arc<Engine>, before: i64) -> Result<usize, SweepError> {
    let (mut n, mut after) = (0, None);
    loop {
        let mut conn = engine.db.read().await?;
        let page =
            repositories::list_in_state(&mut conn, RepositoryState::Creating, after, PageSize::default())
                .await?;
        drop(conn);
        for row in page.rows.iter().filter(|row| row.created_at < before) {
            let id = row.id;
            // A job fills it, or will: whoever gives that up removes it.
            if imports::is_under_way(&mut engine.db.read().await?, id).await? {
                continue;
            }
            let now = engine.clock.now_ms();
            let deleted = engine.db.transaction(|tx| {
                Box::pin(async move {
                    let (from, to) = (RepositoryState::Creating, RepositoryState::Deleted);
                    repositories::set_state(tx, id, from, to, now).await
                })
            });
            if deleted.await.map_err(SweepError::Store)? {
                engine.snapshots.forget(id);
                cache::remove(engine, id).await;
                n += 1;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(n);
        }
    }
}

/// Deletes packs that were staged too long ago, and those that are dead.
async fn packs(engine: &Engine, before: i64, failures: &mut Failures) -> Result<usize, SweepError> {
    give_up_staged(engine, before).await?;
    dead(engine, failures).await
}

/// Declares packs dead that no commit took.
async fn give_up_staged(engine: &Engine, before: i64) -> Result<(), StoreError> {
    loop {
        let rows =
            packs::staged_older_than(&mut engine.db.read().await?, before, PageSize::default()).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            give_up(engine, row.id, engine.clock.now_ms()).await?;
        }
    }
}

/// Declares packs dead that no repository uses any more, such as those of one that was erased.
async fn unlinked(engine: &Engine) -> Result<(), SweepError> {
    let delete_after = engine.clock.now_ms() + millis(engine.settings.dead_age);
    let mut after = None;
    loop {
        let mut conn = engine.db.read().await?;
        let rows = packs::list_unlinked(&mut conn, after, PageSize::default()).await?;
        drop(conn);
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id);
        for row in rows {
            let killed = engine.db.transaction(|tx| {
                Box::pin(async move { packs::kill_unlinked(tx, row.id, delete_after).await })
            });
            let _: bool = killed.await?;
        }
    }
}

/// Deletes the bytes of dead packs whose time has come, then their rows.
async fn dead(engine: &Engine, failures: &mut Failures) -> Result<usize, SweepError> {
    let (mut n, mut after) = (0, None);
    loop {
        let now = engine.clock.now_ms();
        let rows = packs::dead_before(&mut engine.db.read().await?, now, after, PageSize::default()).await?;
        let Some(last) = rows.last() else { return Ok(n) };
        after = Some(last.id);
        for row in rows {
            match delete_dead(engine, row.id, now).await {
                Ok(()) => {
                    n += 1;
                    failures.n_in_a_row = 0;
                }
                Err(SweepError::Blob(error)) => failures.note(row.id, error)?,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Failures {
    /// Notes a failure; one too many is the end of the sweep.
    fn note(&mut self, id: PackId, error: BlobError) -> Result<(), BlobError> {
        FAILED.inc();
        self.n += 1;
        self.n_in_a_row += 1;
        if self.n_in_a_row >= MOST_FAILURES || matches!(error, BlobError::Stopped { .. }) {
            return Err(error);
        }
        self.first.get_or_insert((id, error));
        Ok(())
    }

    fn log(&self) {
        let Some((id, error)) = &self.first else { return };
        tracing::warn!(
            n_packs = self.n,
            pack.id = id.get(),
            error = chain(error),
            "packs could not be deleted"
        );
    }
}

/// Deletes a staged pack, unless a commit or another sweeper takes it first; false then.
pub(crate) async fn discard(engine: &Engine, id: PackId) -> Result<bool, SweepError> {
    let now = engine.clock.now_ms();
    if !give_up(engine, id, now).await? {
        return Ok(false);
    }
    delete_dead(engine, id, now).await?;
    Ok(true)
}

/// Declares a staged pack dead, unless a commit or another sweeper takes it first; false then.
async fn give_up(engine: &Engine, id: PackId, now: i64) -> Result<bool, StoreError> {
    if !packs::give_up_staged(&mut engine.db.write().await?, id, now).await? {
        return Ok(false);
    }
    SWEPT.inc();
    fault::point("sweep.row");
    Ok(true)
}

/// Deletes the bytes of a pack that no row promises, or only one that nobody will commit.
pub(crate) async fn delete_bytes(engine: &Engine, id: PackId) -> Result<(), SweepError> {
    // The index goes first, so that no half of a pack is taken for a whole.
    for part in PackPart::ALL.into_iter().rev() {
        engine.blobs.delete(BlobKey::pack(id, part)).await?;
        fault::point("sweep.bytes");
    }
    Ok(())
}

async fn delete_dead(engine: &Engine, id: PackId, now: i64) -> Result<(), SweepError> {
    delete_bytes(engine, id).await?;
    packs::delete_dead(&mut engine.db.write().await?, id, now).await?;
    Ok(())
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&SWEPT, &FAILED]
}
