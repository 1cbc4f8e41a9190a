//! LFS objects: the catalogue of their bytes, and which repositories have them.
//!
//! Their life is that of packs ([`packs`](crate::packs)): announced before the first byte is written, live once a
//! repository has them, dead when none does. Of each oid at most one is live, so that equal bytes are kept once.

mod check;
mod collect;
mod end;
mod usage;

use hakata_names::{LfsObjectId, LfsOid, RepositoryId, UserId};

pub use check::{BadObject, list_bad, list_unchecked, note_bad, note_good, replace_bad, unchecked};
pub use collect::{collect, list_quarantined, list_settled, quarantine, revive};
pub use end::{dead_before, delete_dead, give_up_staged, kill_unlinked, list_unlinked, staged_older_than};
pub use usage::{LfsUsage, usage_by_owner, usage_by_repository, usage_of};

use crate::StoreError;
use crate::conn::Conn;
use crate::row::Row;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};
use crate::words::LfsObjectState;

/// An LFS object to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewLfsObject<'a> {
    /// From the allocator; also the key of its bytes.
    pub id: LfsObjectId,
    /// What its client says that the bytes hash to.
    pub oid: LfsOid,
    /// What its client says that their length is.
    pub size_bytes: i64,
    /// Which node writes it.
    pub node: &'a str,
    /// Now, in ms.
    pub created_at: i64,
}

/// An LFS object as its row tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LfsObject {
    /// Its id; also the key of its bytes.
    pub id: LfsObjectId,
    /// Its name.
    pub oid: LfsOid,
    /// Its length.
    pub size_bytes: i64,
    /// Where it is in its life.
    pub state: LfsObjectState,
    /// When it was staged, in ms.
    pub created_at: i64,
    /// Whether its bytes are known to be others, or gone.
    pub is_bad: bool,
}

/// An LFS object of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Its id; also the key of its bytes.
    pub id: LfsObjectId,
    /// Its name.
    pub oid: LfsOid,
    /// Its length.
    pub size_bytes: i64,
    /// When a client was last told that it is there, in ms.
    pub promised_at: i64,
    /// Since when no commit is known to point to it, in ms; whoever asks for it takes it out of quarantine.
    pub quarantined_at: Option<i64>,
    /// Whether its bytes are known to be others, or gone: it is to be sent again.
    pub is_bad: bool,
}

/// The columns of [`read`].
macro_rules! object {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT o.id, o.oid, o.size_bytes, o.state, o.created_at, o.bad_at FROM lfs_object o ",
            $tail
        ))
    };
}
use object;

fn read(row: &Row) -> Result<LfsObject, StoreError> {
    Ok(LfsObject {
        id: row.id(0)?,
        oid: row.lfs_oid(1)?,
        size_bytes: row.int(2)?,
        state: row.parsed(3, LfsObjectState::parse)?,
        created_at: row.int(4)?,
        is_bad: row.opt_int(5)?.is_some(),
    })
}

/// Announces an object before its first byte is written, in a short transaction of its own.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert_staged(conn: &mut Conn, new: &NewLfsObject<'_>) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(
        "INSERT INTO lfs_object (id, oid, live_oid, size_bytes, state, node, created_at, checked_at) \
         VALUES (?, ?, NULL, ?, 'staged', ?, ?, ?)"
    );
    // What is taken into use was hashed on its way.
    let values = values![new.id, &new.oid, new.size_bytes, new.node, new.created_at, new.created_at];
    conn.execute(&INSERT, values).await.map(drop)
}

/// Finds an object by its id, wherever it is in its life.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: LfsObjectId) -> Result<Option<LfsObject>, StoreError> {
    const FIND: Sql = object!("WHERE o.id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Finds the live object of an oid, be it bad or not.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_live(conn: &mut Conn, oid: &LfsOid) -> Result<Option<LfsObject>, StoreError> {
    const FIND: Sql = object!("WHERE o.live_oid = ?");
    conn.find(&FIND, values![oid], read).await
}

/// Finds the live object of an oid and locks its row, so that no collector takes it before it is linked.
///
/// # Errors
/// Any [`StoreError`].
pub async fn lock_live(conn: &mut Conn, oid: &LfsOid) -> Result<Option<LfsObject>, StoreError> {
    const LOCK: Sql = sql!("UPDATE lfs_object SET state = 'live' WHERE live_oid = ?");
    if !conn.execute_one(&LOCK, values![oid]).await? {
        return Ok(None);
    }
    find_live(conn, oid).await
}

