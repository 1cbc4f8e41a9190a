//! Objects that an owner removes for good, and those that are brought back.

use hakata_names::LfsOid;
use hakata_store::lfs_objects::{self, Linked};
use hakata_store::page::PageSize;
use hakata_store::{Conn, StoreError, lfs_removals, lfs_reservations, repositories};
use serde_json::json;

use crate::access::{Grant, Own};
use crate::{Error, Forge, Kind};

/// Most objects of one request, and of the list in the audit.
const MAX_AT_ONCE: usize = 1_000;

/// What was removed, or brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Objects that the repository had, or has again.
    pub(crate) n_objects: u64,
    /// Their sizes together.
    pub(crate) bytes: u64,
    /// Objects that may be sent again, and are not there.
    pub(crate) n_allowed: u64,
}

/// Takes objects away from a repository: it neither gives them out from now on nor takes them again. Other repositories
/// keep theirs; the bytes of what nobody has any more go after `lfs.dead_age`.
///
/// # Errors
/// [`Kind::NotFound`] if the repository has none of them and had none removed.
pub(crate) async fn remove(forge: &Forge, grant: &Grant<Own>, oids: &[LfsOid]) -> Result<Changed, Error> {
    check(oids)?;
    let (id, now) = (grant.repository(), forge.clock().now_ms());
    let names: Vec<String> = oids.iter().map(LfsOid::to_string).collect();
    let detail = json!({ "objects": names });
    let audit = forge.audit(grant.actor(), "lfs.remove", grant.path(), detail).await?;
    let audit = &audit;
    let removed = forge.db().transaction(|tx| {
        Box::pin(async move {
            // Uploads that end at this moment are before this or see it.
            if !repositories::lock(tx, id).await? {
                return Ok(None);
            }
            let linked = lfs_objects::find_linked(tx, id, oids).await?;
            let known = lfs_removals::find(tx, id, oids).await?;
            if linked.is_empty() && known.is_empty() {
                return Ok(None);
            }
            for oid in oids {
                lfs_removals::insert(tx, id, oid, now).await?;
                lfs_reservations::release(tx, id, oid).await?;
            }
            audit.write(tx).await?;
            take_away(tx, id, &linked).await.map(Some)
        })
    });
    let removed: Option<Changed> = removed.await.map_err(|error: StoreError| Error::from(error))?;
    removed.ok_or_else(|| {
        Error::new(Kind::NotFound, "the repository has none of these objects")
            .with_hint("git lfs ls-files --all --long tells what commits point to")
    })
}

async fn take_away(
    conn: &mut Conn,
    id: hakata_names::RepositoryId,
    linked: &[Linked],
) -> Result<Changed, StoreError> {
    let (mut changed, mut bytes) = (Changed::default(), 0);
    for at in linked {
        if lfs_objects::unlink(conn, id, at.id).await? {
            changed.n_objects += 1;
            bytes += at.size_bytes;
        }
    }
    repositories::add_size(conn, id, -bytes).await?;
    changed.bytes = u64::try_from(bytes).unwrap_or(0);
    Ok(changed)
}

/// Takes objects out of quarantine, all of a repository without a list, and lets those be sent again that were removed
/// for good. What comes out is left alone as if it had just come.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn restore(forge: &Forge, grant: &Grant<Own>, oids: &[LfsOid]) -> Result<Changed, Error> {
    check(oids)?;
    let (id, now) = (grant.repository(), forge.clock().now_ms());
    let names: Vec<String> = oids.iter().map(LfsOid::to_string).collect();
    let audit = forge.audit(grant.actor(), "lfs.restore", grant.path(), json!({ "objects": names })).await?;
    audit.write(&mut forge.db().write().await?).await?;
    let mut changed = Changed::default();
    let mut after = None;
    loop {
        let mut conn = forge.db().write().await?;
        let rows = lfs_objects::list_quarantined(&mut conn, id, after, PageSize::MAX).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        let is_meant = |at: &&Linked| oids.is_empty() || oids.contains(&at.oid);
        let meant: Vec<Linked> = rows.into_iter().filter(|at| is_meant(&at)).collect();
        let ids: Vec<_> = meant.iter().map(|at| at.id).collect();
        lfs_objects::promise(&mut conn, id, &ids, now).await?;
        changed.n_objects += meant.len() as u64;
        changed.bytes += meant.iter().map(|at| u64::try_from(at.size_bytes).unwrap_or(0)).sum::<u64>();
    }
    for oid in oids {
        let mut conn = forge.db().write().await?;
        changed.n_allowed += u64::from(lfs_removals::delete(&mut conn, id, oid).await?);
    }
    Ok(changed)
}

fn check(oids: &[LfsOid]) -> Result<(), Error> {
    if oids.len() > MAX_AT_ONCE {
        return Err(Error::new(Kind::Invalid, format!("at most {MAX_AT_ONCE} objects at once")));
    }
    Ok(())
}
