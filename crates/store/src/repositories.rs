//! Repositories: rows, roles, and the questions of policy.

mod head;
mod life;
mod recount;
mod usage;
mod version;

use hakata_names::{
    ObjectFormat, OwnerId, OwnerName, RefName, RepositoryId, RepositoryName, RepositoryPath, UserId,
};

pub use head::{lock, point_head};
pub use life::{Erased, archive, erase, remove_unused, rename, restore, set_state, transfer};
pub use recount::{Recounted, Usage, recount, set_quota_levels};
pub use usage::{Full, QuotaOf, add_size_within};
pub use version::{
    Expected, add_size, raise_for_packs, raise_policy_version, raise_prune_epoch, raise_version,
    set_default_ref, set_description, set_mirror, set_quota, set_visibility, version_of,
};

use crate::conn::Conn;
use crate::page::{Page, PageSize};
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::{OwnerKind, OwnerState, RepositoryState, Role, Visibility};
use crate::{Conflict, StoreError};

/// A repository as its row tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its id; the only name that the disk knows.
    pub id: RepositoryId,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// Its name as its owner writes it.
    pub name: RepositoryName,
    /// Its owner's name.
    pub owner_name: OwnerName,
    /// How its objects are named.
    pub object_format: ObjectFormat,
    /// What HEAD points to; the ref may not exist.
    pub default_ref: RefName,
    /// Raised by every ref change.
    pub version: i64,
    /// Raised when objects were dropped.
    pub prune_epoch: i64,
    /// Raised when the rules changed.
    pub policy_version: i64,
    /// Where it is in its life.
    pub state: RepositoryState,
    /// Who may see it without being named.
    pub visibility: Visibility,
    /// Its own limit in bytes; `None`: only its owner's.
    pub quota_bytes: Option<i64>,
    /// The bytes of its packs.
    pub size_bytes: i64,
    /// A line about it.
    pub description: String,
    /// When it was made, in ms.
    pub created_at: i64,
    /// When a ref last moved, in ms.
    pub pushed_at: Option<i64>,
    /// When it was deleted, in ms; 0: it is being erased.
    pub deleted_at: Option<i64>,
    /// Whether it follows another host's repository and takes no pushes.
    pub is_mirror: bool,
}

impl Repository {
    /// Returns `owner/name`.
    pub fn path(&self) -> RepositoryPath {
        RepositoryPath { owner: self.owner_name.clone(), name: self.name.clone() }
    }
}

/// A repository to be inserted; it starts with version, epoch and policy version 0.
#[derive(Clone, Debug)]
pub struct NewRepository<'a> {
    /// From the allocator.
    pub id: RepositoryId,
    /// Whose it will be.
    pub owner_id: OwnerId,
    /// Its name.
    pub name: &'a RepositoryName,
    /// How its objects are named.
    pub object_format: ObjectFormat,
    /// What HEAD points to.
    pub default_ref: &'a RefName,
    /// `Creating` or `Active`.
    pub state: RepositoryState,
    /// Who may see it.
    pub visibility: Visibility,
    /// A line about it.
    pub description: &'a str,
    /// Now, in ms.
    pub created_at: i64,
}

/// A repository and what its rows say about one user. The facts only; judging them is policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The repository, in whatever state.
    pub repository: Repository,
    /// What its owner is.
    pub owner_kind: OwnerKind,
    /// Whether its owner may act.
    pub owner_state: OwnerState,
    /// The limit in bytes over all repositories of its owner.
    pub owner_quota_bytes: Option<i64>,
    /// The bytes of all repositories of its owner.
    pub owner_size_bytes: i64,
    /// The role the user was invited with.
    pub collaborator_role: Option<Role>,
    /// The user's role in the group that owns it.
    pub group_role: Option<Role>,
}

/// The columns of [`read`] and the tables they come from.
macro_rules! repository {
    ($more:literal, $tail:literal) => {
        sql!(concat!(
            "SELECT r.id, r.owner_id, r.name, o.name, r.object_format, r.default_ref, r.version, r.prune_epoch, ",
            "r.policy_version, r.state, r.visibility, r.quota_bytes, r.size_bytes, r.description, r.created_at, ",
            "r.pushed_at, r.deleted_at, r.is_mirror", $more, " FROM repository r JOIN owner o ON o.id = r.owner_id ", $tail
        ))
    };
}

fn read(row: &Row) -> Result<Repository, StoreError> {
    Ok(Repository {
        id: row.id(0)?,
        owner_id: row.id(1)?,
        name: row.parsed(2, |name| RepositoryName::parse(name).ok())?,
        owner_name: row.parsed(3, |name| OwnerName::parse(name).ok())?,
        object_format: row.parsed(4, ObjectFormat::from_name)?,
        default_ref: row.ref_name(5)?,
        version: row.int(6)?,
        prune_epoch: row.int(7)?,
        policy_version: row.int(8)?,
        state: row.parsed(9, RepositoryState::parse)?,
        visibility: row.parsed(10, Visibility::parse)?,
        quota_bytes: row.opt_int(11)?,
        size_bytes: row.int(12)?,
        description: row.text(13)?,
        created_at: row.int(14)?,
        pushed_at: row.opt_int(15)?,
        deleted_at: row.opt_int(16)?,
        is_mirror: row.flag(17)?,
    })
}

fn read_standing(row: &Row) -> Result<Standing, StoreError> {
    let role = |at| Ok::<_, StoreError>(row.opt_int(at)?.and_then(Role::from_stored));
    Ok(Standing {
        repository: read(row)?,
        owner_kind: row.parsed(18, OwnerKind::parse)?,
        owner_state: row.parsed(19, OwnerState::parse)?,
        owner_quota_bytes: row.opt_int(20)?,
        owner_size_bytes: row.int(21)?,
        collaborator_role: role(22)?,
        group_role: role(23)?,
    })
}

