//! Locks on paths: who has one is the only one to change the file, on every branch.

use hakata_names::{LfsLockId, TreePath, UserId};
use hakata_store::lfs_locks::{self, LfsLock, LockFilter, LockKey};
use hakata_store::page::PageSize;
use serde_json::json;

use super::measure::{LOCKS, LockOutcome, Phase, Step};
use crate::access::{Act, Grant, Maintain, Read, Write, grant_from};
use crate::{Actor, Error, Forge, Kind};

/// A lock, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Its id, good in its own repository only.
    pub id: LfsLockId,
    /// The path, from the root of the repository.
    pub path: TreePath,
    /// What its holder is called now.
    pub owner: String,
    /// Since when, in ms.
    pub locked_at: i64,
}

/// Some locks, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockPage {
    /// The locks.
    pub locks: Vec<Lock>,
    /// Where the next page begins; `None`: this is the last one.
    pub next_cursor: Option<String>,
}

/// Some locks, by whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OursAndTheirs {
    /// Those of who asks.
    pub ours: Vec<Lock>,
    /// Those of everybody else.
    pub theirs: Vec<Lock>,
    /// Where the next page begins; `None`: this is the last one.
    pub next_cursor: Option<String>,
}

/// Which locks are asked for, and how many at once; conditions hold together.
#[derive(Clone, Debug, Default)]
pub struct LockWish {
    /// Only the one on this path.
    pub path: Option<TreePath>,
    /// Only the one with this id.
    pub id: Option<LfsLockId>,
    /// Where to go on: from an answer before.
    pub cursor: Option<String>,
    /// How many at most; `None`: 100, which is also the most there can be.
    pub limit: Option<usize>,
}

/// Most locks in one answer.
const MAX_PAGE: usize = 100;

impl From<LfsLock> for Lock {
    fn from(row: LfsLock) -> Self {
        let owner = row.user_name.unwrap_or_else(|| "unknown".to_owned());
        Self { id: row.id, path: row.path, owner, locked_at: row.locked_at }
    }
}

/// Locks a path for whoever holds the grant. The inner error is the lock that somebody, perhaps the same, has on it.
///
/// # Errors
/// [`Kind::Forbidden`] for who is no person, [`Kind::TooLarge`] when the repository has too many locks.
pub async fn lock(forge: &Forge, grant: &Grant<Write>, path: &TreePath) -> Result<Result<Lock, Lock>, Error> {
    let _step = Step::begin(Phase::Locks, forge.clock());
    let user = person(grant.actor())?;
    let (repository, now) = (grant.repository(), forge.clock().now_ms());
    let id: LfsLockId = forge.ids().next().await?;
    let most = i64::try_from(forge.settings().lfs.max_locks).unwrap_or(i64::MAX);
    let locked = forge.db().transaction(|tx| {
        Box::pin(async move {
            if !lfs_locks::insert(tx, repository, id, path, user, now).await? {
                return Ok(LockOutcome::Taken);
            }
            // The repository's row is locked since, so that nobody is counted twice or not at all.
            let n_locks = lfs_locks::count(tx, repository).await?;
            if n_locks > most {
                return Err(NotLocked::TooMany);
            }
            Ok::<_, NotLocked>(LockOutcome::Made)
        })
    });
    let outcome = match locked.await {
        Ok(outcome) => outcome,
        Err(NotLocked::TooMany) => {
            return Err(Error::new(Kind::TooLarge, format!("a repository may have {most} locks")));
        }
        Err(NotLocked::Store(error)) => return Err(error.into()),
    };
    let mut conn = forge.db().read().await?;
    let row = lfs_locks::find_on(&mut conn, repository, path).await?;
    // Unlocked again in between.
    let gone = || Error::new(Kind::Conflict, "the lock changed meanwhile, try again");
    let row = row.ok_or_else(gone)?;
    LOCKS.get(outcome).inc();
    // It may have been forced away and be somebody else's already.
    Ok(if outcome == LockOutcome::Made && row.id == id { Ok(row.into()) } else { Err(row.into()) })
}

/// Why nothing was locked.
#[derive(Debug)]
enum NotLocked {
    TooMany,
    Store(hakata_store::StoreError),
}

impl From<hakata_store::StoreError> for NotLocked {
    fn from(error: hakata_store::StoreError) -> Self {
        Self::Store(error)
    }
}

/// Lists locks, the newest first.
///
/// # Errors
/// [`Kind::Invalid`] for a cursor that is none of ours.
pub async fn list_locks(forge: &Forge, grant: &Grant<Read>, wish: &LockWish) -> Result<LockPage, Error> {
    let (rows, next_cursor) = page(forge, grant, wish).await?;
    Ok(LockPage { locks: rows.into_iter().map(Lock::from).collect(), next_cursor })
}

