//! Compaction: many small packs of a repository become one, and nothing else changes.
//!
//! Every push leaves a pack, and each of them makes every look-up of an object a little slower. The new pack has all
//! objects of those that it replaces, whether a ref leads to them or not, so refs, running pushes and what they were
//! proved by stay as they are: no epoch is raised. In one transaction the version rises, the new pack is linked and the
//! old ones lose their link; directories follow as they follow a push. Packs that nobody else uses die there too, and
//! their bytes go when the longest clone that may still read them is over.
//!
//! Packs are chosen so that each one kept is at least twice as large as all smaller ones together: an object is copied a
//! number of times that grows with the logarithm of how many there are.

use hakata_git::quarantine::{Fsck, IndexedPack, PackLimits};
use hakata_git::share::{self, ShareError};
use hakata_names::RepositoryId;
use hakata_runtime::blocking::BlockingError;
use hakata_runtime::fault;
use hakata_runtime::metrics::{Counter, Metric};
use hakata_runtime::tasks::Stopped;
use hakata_store::packs::{self, Pack};
use hakata_store::{Conn, StoreError, repositories};

use crate::cache::stem_of;
use crate::commit::CommitError;
use crate::receive::ReceiveError;
use crate::repository::{Repository, millis};
use crate::snapshots::Step;
use crate::stage::{self, Linked, SmallPacks, StagedPack};

static COMPACTED: Counter =
    Counter::new("hakata_packs_compacted_total", "Packs that were replaced by larger ones");

/// How much larger a pack is than all smaller ones together, so that it is left alone.
const FACTOR: i64 = 2;

/// The word in rows of packs that were made so.
const KIND: &str = "compact";

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Packs that were replaced.
    pub n_packs: usize,
    /// Their bytes.
    pub was_bytes: u64,
    /// Bytes of the pack in their place.
    pub size_bytes: u64,
}

