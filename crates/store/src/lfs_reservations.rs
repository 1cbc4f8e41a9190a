//! Room within quotas that was promised to uploads, until they end or do not come.

use hakata_names::{LfsOid, RepositoryId};

use crate::StoreError;
use crate::conn::Conn;
use crate::repositories::{Full, QuotaOf, lock};
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};

/// An upload that is to come.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Its name.
    pub oid: LfsOid,
    /// Its length.
    pub size_bytes: i64,
}

/// What may be used, is used and is promised, of one quota.
#[derive(Clone, Copy, Debug)]
struct Room {
    of: QuotaOf,
    limit: i64,
    used: i64,
}

impl Room {
    fn is_enough_for(self, bytes: i64) -> bool {
        self.used.saturating_add(bytes) <= self.limit
    }
}

/// A sum as a plain integer.
macro_rules! sum {
    ($tail:literal) => {
        sql!(
            sqlite: concat!("SELECT COALESCE(SUM(v.size_bytes), 0) FROM ", $tail),
            postgres: concat!("SELECT CAST(COALESCE(SUM(v.size_bytes), 0) AS BIGINT) FROM ", $tail),
            mysql: concat!("SELECT CAST(COALESCE(SUM(v.size_bytes), 0) AS SIGNED) FROM ", $tail)
        )
    };
}

/// Promises room in a repository to each of these uploads in turn, as far as its quota and that of its owner go; for
/// those without room the answer names the quota in the way. What is promised already to the same oid is not counted
/// twice. A repository without a quota has `default_bytes`, an owner without one is unbounded.
///
/// Run it in a transaction: the repository's row is locked, so that those who ask at the same time are answered one
/// after the other. Reservations of other repositories of the owner are believed as they are then.
///
/// # Errors
/// Any [`StoreError`].
pub async fn reserve(
    conn: &mut Conn,
    repository: RepositoryId,
    wanted: &[Wanted],
    default_bytes: i64,
    (now, expires_at): (i64, i64),
) -> Result<Vec<Result<(), Full>>, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM lfs_reservation WHERE repository_id = ? AND oid = ?");
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO lfs_reservation (repository_id, oid, size_bytes, expires_at) VALUES (?, ?, ?, ?)");
    if !lock(conn, repository).await? {
        return Err(StoreError::Unlocked { table: "repository" });
    }
    for upload in wanted {
        conn.execute(&DELETE, values![repository, &upload.oid]).await?;
    }
    let mut rooms = rooms(conn, repository, default_bytes, now).await?;
    let mut answers = Vec::with_capacity(wanted.len());
    for upload in wanted {
        let bytes = upload.size_bytes;
        if let Some(room) = rooms.iter().find(|room| !room.is_enough_for(bytes)) {
            answers.push(Err(Full { of: room.of, limit_bytes: room.limit, used_bytes: room.used }));
            continue;
        }
        conn.insert_absent(&INSERT, values![repository, &upload.oid, bytes, expires_at]).await?;
        rooms.iter_mut().for_each(|room| room.used = room.used.saturating_add(bytes));
        answers.push(Ok(()));
    }
    Ok(answers)
}

async fn rooms(
    conn: &mut Conn,
    repository: RepositoryId,
    default_bytes: i64,
    now: i64,
) -> Result<Vec<Room>, StoreError> {
    const READ: Sql = sql!(
        "SELECT r.quota_bytes, r.size_bytes, o.id, o.quota_bytes, o.size_bytes FROM repository r \
         JOIN owner o ON o.id = r.owner_id WHERE r.id = ?"
    );
    const OF_REPOSITORY: Sql = sum!("lfs_reservation v WHERE v.repository_id = ? AND v.expires_at > ?");
    const OF_OWNER: Sql = sum!(
        "lfs_reservation v JOIN repository r ON r.id = v.repository_id WHERE r.owner_id = ? AND v.expires_at > ?"
    );
    let row = conn
        .find(&READ, values![repository], |row| {
            let own = (row.opt_int(0)?, row.int(1)?);
            Ok((own, row.int(2)?, (row.opt_int(3)?, row.int(4)?)))
        })
        .await?;
    let (own, owner, owners) = row.ok_or(StoreError::Unlocked { table: "repository" })?;
    let promised = conn.find(&OF_REPOSITORY, values![repository, now], |row| row.int(0)).await?.unwrap_or(0);
    let limit = own.0.unwrap_or(default_bytes);
    let mut rooms = vec![Room { of: QuotaOf::Repository, limit, used: own.1.saturating_add(promised) }];
    if let (Some(limit), used) = owners {
        let promised = conn.find(&OF_OWNER, values![owner, now], |row| row.int(0)).await?.unwrap_or(0);
        rooms.push(Room { of: QuotaOf::Owner, limit, used: used.saturating_add(promised) });
    }
    Ok(rooms)
}

/// Takes a promise back: the upload has ended, well or not.
///
/// # Errors
/// Any [`StoreError`].
pub async fn release(conn: &mut Conn, repository: RepositoryId, oid: &LfsOid) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM lfs_reservation WHERE repository_id = ? AND oid = ?");
    conn.execute_one(&DELETE, values![repository, oid]).await
}

/// Prolongs a promise while its upload lasts; false if it is not there any more.
///
/// # Errors
/// Any [`StoreError`].
pub async fn renew(
    conn: &mut Conn,
    repository: RepositoryId,
    oid: &LfsOid,
    expires_at: i64,
) -> Result<bool, StoreError> {
    const RENEW: Sql = sql!("UPDATE lfs_reservation SET expires_at = ? WHERE repository_id = ? AND oid = ?");
    conn.execute_one(&RENEW, values![expires_at, repository, oid]).await
}

/// Takes promises back: their uploads will not come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn release_all(
    conn: &mut Conn,
    repository: RepositoryId,
    oids: &[LfsOid],
) -> Result<(), StoreError> {
    const DELETE: ManySql = ManySql {
        head: "DELETE FROM lfs_reservation WHERE repository_id = ? AND oid IN (",
        row: "?",
        between: ", ",
        tail: ")",
        again: None,
    };
    for oids in chunks(oids) {
        let mut values = vec![Value::from(repository)];
        values.extend(oids.iter().map(Value::from));
        conn.execute_many(&DELETE, oids.len(), &values).await?;
    }
    Ok(())
}

/// Forgets promises whose uploads did not come in time; they count no more from that time on, deleted or not.
///
/// # Errors
/// Any [`StoreError`].
pub async fn prune(conn: &mut Conn, now: i64) -> Result<u64, StoreError> {
    const PRUNE: Sql = sql!("DELETE FROM lfs_reservation WHERE expires_at <= ?");
    conn.execute(&PRUNE, values![now]).await
}