/// Finds the live objects of these oids and locks their rows, as [`lock_live`] does.
///
/// # Errors
/// Any [`StoreError`].
pub async fn lock_all_live(conn: &mut Conn, oids: &[LfsOid]) -> Result<Vec<LfsObject>, StoreError> {
    const LOCK: ManySql = ManySql {
        head: "UPDATE lfs_object SET state = 'live' WHERE live_oid IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    const FIND: ManySql = ManySql {
        head: "SELECT o.id, o.oid, o.size_bytes, o.state, o.created_at, o.bad_at FROM lfs_object o \
               WHERE o.live_oid IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let mut found = Vec::new();
    for oids in chunks(oids) {
        let values: Vec<Value<'_>> = oids.iter().map(Value::from).collect();
        if conn.execute_many(&LOCK, oids.len(), &values).await? > 0 {
            found.extend(conn.list_many(&FIND, oids.len(), &values, read).await?);
        }
    }
    Ok(found)
}

/// Gives objects, whose rows and whose repository's row are locked, to a repository that has none of them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn link_all(
    conn: &mut Conn,
    repository: RepositoryId,
    objects: &[LfsObjectId],
    now: i64,
) -> Result<(), StoreError> {
    const LINK: ManySql = ManySql {
        head: "INSERT INTO repository_lfs_object (repository_id, object_id, linked_at, promised_at) VALUES ",
        row: "(?, ?, ?, ?)",
        between: ", ",
        tail: "",
        again: None,
    };
    for objects in chunks(objects) {
        let row = |id: &LfsObjectId| [Value::from(repository), Value::from(*id), now.into(), now.into()];
        let values: Vec<Value<'_>> = objects.iter().flat_map(row).collect();
        conn.execute_many(&LINK, objects.len(), &values).await?;
    }
    Ok(())
}

/// Turns a staged object live; false when the sweeper was faster. When another object of this oid became live at the
/// same time, the transaction is [`Contended`](StoreError::Contended) and its repetition sees that one.
///
/// # Errors
/// Any [`StoreError`].
pub async fn make_live(conn: &mut Conn, id: LfsObjectId) -> Result<bool, StoreError> {
    const LIVE: Sql =
        sql!("UPDATE lfs_object SET state = 'live', live_oid = oid WHERE id = ? AND state = 'staged'");
    conn.execute_one(&LIVE, values![id]).await
}

/// Gives an object, whose row is locked, to a repository; false when it had it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn link(
    conn: &mut Conn,
    repository: RepositoryId,
    object: LfsObjectId,
    now: i64,
) -> Result<bool, StoreError> {
    const LINK: Sql = sql!(insert_absent
        "INSERT INTO repository_lfs_object (repository_id, object_id, linked_at, promised_at) VALUES (?, ?, ?, ?)");
    conn.insert_absent(&LINK, values![repository, object, now, now]).await
}

/// Takes an object away from a repository; its bytes stay until nobody has it and its time has come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn unlink(
    conn: &mut Conn,
    repository: RepositoryId,
    object: LfsObjectId,
) -> Result<bool, StoreError> {
    const UNLINK: Sql = sql!("DELETE FROM repository_lfs_object WHERE repository_id = ? AND object_id = ?");
    conn.execute_one(&UNLINK, values![repository, object]).await
}

/// Gives every object of one repository to another, and returns their sizes together: a fork. What a collector took
/// meanwhile is left out.
///
/// # Errors
/// Any [`StoreError`].
pub async fn share_all(
    conn: &mut Conn,
    from: RepositoryId,
    to: RepositoryId,
    now: i64,
) -> Result<i64, StoreError> {
    const LOCK: Sql = sql!(
        "UPDATE lfs_object SET state = 'live' WHERE state = 'live' AND id IN \
         (SELECT object_id FROM repository_lfs_object WHERE repository_id = ?)"
    );
    const SHARE: Sql = sql!(
        "INSERT INTO repository_lfs_object (repository_id, object_id, linked_at, promised_at) \
         SELECT ?, l.object_id, ?, ? FROM repository_lfs_object l JOIN lfs_object o ON o.id = l.object_id \
         WHERE l.repository_id = ? AND o.state = 'live'"
    );
    if conn.execute(&LOCK, values![from]).await? == 0 {
        return Ok(0);
    }
    conn.execute(&SHARE, values![to, now, now, from]).await?;
    Ok(usage_of(conn, to).await?.bytes)
}