/// Why packs were not compacted; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// There is no place in quarantine, or no directory.
    #[error("compacting")]
    Receive(#[source] ReceiveError),
    /// The objects cannot be copied.
    #[error("compacting")]
    Share(#[source] ShareError),
    /// The new pack cannot be kept.
    #[error("compacting")]
    Keep(#[source] CommitError),
    /// The rows cannot be read or written.
    #[error("compacting")]
    Store(#[from] StoreError),
    /// The pool of blocking work is full, or the process is stopping.
    #[error("compacting")]
    Busy(#[source] BlockingError),
    /// The process is stopping.
    #[error("compacting")]
    Stopped(#[source] Stopped),
}

/// Why the transaction is taken back.
enum Abort {
    /// Somebody else was faster: with these packs, with the repository, or with the new pack.
    Overtaken,
    Store(StoreError),
}

impl From<StoreError> for Abort {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Repository {
    /// Makes one pack of the small ones, if there are as many as the settings ask for; `None` if not, or if somebody
    /// else did it meanwhile. Safe beside everything.
    ///
    /// Runs in a task of its own: a caller that leaves does not stop it half-way.
    ///
    /// # Errors
    /// [`CompactError`].
    pub async fn compact(&self) -> Result<Option<Compacted>, CompactError> {
        let repository = self.clone();
        let task =
            self.engine.tasks.spawn("repository.compact", async move { repository.run_compaction().await });
        task.await.map_err(CompactError::Stopped)?
    }

    async fn run_compaction(&self) -> Result<Option<Compacted>, CompactError> {
        let engine = &self.engine;
        let least = engine.settings.compact_packs.max(2);
        // Most pushes end here, with one question.
        if choose(packs::list_of(&mut engine.db.read().await?, self.id).await?, least).is_empty() {
            return Ok(None);
        }
        let (_permit, base) = self.admitted().await.map_err(CompactError::Receive)?;
        let listed = packs::list_of(&mut engine.db.read().await?, self.id).await?;
        let here = self.here(base.dir(), listed).await.map_err(CompactError::Busy)?;
        let olds = choose(here, least);
        if olds.is_empty() {
            return Ok(None);
        }
        let quarantine = self.quarantine(None).await.map_err(CompactError::Receive)?;
        let names: Vec<String> = olds.iter().map(|pack| format!("{}.pack", stem_of(pack.id))).collect();
        let limits = PackLimits { fsck: Fsck::Hashes, ..PackLimits::default() };
        let copied = share::copy_packs(&engine.git, base.dir(), &names, &quarantine, &limits).await;
        let new = match copied {
            Ok(new) => new,
            // Who was faster took their files away while they were read.
            Err(_) if self.are_gone(&olds).await? => return Ok(None),
            Err(error) => return Err(CompactError::Share(error)),
        };
        fault::point("compact.copied");
        self.replace(&olds, &new).await
    }

    /// Says whether some of these packs are not the repository's any more.
    async fn are_gone(&self, packs: &[Pack]) -> Result<bool, StoreError> {
        let listed = packs::list_of(&mut self.engine.db.read().await?, self.id).await?;
        Ok(packs.iter().any(|pack| listed.iter().all(|at| at.id != pack.id)))
    }

    /// Keeps the new pack, and puts it in the place of the old ones.
    async fn replace(&self, olds: &[Pack], new: &IndexedPack) -> Result<Option<Compacted>, CompactError> {
        let (engine, id) = (&self.engine, self.id);
        let mut staged = None;
        let kept = stage::keep(engine, new, KIND, SmallPacks::AtCommit, &mut staged).await;
        if let Err(error) = kept {
            stage::take_back(engine, staged).await;
            return Err(CompactError::Keep(error));
        }
        let Some(pack) = &staged else { return Ok(None) };
        fault::point("compact.kept");
        let delete_after = engine.clock.now_ms() + millis(engine.settings.dead_age);
        let prune_epoch = self.prune_epoch();
        let swapped = engine.db.transaction(|tx| {
            Box::pin(async move {
                let version = repositories::raise_for_packs(tx, id, prune_epoch).await?;
                let version = version.ok_or(Abort::Overtaken)?;
                swap(tx, id, version, pack, olds, delete_after).await?;
                fault::point("compact.before_commit");
                Ok(version)
            })
        });
        match swapped.await {
            Ok(version) => {
                fault::point("compact.after_commit");
                // The directory is compared with the rows by its next reader, since no change leads to this version.
                engine.snapshots.step(id, Step { version, changes: Vec::new(), default_ref: None });
                COMPACTED.add(olds.len() as u64);
                let was_bytes = olds.iter().map(|pack| u64::try_from(pack.size_bytes).unwrap_or(0)).sum();
                let done = Compacted { n_packs: olds.len(), was_bytes, size_bytes: new.size_bytes };
                tracing::info!(repository.id = id.get(), ?done, "packs were compacted");
                Ok(Some(done))
            }
            Err(Abort::Overtaken) => {
                stage::take_back(engine, staged).await;
                Ok(None)
            }
            // It may be in use: its bytes stay, and if it is not the sweeper finds its row.
            Err(Abort::Store(error @ StoreError::CommitUnknown(_))) => {
                engine.snapshots.forget(id);
                Err(error.into())
            }
            Err(Abort::Store(error)) => {
                stage::take_back(engine, staged).await;
                Err(error.into())
            }
        }
    }
}

/// The rows of a compaction, under the lock of the repository's.
async fn swap(
    conn: &mut Conn,
    id: RepositoryId,
    version: i64,
    new: &StagedPack,
    olds: &[Pack],
    delete_after: i64,
) -> Result<(), Abort> {
    if stage::link(conn, new, id, version).await? == Linked::Gone {
        return Err(Abort::Overtaken);
    }
    let mut change = new.size_bytes();
    for old in olds {
        if !packs::unlink(conn, old.id, id).await? {
            return Err(Abort::Overtaken);
        }
        change = change.saturating_sub(old.size_bytes);
    }
    for old in olds {
        packs::kill_unlinked(conn, old.id, delete_after).await?;
    }
    // The owner's row comes last, since changes of all its repositories meet there.
    repositories::add_size(conn, id, change).await?;
    Ok(())
}

/// Chooses the packs that are to become one, in the order of their ids, in which forks lock them too; none if they are
/// fewer than `least`.
fn choose(mut packs: Vec<Pack>, least: usize) -> Vec<Pack> {
    packs.sort_by_key(|pack| (pack.n_objects, pack.id));
    // From the largest down as long as each is large enough beside the next; then up again, as long as what has come
    // together outgrows the next.
    let grows = |pair: &[Pack]| pair[1].n_objects >= pair[0].n_objects.saturating_mul(FACTOR);
    let mut n = packs.windows(2).rposition(|pair| !grows(pair)).map_or(0, |at| at + 2);
    let mut sum = packs[..n].iter().map(|pack| pack.n_objects).fold(0, i64::saturating_add);
    while n > 0 && packs.get(n).is_some_and(|next| next.n_objects < sum.saturating_mul(FACTOR)) {
        sum = sum.saturating_add(packs[n].n_objects);
        n += 1;
    }
    packs.truncate(n);
    if packs.len() < least {
        return Vec::new();
    }
    packs.sort_by_key(|pack| pack.id);
    packs
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&COMPACTED]
}

#[cfg(test)]
mod tests {
    use hakata_names::PackId;
    use hakata_store::packs::Pack;

    use super::choose;

    fn packs(sizes: &[i64]) -> Vec<Pack> {
        let pack = |(n, n_objects): (usize, &i64)| Pack {
            id: PackId::new(i64::try_from(n).unwrap()),
            state: hakata_store::PackState::Live,
            node: String::new(),
            checksum: Vec::new(),
            size_bytes: 0,
            n_objects: *n_objects,
            kind: String::new(),
            is_inline: true,
            created_at: 0,
            delete_after: None,
        };
        sizes.iter().enumerate().map(pack).collect()
    }

    fn chosen(sizes: &[i64], least: usize) -> Vec<i64> {
        let mut chosen: Vec<i64> = choose(packs(sizes), least).iter().map(|pack| pack.n_objects).collect();
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn what_grows_as_it_should_is_left_alone() {
        for sizes in [&[][..], &[7], &[1, 2], &[1, 2, 4, 8], &[3, 1_000], &[1, 2, 4, 8, 100]] {
            assert_eq!(chosen(sizes, 2), Vec::<i64>::new(), "{sizes:?}");
        }
    }

    #[test]
    fn small_packs_come_together_and_large_ones_stay() {
        assert_eq!(chosen(&[3, 3], 2), [3, 3]);
        assert_eq!(chosen(&[3, 1_000, 3, 3], 2), [3, 3, 3]);
        assert_eq!(chosen(&[3, 3, 3, 10, 1_000], 2), [3, 3, 3, 10], "together they outgrow the next");
        assert_eq!(chosen(&[3, 3, 20, 1_000], 2), [3, 3]);
        assert_eq!(chosen(&[1, 50, 60], 2), [1, 50, 60], "a large pair takes what is below it along");
    }

    #[test]
    fn few_are_not_worth_it() {
        assert_eq!(chosen(&[3, 3, 3], 4), Vec::<i64>::new());
        assert_eq!(chosen(&[3, 3, 3, 3], 4), [3; 4]);
    }

    /// However many pushes there are, the packs stay few, and no object is copied often.
    #[test]
    fn packs_stay_few_over_many_pushes() {
        let (least, n_pushes) = (16, 10_000);
        let (mut sizes, mut n_copied, mut most) = (vec![50_000], 0, 0);
        for _ in 0..n_pushes {
            sizes.push(3);
            let chosen = choose(packs(&sizes), least);
            if !chosen.is_empty() {
                for pack in &chosen {
                    let at = sizes.iter().position(|size| *size == pack.n_objects).unwrap();
                    sizes.swap_remove(at);
                }
                let sum = chosen.iter().map(|pack| pack.n_objects).sum();
                sizes.push(sum);
                n_copied += sum;
            }
            most = most.max(sizes.len());
        }
        assert!(most <= 40, "{most}");
        assert!(n_copied < 3 * n_pushes * 64, "{n_copied}");
    }
}
