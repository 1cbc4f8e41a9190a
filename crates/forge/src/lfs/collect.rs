//! Collecting: objects of a repository that no commit points to go into quarantine, and from there away.
//!
//! ```text
//! linked ──▶ no pointer, and nobody was told of it for gc_grace ──▶ quarantined, served as before
//!   ▲                                                                   │
//!   ├── asked for by anybody, or restored, or a pointer again ──────────┤
//!   │                                             gc_quarantine passed, still no pointer at this version of the refs
//!   └── sent again ◀── the repository has it no more: counted off  ◀────┘
//! ```
//!
//! What counts as a pointer is whatever could be one, in any commit that refs of any kind lead to, or that one led to
//! within the time in which deleted things can be restored. What cannot be read ends the search, and nothing is taken.
//!
//! A client that was told that an object is there never sends it. So every such answer notes its time on the row, and each
//! step here names what it saw in that row: whoever is told of the object, or asks for it, wins. The last step runs under
//! the lock of the repository's row and only at the version whose refs were searched. Bytes that no repository has any
//! more die in the sweep.
//!
//! A repository in which nothing at all points to an object may keep objects for others (`lfs.url`): it is left alone.

mod mark;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use hakata_names::{JobId, LfsObjectId, LfsOid, RepositoryId};
use hakata_store::jobs::{self, NewJob};
use hakata_store::lfs_objects::{self, Linked};
use hakata_store::lfs_sweeps::{self, Due};
use hakata_store::page::PageSize;
use hakata_store::{StoreError, repositories};

use super::measure::{COLLECTED, COLLECTED_BYTES, COLLECTIONS, CollectedOutcome, CollectionOutcome};
use super::sweep::millis;
use crate::{Error, Forge};
use mark::Marks;

/// The kind of jobs that collect in one repository.
const KIND: &str = "lfs_sweep";

/// Objects that are held in memory while a history is searched; of more there is another search.
const ROUND: usize = 200_000;

/// Objects that one transaction takes away.
const TAKE: usize = 200;

/// How often what refs led to meanwhile is searched before the rest waits for the next time.
const MAX_ATTEMPTS: u32 = 5;

/// How to collect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// Only say what would be done.
    pub(crate) is_dry_run: bool,
    /// Also where nothing points to any object.
    pub(crate) even_without_pointers: bool,
}

/// Some objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) n: u64,
    pub(crate) bytes: u64,
}

/// What was found in a repository, and done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Those that were looked at: nobody was told of them for a while.
    pub(crate) looked_at: Sum,
    /// Put in quarantine.
    pub(crate) quarantined: Sum,
    /// In quarantine, and their time has not come.
    pub(crate) waiting: Sum,
    /// Taken out of quarantine: something points to them again.
    pub(crate) revived: Sum,
    /// Taken away.
    pub(crate) taken: Sum,
    /// To be taken away another time, since refs moved too fast.
    pub(crate) postponed: Sum,
    /// Whether all was left alone since nothing points to any object.
    pub(crate) is_left_alone: bool,
}

impl Sum {
    fn add(&mut self, at: &Linked) {
        self.n += 1;
        self.bytes += u64::try_from(at.size_bytes).unwrap_or(0);
    }

    fn of<'a>(all: impl IntoIterator<Item = &'a Linked>) -> Self {
        let mut sum = Self::default();
        all.into_iter().for_each(|at| sum.add(at));
        sum
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.n += other.n;
        self.bytes += other.bytes;
    }
}

impl Forge {
    /// Collects in one repository, as a job does.
    ///
    /// # Errors
    /// Not found if the repository is gone, and when database, disk or git fail: then nothing more was taken.
    pub async fn collect_lfs(&self, id: RepositoryId) -> Result<(), Error> {
        let collected = collect(self, id, How::default()).await?;
        tracing::info!(repository.id = id.get(), ?collected, "LFS objects that no commit points to");
        Ok(())
    }
}

