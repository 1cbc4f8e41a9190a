//! What a repository has of what somebody asks for, and the promise that goes with the answer.

use std::collections::{HashMap, HashSet};

use hakata_names::{LfsObjectId, LfsOid, RepositoryId};
use hakata_store::lfs_objects::{self, Linked};
use hakata_store::lfs_removals;

use super::measure::{COLLECTED, CollectedOutcome};
use crate::{Error, Forge};

/// How old a promise may be before it is written down again; `lfs.gc_grace` is longer.
const PROMISE_ROUNDED_MS: i64 = 60 * 60 * 1_000;

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To fetch it.
    ToFetch,
    /// To send it: who hears that it is there will never send it, and it must not be collected soon.
    ToSend,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What the repository has, bad or not.
    pub(super) linked: HashMap<LfsOid, Linked>,
    /// What an owner removed from it.
    pub(super) removed: HashSet<LfsOid>,
}

/// Looks up what a repository has of these oids. Whatever is asked for comes out of quarantine; what is there for a sender
/// is promised, and only what still is there after that is told.
pub(super) async fn look_up(
    forge: &Forge,
    repository: RepositoryId,
    oids: &[LfsOid],
    asked: Asked,
) -> Result<Found, Error> {
    let mut conn = forge.db().read().await?;
    let mut linked = lfs_objects::find_linked(&mut conn, repository, oids).await?;
    let removed = lfs_removals::find(&mut conn, repository, oids).await?;
    drop(conn);
    let now = forge.clock().now_ms();
    let is_due = |at: &&Linked| {
        at.quarantined_at.is_some() || asked == Asked::ToSend && now - at.promised_at >= PROMISE_ROUNDED_MS
    };
    let due: Vec<LfsObjectId> = linked.iter().filter(is_due).map(|at| at.id).collect();
    if !due.is_empty() {
        let n_revived = linked.iter().filter(|at| at.quarantined_at.is_some()).count();
        COLLECTED.get(CollectedOutcome::Revived).add(n_revived as u64);
        lfs_objects::promise(&mut forge.db().write().await?, repository, &due, now).await?;
        // A collector may have been faster with some.
        linked = lfs_objects::find_linked(&mut forge.db().read().await?, repository, oids).await?;
    }
    Ok(Found {
        linked: linked.into_iter().map(|at| (at.oid, at)).collect(),
        removed: removed.into_iter().collect(),
    })
}

/// Looks up what a repository has of an object that somebody sends, bad or not.
///
/// # Errors
/// If an owner removed it, and when the database does not answer.
pub(super) async fn look_up_sent(
    forge: &Forge,
    repository: RepositoryId,
    oid: LfsOid,
) -> Result<Option<Linked>, Error> {
    let mut found = look_up(forge, repository, &[oid], Asked::ToSend).await?;
    if found.removed.contains(&oid) {
        return Err(Error::removed());
    }
    Ok(found.linked.remove(&oid))
}
