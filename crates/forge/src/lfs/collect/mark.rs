//! What something in a repository's history may point to.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use hakata_git::read::Allowance;
use hakata_names::{LfsOid, Oid, RepositoryId};
use hakata_repository::Repository;
use hakata_store::lfs_objects::Linked;
use hakata_store::page::PageSize;
use hakata_store::ref_log;

use super::super::sweep::millis;
use crate::{Error, Forge};

/// Most old tips of one repository; with more it is not searched, and nothing of it collected.
const MAX_OLD: usize = 2_000_000;

/// A search that came to its end, or found all that it was after.
pub(super) struct Marks {
    repository: Repository,
    tips: Vec<Oid>,
    /// How many oids stand anywhere, whether they are of objects here or not.
    pub(super) n_named: u64,
}

impl Marks {
    /// Searches all that a repository leads to now, or led to as long as that can be restored, and strikes what is named
    /// out of `unmarked`.
    pub(super) async fn find(
        forge: &Forge,
        id: RepositoryId,
        unmarked: &mut HashMap<LfsOid, Linked>,
    ) -> Result<Self, Error> {
        let repository = forge.repositories().open(id).await?;
        let tips = tips(forge, &repository).await?;
        let n_named = search(forge, &repository, &tips, &[], unmarked).await?;
        Ok(Self { repository, tips, n_named })
    }

    /// Searches what refs lead to that have moved since.
    pub(super) async fn follow(
        self,
        forge: &Forge,
        unmarked: &mut HashMap<LfsOid, Linked>,
    ) -> Result<Self, Error> {
        let repository = self.repository.reopened().await?;
        let tips = tips(forge, &repository).await?;
        let n_named = search(forge, &repository, &tips, &self.tips, unmarked).await?;
        Ok(Self { repository, tips, n_named: self.n_named + n_named })
    }

    /// The version of the repository whose refs were searched.
    pub(super) fn version(&self) -> i64 {
        self.repository.version()
    }
}

/// Lists what all refs point to, pull requests' and hidden ones too, and what they pointed to in the restore period.
async fn tips(forge: &Forge, repository: &Repository) -> Result<Vec<Oid>, Error> {
    let mut tips: HashSet<Oid> = repository.snapshot().iter().map(|at| at.oid).collect();
    let since = forge.clock().now_ms().saturating_sub(millis(forge.settings().restore_for));
    let mut after = None;
    loop {
        let mut conn = forge.db().read().await?;
        let page =
            ref_log::list_old(&mut conn, repository.id(), since, after.as_ref(), PageSize::MAX).await?;
        drop(conn);
        tips.extend(page.rows.into_iter().map(|(oid, _)| oid));
        if tips.len() > MAX_OLD {
            let why = format!("more than {MAX_OLD} tips within repositories.restore_for");
            return Err(Error::internal(why));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(tips.into_iter().collect()),
        }
    }
}

/// Strikes out what is named in a history; ends early when nothing is left.
async fn search(
    forge: &Forge,
    repository: &Repository,
    tips: &[Oid],
    hide: &[Oid],
    unmarked: &mut HashMap<LfsOid, Linked>,
) -> Result<u64, Error> {
    let readable = repository.readable().await.map_err(Error::internal)?;
    let allowance = Allowance { time: Some(forge.settings().lfs.gc_time), ..Allowance::default() };
    let mut n_named = 0;
    let mut strike = |oid: LfsOid| {
        n_named += 1;
        unmarked.remove(&oid);
        if unmarked.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let searched = readable.objects().lfs_oids_of_history(tips, hide, &allowance, &mut strike).await;
    searched.map_err(Error::internal)?;
    Ok(n_named)
}