/// Enqueues the searches whose time has come; each is enqueued once, whoever else does the same.
pub(super) async fn schedule(forge: &Forge) -> Result<(), Error> {
    let settings = &forge.settings().lfs;
    if !settings.gc {
        return Ok(());
    }
    let (now, mut after) = (forge.clock().now_ms(), None);
    let next_at = now.saturating_add(millis(settings.gc_every));
    loop {
        let mut conn = forge.db().read().await?;
        let due = lfs_sweeps::list_due(&mut conn, now, after, PageSize::default()).await?;
        drop(conn);
        let Some(last) = due.last() else { return Ok(()) };
        after = Some(last.repository);
        for due in due {
            enqueue(forge, due, now, next_at).await?;
        }
    }
}

async fn enqueue(forge: &Forge, due: Due, now: i64, next_at: i64) -> Result<(), Error> {
    let id: JobId = forge.ids().next().await?;
    let enqueued = forge.db().transaction(|tx| {
        Box::pin(async move {
            if lfs_sweeps::reschedule(tx, due, next_at).await? {
                let dedupe = format!("{KIND}:{}", due.repository);
                let (repository, dedupe) = (Some(due.repository), Some(&*dedupe));
                jobs::enqueue(tx, &NewJob { repository, dedupe, ..NewJob::new(id, KIND, now) }).await?;
            }
            Ok::<_, StoreError>(())
        })
    });
    Ok(enqueued.await?)
}

/// Collects in one repository.
pub(crate) async fn collect(forge: &Forge, id: RepositoryId, how: How) -> Result<Collected, Error> {
    let collected = Collector::new(forge, id, how).run().await;
    COLLECTIONS
        .get(match &collected {
            Ok(collected) if collected.is_left_alone => CollectionOutcome::LeftAlone,
            Ok(_) => CollectionOutcome::Done,
            Err(_) => CollectionOutcome::Failed,
        })
        .inc();
    collected
}

struct Collector<'a> {
    forge: &'a Forge,
    id: RepositoryId,
    how: How,
    now: i64,
    /// Nobody was told since then.
    settled_at: i64,
    /// In quarantine since then, an object may be taken away.
    ripe_at: i64,
    found: Collected,
}

impl<'a> Collector<'a> {
    fn new(forge: &'a Forge, id: RepositoryId, how: How) -> Self {
        let (now, settings) = (forge.clock().now_ms(), &forge.settings().lfs);
        let settled_at = now.saturating_sub(millis(settings.gc_grace));
        let ripe_at = now.saturating_sub(millis(settings.gc_quarantine));
        Self { forge, id, how, now, settled_at, ripe_at, found: Collected::default() }
    }

    async fn run(mut self) -> Result<Collected, Error> {
        let mut after = None;
        loop {
            let (round, last) = self.next_round(after).await?;
            if round.is_empty() || !self.judge(round).await? {
                return Ok(self.found);
            }
            after = last;
        }
    }

    /// Reads objects that nobody was told of for a while, as many as are held in memory; and the last of them.
    async fn next_round(
        &mut self,
        mut after: Option<LfsObjectId>,
    ) -> Result<(HashMap<LfsOid, Linked>, Option<LfsObjectId>), Error> {
        let mut round = HashMap::new();
        while round.len() < ROUND {
            let mut conn = self.forge.db().read().await?;
            let settled = self.settled_at;
            let rows = lfs_objects::list_settled(&mut conn, self.id, settled, after, PageSize::MAX).await?;
            drop(conn);
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            self.found.looked_at += Sum::of(&rows);
            round.extend(rows.into_iter().map(|at| (at.oid, at)));
        }
        Ok((round, after))
    }