/// Lists locks by whose they are: what a client asks before it pushes.
///
/// # Errors
/// As [`list_locks`].
pub async fn verify_locks(
    forge: &Forge,
    grant: &Grant<Write>,
    wish: &LockWish,
) -> Result<OursAndTheirs, Error> {
    let (rows, next_cursor) = page(forge, grant, wish).await?;
    let user = grant.actor().user();
    let (ours, theirs): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| Some(row.user_id) == user);
    let shown = |rows: Vec<LfsLock>| rows.into_iter().map(Lock::from).collect();
    Ok(OursAndTheirs { ours: shown(ours), theirs: shown(theirs), next_cursor })
}

/// Takes a lock away and returns it. Somebody else's only by force, which needs a maintainer, and is written down.
///
/// # Errors
/// [`Kind::NotFound`] if the repository has no such lock; [`Kind::Forbidden`] for another's without force, or with it and
/// too small a role; [`Kind::Conflict`] if it became another's meanwhile.
pub async fn unlock(forge: &Forge, grant: &Grant<Write>, id: LfsLockId, force: bool) -> Result<Lock, Error> {
    let _step = Step::begin(Phase::Locks, forge.clock());
    let repository = grant.repository();
    let mut conn = forge.db().read().await?;
    let row = lfs_locks::find(&mut conn, repository, id).await?;
    drop(conn);
    let row = row.ok_or_else(|| Error::new(Kind::NotFound, "there is no such lock in this repository"))?;
    let is_own = grant.actor().user() == Some(row.user_id);
    let entry = match (is_own, force) {
        (true, _) => None,
        (false, false) => {
            let whose = row.user_name.as_deref().unwrap_or("somebody else");
            return Err(Error::new(Kind::Forbidden, format!("this lock is {whose}'s"))
                .with_hint("a maintainer can take it away by force: git lfs unlock --force"));
        }
        (false, true) => {
            grant_from::<Maintain>(grant.actor(), Some(grant.facts().clone()))?;
            let detail = json!({ "path": row.path.to_string(), "holder": row.user_id.to_string() });
            Some(forge.audit(grant.actor(), "lfs.unlock", grant.path(), detail).await?)
        }
    };
    let (holder, entry) = (row.user_id, entry.as_ref());
    let deleted = forge.db().transaction(|tx| {
        Box::pin(async move {
            let is_deleted = lfs_locks::delete(tx, repository, id, holder).await?;
            if let Some(entry) = entry.filter(|_| is_deleted) {
                entry.write(tx).await?;
            }
            Ok::<_, hakata_store::StoreError>(is_deleted)
        })
    });
    if !deleted.await? {
        return Err(Error::new(Kind::Conflict, "the lock changed meanwhile, try again"));
    }
    LOCKS.get(if is_own { LockOutcome::Released } else { LockOutcome::Forced }).inc();
    Ok(row.into())
}

/// Finds who wants a lock; a key that belongs to no person cannot have one.
fn person(actor: &Actor) -> Result<UserId, Error> {
    let words = "a lock belongs to a person, and nobody is signed in as one";
    actor.user().ok_or_else(|| Error::new(Kind::Forbidden, words))
}

async fn page<A: Act>(
    forge: &Forge,
    grant: &Grant<A>,
    wish: &LockWish,
) -> Result<(Vec<LfsLock>, Option<String>), Error> {
    let _step = Step::begin(Phase::Locks, forge.clock());
    let after = wish.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(parse_cursor).transpose()?;
    let size = PageSize::new(wish.limit.filter(|limit| *limit > 0).unwrap_or(MAX_PAGE).min(MAX_PAGE));
    let filter = LockFilter { path: wish.path.as_ref(), id: wish.id };
    let mut conn = forge.db().read().await?;
    let page = lfs_locks::list(&mut conn, grant.repository(), filter, after, size).await?;
    Ok((page.rows, page.next.map(|key| format!("{:x}-{:x}", key.locked_at, key.id.get()))))
}

fn parse_cursor(text: &str) -> Result<LockKey, Error> {
    let number = |digits: &str| i64::from_str_radix(digits, 16).ok().filter(|number| *number >= 0);
    let key = text
        .split_once('-')
        .and_then(|(at, id)| Some(LockKey { locked_at: number(at)?, id: LfsLockId::new(number(id)?) }));
    key.ok_or_else(|| Error::new(Kind::Invalid, "this cursor is from no answer of this server"))
}