/// Finds a repository by its path together with the standing of a user, whatever its state.
///
/// Every request that names a repository asks this first: one round trip, four look-ups by unique key.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_standing(
    conn: &mut Conn,
    path: &RepositoryPath,
    user: Option<UserId>,
) -> Result<Option<Standing>, StoreError> {
    const FIND: Sql = repository!(
        ", o.kind, o.state, o.quota_bytes, o.size_bytes, \
         (SELECT c.role FROM repository_collaborator c WHERE c.repository_id = r.id AND c.user_id = ?), \
         (SELECT m.role FROM group_member m WHERE m.group_id = r.owner_id AND m.user_id = ?)",
        "WHERE o.name_folded = ? AND r.name_folded = ?"
    );
    let (owner, name) = (path.owner.folded(), path.name.folded());
    conn.find(&FIND, values![user, user, &owner, &name], read_standing).await
}

/// Finds a repository by id together with the standing of a user; the same question asked again before a commit.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_standing_by_id(
    conn: &mut Conn,
    id: RepositoryId,
    user: Option<UserId>,
) -> Result<Option<Standing>, StoreError> {
    const FIND: Sql = repository!(
        ", o.kind, o.state, o.quota_bytes, o.size_bytes, \
         (SELECT c.role FROM repository_collaborator c WHERE c.repository_id = r.id AND c.user_id = ?), \
         (SELECT m.role FROM group_member m WHERE m.group_id = r.owner_id AND m.user_id = ?)",
        "WHERE r.id = ?"
    );
    conn.find(&FIND, values![user, user, id], read_standing).await
}

/// Finds a repository by id, whatever its state: one look-up by primary key and one for its owner.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: RepositoryId) -> Result<Option<Repository>, StoreError> {
    const FIND: Sql = repository!("", "WHERE r.id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Finds a repository by its path, whatever its state; deleted ones have lost theirs.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_by_path(conn: &mut Conn, path: &RepositoryPath) -> Result<Option<Repository>, StoreError> {
    const FIND: Sql = repository!("", "WHERE o.name_folded = ? AND r.name_folded = ?");
    let (owner, name) = (path.owner.folded(), path.name.folded());
    conn.find(&FIND, values![&owner, &name], read).await
}

/// Lists an owner's repositories by name, without the deleted.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of_owner(
    conn: &mut Conn,
    owner: OwnerId,
    after: Option<&RepositoryName>,
    size: PageSize,
) -> Result<Page<Repository, RepositoryName>, StoreError> {
    const LIST: Sql = repository!(
        "",
        "WHERE r.owner_id = ? AND r.name_folded > ? AND r.state <> 'deleted' ORDER BY r.name_folded LIMIT ?"
    );
    let after = after.map(RepositoryName::folded).unwrap_or_default();
    let rows = conn.list(&LIST, values![owner, &after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |repository| repository.name.clone()))
}

/// Lists all repositories by id, whatever their state; for sweeps and administration.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_all(
    conn: &mut Conn,
    after: Option<RepositoryId>,
    size: PageSize,
) -> Result<Page<Repository, RepositoryId>, StoreError> {
    const LIST: Sql = repository!("", "WHERE r.id > ? ORDER BY r.id LIMIT ?");
    let after = after.map_or(0, RepositoryId::get);
    let rows = conn.list(&LIST, values![after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |repository| repository.id))
}

/// Lists the repositories in one state by id; the sweeper asks for those left in `Creating` and the `Deleted`.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_in_state(
    conn: &mut Conn,
    state: RepositoryState,
    after: Option<RepositoryId>,
    size: PageSize,
) -> Result<Page<Repository, RepositoryId>, StoreError> {
    const LIST: Sql = repository!("", "WHERE r.state = ? AND r.id > ? ORDER BY r.id LIMIT ?");
    let after = after.map_or(0, RepositoryId::get);
    let rows = conn.list(&LIST, values![state, after, size.limit()], read).await?;
    Ok(Page::cut(rows, size, |repository| repository.id))
}

/// Counts an owner's repositories without the deleted.
///
/// # Errors
/// Any [`StoreError`].
pub async fn count_of_owner(conn: &mut Conn, owner: OwnerId) -> Result<i64, StoreError> {
    const COUNT: Sql = sql!("SELECT COUNT(*) FROM repository WHERE owner_id = ? AND state <> 'deleted'");
    Ok(conn.find(&COUNT, values![owner], |row| row.int(0)).await?.unwrap_or(0))
}

/// Inserts a repository, unless its owner has one of that name.
///
/// # Errors
/// Any [`StoreError`]; the inner one is the taken name.
pub async fn insert(conn: &mut Conn, new: &NewRepository<'_>) -> Result<Result<(), Conflict>, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO repository (id, owner_id, name, name_folded, object_format, default_ref, version, prune_epoch, \
         policy_version, state, visibility, quota_bytes, size_bytes, description, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?, NULL, 0, ?, ?)");
    let folded = new.name.folded();
    let values = values![
        new.id,
        new.owner_id,
        new.name.as_str(),
        &folded,
        new.object_format.name(),
        new.default_ref,
        new.state,
        new.visibility,
        new.description,
        new.created_at,
    ];
    let is_inserted = conn.insert_absent(&INSERT, values).await?;
    Ok(if is_inserted { Ok(()) } else { Err(Conflict { what: "repository" }) })
}