    /// Decides about some objects; false: the repository is left alone.
    async fn judge(&mut self, mut round: HashMap<LfsOid, Linked>) -> Result<bool, Error> {
        let quarantined: HashMap<LfsOid, Linked> =
            round.iter().filter(|(_, at)| at.quarantined_at.is_some()).map(|(oid, at)| (*oid, *at)).collect();
        let marks = Marks::find(self.forge, self.id, &mut round).await?;
        if marks.n_named == 0 && !round.is_empty() && !self.how.even_without_pointers {
            self.found.is_left_alone = true;
            return Ok(false);
        }
        let is_marked = |at: &&Linked| !round.contains_key(&at.oid);
        let marked: Vec<Linked> = quarantined.values().filter(is_marked).copied().collect();
        self.revive(&marked).await?;
        let (mut fresh, mut ripe) = (Vec::new(), Vec::new());
        for at in round.into_values() {
            match at.quarantined_at {
                None => fresh.push(at),
                Some(since) if since <= self.ripe_at => ripe.push(at),
                Some(_) => self.found.waiting.add(&at),
            }
        }
        self.quarantine(&fresh).await?;
        self.take(ripe, marks).await?;
        Ok(true)
    }

    async fn revive(&mut self, marked: &[Linked]) -> Result<(), Error> {
        self.found.revived += Sum::of(marked);
        if !self.how.is_dry_run && !marked.is_empty() {
            let mut conn = self.forge.db().write().await?;
            let n = lfs_objects::revive(&mut conn, self.id, &ids(marked)).await?;
            COLLECTED.get(CollectedOutcome::Revived).add(n);
        }
        Ok(())
    }

    async fn quarantine(&mut self, fresh: &[Linked]) -> Result<(), Error> {
        self.found.quarantined += Sum::of(fresh);
        if !self.how.is_dry_run && !fresh.is_empty() {
            let mut conn = self.forge.db().write().await?;
            let (settled, now) = (self.settled_at, self.now);
            let n = lfs_objects::quarantine(&mut conn, self.id, &ids(fresh), settled, now).await?;
            COLLECTED.get(CollectedOutcome::Quarantined).add(n);
        }
        Ok(())
    }

    /// Takes away what has been in quarantine for long enough, as long as no ref moves; where one does, what it leads to
    /// is searched too.
    async fn take(&mut self, mut ripe: Vec<Linked>, mut marks: Marks) -> Result<(), Error> {
        if self.how.is_dry_run {
            self.found.taken += Sum::of(&ripe);
            return Ok(());
        }
        for _ in 0..MAX_ATTEMPTS {
            while !ripe.is_empty() {
                let some = ripe.split_off(ripe.len().saturating_sub(TAKE));
                match self.take_some(&some, marks.version()).await? {
                    Some(taken) => {
                        COLLECTED.get(CollectedOutcome::Taken).add(taken.n);
                        COLLECTED_BYTES.add(taken.bytes);
                        self.found.taken += taken;
                    }
                    None => {
                        ripe.extend(some);
                        break;
                    }
                }
            }
            if ripe.is_empty() {
                return Ok(());
            }
            let mut left = ripe.into_iter().map(|at| (at.oid, at)).collect();
            marks = marks.follow(self.forge, &mut left).await?;
            ripe = left.into_values().collect();
        }
        COLLECTED.get(CollectedOutcome::Postponed).add(ripe.len() as u64);
        self.found.postponed += Sum::of(&ripe);
        Ok(())
    }

    /// Takes some away if the repository still is at this version; `None` if it is not.
    async fn take_some(&self, some: &[Linked], version: i64) -> Result<Option<Sum>, Error> {
        let (id, settled_at) = (self.id, self.settled_at);
        let taken = self.forge.db().transaction(|tx| {
            Box::pin(async move {
                if !repositories::lock(tx, id).await?
                    || repositories::version_of(tx, id).await? != Some(version)
                {
                    return Ok::<_, StoreError>(None);
                }
                let (mut taken, mut bytes) = (Sum::default(), 0);
                for at in some {
                    let Some(since) = at.quarantined_at else { continue };
                    if lfs_objects::collect(tx, id, at.id, since, settled_at).await? {
                        taken.add(at);
                        bytes += at.size_bytes;
                    }
                }
                // The owner's row comes last, since changes of all its repositories meet there.
                repositories::add_size(tx, id, -bytes).await?;
                Ok(Some(taken))
            })
        });
        Ok(taken.await?)
    }
}

fn ids(all: &[Linked]) -> Vec<LfsObjectId> {
    all.iter().map(|at| at.id).collect()
}