/// Finds which of these objects a repository has.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find_linked(
    conn: &mut Conn,
    repository: RepositoryId,
    oids: &[LfsOid],
) -> Result<Vec<Linked>, StoreError> {
    const FIND: ManySql = ManySql {
        head: "SELECT o.id, o.oid, o.size_bytes, l.promised_at, l.quarantined_at, o.bad_at FROM lfs_object o \
               JOIN repository_lfs_object l ON l.object_id = o.id \
               WHERE l.repository_id = ? AND o.live_oid IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    let mut found = Vec::new();
    for oids in chunks(oids) {
        let mut values = vec![Value::from(repository)];
        values.extend(oids.iter().map(Value::from));
        found.extend(conn.list_many(&FIND, oids.len(), &values, read_linked).await?);
    }
    Ok(found)
}

fn read_linked(row: &Row) -> Result<Linked, StoreError> {
    Ok(Linked {
        id: row.id(0)?,
        oid: row.lfs_oid(1)?,
        size_bytes: row.int(2)?,
        promised_at: row.int(3)?,
        quarantined_at: row.opt_int(4)?,
        is_bad: row.opt_int(5)?.is_some(),
    })
}

/// An object of a repository that a user may perhaps read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The object's name.
    pub oid: LfsOid,
    /// Its length.
    pub size_bytes: i64,
    /// A repository that has it.
    pub repository: RepositoryId,
}

/// Lists repositories that have one of these objects and are public or have something to do with a user: policy decides
/// which of them the user may read.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_candidates(
    conn: &mut Conn,
    user: UserId,
    oids: &[LfsOid],
) -> Result<Vec<Candidate>, StoreError> {
    const LIST: ManySql = ManySql {
        head: "SELECT o.oid, o.size_bytes, r.id FROM lfs_object o \
               JOIN repository_lfs_object l ON l.object_id = o.id JOIN repository r ON r.id = l.repository_id \
               WHERE r.state IN ('active', 'archived') AND (r.visibility = 'public' OR r.owner_id = ? \
               OR EXISTS (SELECT 1 FROM repository_collaborator c WHERE c.repository_id = r.id AND c.user_id = ?) \
               OR EXISTS (SELECT 1 FROM group_member m WHERE m.group_id = r.owner_id AND m.user_id = ?)) \
               AND o.bad_at IS NULL AND o.live_oid IN (",
        row: "?",
        between: ", ",
        tail: ") ORDER BY r.id LIMIT 1000",
        again: None,
    };
    let mut found = Vec::new();
    for oids in chunks(oids) {
        let mut values = vec![Value::from(user); 3];
        values.extend(oids.iter().map(Value::from));
        let read = |row: &Row| {
            let oid = row.lfs_oid(0)?;
            Ok(Candidate { oid, size_bytes: row.int(1)?, repository: row.id(2)? })
        };
        found.extend(conn.list_many(&LIST, oids.len(), &values, read).await?);
    }
    Ok(found)
}

/// Lists repositories that have an object, the newest link first, at most `limit`: for whoever looks after
/// it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_repositories(
    conn: &mut Conn,
    object: LfsObjectId,
    limit: i64,
) -> Result<Vec<RepositoryId>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT repository_id FROM repository_lfs_object WHERE object_id = ? ORDER BY linked_at DESC LIMIT ?"
    );
    conn.list(&LIST, values![object, limit], |row| row.id(0)).await
}

/// Notes that a client was told that a repository has these objects, so that none of them is collected soon, and takes
/// them out of quarantine. One that was collected already is not noted: who promises looks again afterwards.
///
/// # Errors
/// Any [`StoreError`].
pub async fn promise(
    conn: &mut Conn,
    repository: RepositoryId,
    objects: &[LfsObjectId],
    now: i64,
) -> Result<(), StoreError> {
    const PROMISE: ManySql = ManySql {
        head: "UPDATE repository_lfs_object SET promised_at = ?, quarantined_at = NULL \
               WHERE repository_id = ? AND object_id IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    for objects in chunks(objects) {
        let mut values = vec![Value::from(now), Value::from(repository)];
        values.extend(objects.iter().map(|id| Value::from(*id)));
        conn.execute_many(&PROMISE, objects.len(), &values).await?;
    }
    Ok(())
}
