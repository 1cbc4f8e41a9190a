//! `hakata lfs …`.

mod care;

use hakata_names::{LfsLockId, RepositoryPath, TreePath};
use hakata_runtime::units::ByteSize;
use hakata_store::lfs_objects::{self, LfsUsage};
use hakata_store::page::PageSize;
use serde::{Deserialize, Serialize};

use super::accounts::done;
use super::run::Progress;
use super::{Cell, Outcome, Row, Table};
use crate::access::{Read, Write};
use crate::lfs::{self, How, Lock, LockWish};
use crate::{Actor, Error, Forge, Kind};

/// `hakata lfs …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum LfsCommand {
    /// Tells how much is used: by one repository, or by those that use most.
    Usage {
        /// The repository.
        #[serde(default)]
        path: Option<RepositoryPath>,
        /// Whether to add up all repositories of each owner.
        #[serde(default)]
        by_owner: bool,
    },
    /// Lists the locks of a repository, the newest first.
    Locks {
        /// The repository.
        path: RepositoryPath,
    },
    /// Takes a lock away, whoever has it.
    Unlock {
        /// The repository.
        path: RepositoryPath,
        /// The lock's id, or the path that is locked.
        lock: String,
    },
    /// Puts objects in quarantine that no commit points to, and removes those that were in it for long enough.
    Gc {
        /// The repository; all without one.
        #[serde(default)]
        path: Option<RepositoryPath>,
        /// Whether only to say what would be done.
        #[serde(default)]
        dry_run: bool,
        /// Whether also where no commit points to any object.
        #[serde(default)]
        even_without_pointers: bool,
    },
    /// Takes objects out of quarantine, and lets those be sent again that were removed.
    Restore {
        /// The repository.
        path: RepositoryPath,
        /// The objects; without any, all that are in quarantine.
        #[serde(default)]
        oids: Vec<String>,
    },
    /// Removes objects from a repository for good: it gives them out no more and takes them no more.
    Remove {
        /// The repository.
        path: RepositoryPath,
        /// The objects.
        oids: Vec<String>,
    },
    /// Reads objects again, and says which are bad.
    Scrub {
        /// Bytes in a second; without it `lfs.scrub_rate`.
        #[serde(default)]
        rate: Option<ByteSize>,
        /// Whether to leave out those that were read within `lfs.scrub_every`.
        #[serde(default)]
        due: bool,
    },
    /// Copies all objects, and packs, to the store that takes the place of another.
    MigrateStorage,
}

pub(super) async fn run(
    forge: &Forge,
    actor: &Actor,
    command: LfsCommand,
    progress: &mut Progress<'_>,
) -> Result<Outcome, Error> {
    match command {
        LfsCommand::Gc { path, dry_run, even_without_pointers } => {
            let how = How { is_dry_run: dry_run, even_without_pointers };
            care::gc(forge, actor, path, how, progress).await
        }
        LfsCommand::Restore { path, oids } => care::restore(forge, actor, &path, &oids).await,
        LfsCommand::Remove { path, oids } => care::remove(forge, actor, &path, &oids).await,
        LfsCommand::MigrateStorage => care::migrate_storage(forge, progress).await,
        LfsCommand::Scrub { rate, due } => care::scrub(forge, rate, due, progress).await,
        LfsCommand::Usage { path: Some(path), .. } => {
            let grant = forge.grant::<Read>(actor, &path).await?;
            let mut conn = forge.db().read().await?;
            let usage = lfs_objects::usage_of(&mut conn, grant.repository()).await?;
            let row = Row::default().with("path", Cell::text(grant.path()));
            Ok(Outcome::One(
                row.with("objects", Cell::Number(usage.n_objects)).with("size_bytes", size(&usage)),
            ))
        }
        LfsCommand::Usage { path: None, by_owner } => {
            let mut conn = forge.db().read().await?;
            let rows = if by_owner {
                lfs_objects::usage_by_owner(&mut conn, PageSize::MAX).await?
            } else {
                lfs_objects::usage_by_repository(&mut conn, PageSize::MAX).await?
            };
            Ok(Outcome::List(usage_table(&rows, by_owner)))
        }
        LfsCommand::Locks { path } => {
            let grant = forge.grant::<Read>(actor, &path).await?;
            let mut wish = LockWish::default();
            let mut table = Table::new(&["id", "path", "owner", "locked_at"]);
            loop {
                let page = lfs::list_locks(forge, &grant, &wish).await?;
                page.locks.iter().for_each(|lock| table.push(cells(lock)));
                wish.cursor = page.next_cursor;
                if wish.cursor.is_none() {
                    return Ok(Outcome::List(table));
                }
            }
        }
        LfsCommand::Unlock { path, lock } => {
            let grant = forge.grant::<Write>(actor, &path).await?;
            let id = find(forge, actor, &path, &lock).await?;
            let lock = lfs::unlock(forge, &grant, id, true).await?;
            Ok(done(format!("{} of {path} is not locked by {} any more", lock.path, lock.owner), None))
        }
    }
}

/// Finds a lock by its id, or by the path that is locked.
async fn find(forge: &Forge, actor: &Actor, path: &RepositoryPath, lock: &str) -> Result<LfsLockId, Error> {
    let grant = forge.grant::<Read>(actor, path).await?;
    if let Ok(tree_path) = TreePath::parse(lock.as_bytes()) {
        let wish = LockWish { path: Some(tree_path), ..LockWish::default() };
        if let Some(lock) = lfs::list_locks(forge, &grant, &wish).await?.locks.first() {
            return Ok(lock.id);
        }
    }
    let id = lock.parse::<i64>().map(LfsLockId::new);
    id.map_err(|_| {
        Error::new(Kind::NotFound, format!("nothing at that path of {path} is locked"))
            .with_hint(format!("hakata lfs locks {path} lists what is"))
    })
}

fn usage_table(rows: &[LfsUsage], by_owner: bool) -> Table {
    let named = if by_owner { "owner" } else { "path" };
    let mut table = Table::new(&[named, "objects", "size_bytes"]);
    for usage in rows {
        let name =
            if by_owner { usage.owner.clone() } else { format!("{}/{}", usage.owner, usage.repository) };
        table.push(vec![Cell::Text(name), Cell::Number(usage.n_objects), size(usage)]);
    }
    table
}

fn size(usage: &LfsUsage) -> Cell {
    Cell::Bytes(u64::try_from(usage.bytes).unwrap_or(0))
}

fn cells(lock: &Lock) -> Vec<Cell> {
    vec![Cell::text(lock.id), Cell::text(&lock.path), Cell::text(&lock.owner), Cell::Time(lock.locked_at)]
}
