//! Packs: the catalogue of immutable blobs, and which repositories they make up.

mod give_up;

use hakata_names::{PackId, RepositoryId};

pub use give_up::give_up_staged;

use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;
use crate::words::PackState;

/// A pack to be written.
#[derive(Clone, Debug)]
pub struct NewPack<'a> {
    /// From the allocator; also the key of its bytes.
    pub id: PackId,
    /// Which node writes it.
    pub node: &'a str,
    /// Git's trailer of the pack.
    pub checksum: &'a [u8],
    /// Its size.
    pub size_bytes: i64,
    /// How many objects it has.
    pub n_objects: i64,
    /// Where it comes from: `push`, `import`, …
    pub kind: &'a str,
    /// The pack itself, if it is small enough to live in the row.
    pub inline: Option<&'a [u8]>,
    /// Now, in ms.
    pub created_at: i64,
}

/// A pack as its row tells it, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Its id; also the key of its bytes.
    pub id: PackId,
    /// Where it is in its life.
    pub state: PackState,
    /// Which node wrote it.
    pub node: String,
    /// Git's trailer of the pack.
    pub checksum: Vec<u8>,
    /// Its size.
    pub size_bytes: i64,
    /// How many objects it has.
    pub n_objects: i64,
    /// Where it comes from.
    pub kind: String,
    /// Whether its bytes are in the row ([`get_inline`]) and not in the blob store.
    pub is_inline: bool,
    /// When it was staged, in ms.
    pub created_at: i64,
    /// When a dead pack may lose its bytes, in ms.
    pub delete_after: Option<i64>,
}

/// The columns of [`read`].
macro_rules! pack {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT p.id, p.state, p.node, p.checksum, p.size_bytes, p.n_objects, p.kind, ",
            "CASE WHEN p.inline_bytes IS NULL THEN 0 ELSE 1 END, p.created_at, p.delete_after FROM pack p ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<Pack, StoreError> {
    Ok(Pack {
        id: row.id(0)?,
        state: row.parsed(1, PackState::parse)?,
        node: row.text(2)?,
        checksum: row.bytes(3)?.to_vec(),
        size_bytes: row.int(4)?,
        n_objects: row.int(5)?,
        kind: row.text(6)?,
        is_inline: row.flag(7)?,
        created_at: row.int(8)?,
        delete_after: row.opt_int(9)?,
    })
}

/// Announces a pack before its first byte is written, in a short transaction of its own ([`Db::write`](crate::Db)).
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert_staged(conn: &mut Conn, new: &NewPack<'_>) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(
        "INSERT INTO pack (id, state, node, checksum, size_bytes, n_objects, kind, inline_bytes, created_at) \
         VALUES (?, 'staged', ?, ?, ?, ?, ?, ?, ?)"
    );
    let values = values![
        new.id,
        new.node,
        new.checksum,
        new.size_bytes,
        new.n_objects,
        new.kind,
        new.inline,
        new.created_at,
    ];
    conn.execute(&INSERT, values).await.map(drop)
}

/// Turns a staged pack live and links it to a repository; step 2 of a commit. False when the sweeper was faster:
/// then the commit must fail.
///
/// # Errors
/// Any [`StoreError`].
pub async fn make_live(
    conn: &mut Conn,
    pack: PackId,
    repository: RepositoryId,
    version: i64,
) -> Result<bool, StoreError> {
    const LIVE: Sql = sql!("UPDATE pack SET state = 'live' WHERE id = ? AND state = 'staged'");
    if !conn.execute_one(&LIVE, values![pack]).await? {
        return Ok(false);
    }
    insert_link(conn, pack, repository, version).await
}

/// Links a live pack to one more repository (a fork); false when the pack is not live. Locks the pack's row, so a
/// collector cannot take it meanwhile.
///
/// # Errors
/// Any [`StoreError`].
pub async fn share(
    conn: &mut Conn,
    pack: PackId,
    repository: RepositoryId,
    version: i64,
) -> Result<bool, StoreError> {
    const LOCK: Sql = sql!("UPDATE pack SET state = 'live' WHERE id = ? AND state = 'live'");
    if !conn.execute_one(&LOCK, values![pack]).await? {
        return Ok(false);
    }
    insert_link(conn, pack, repository, version).await
}

async fn insert_link(
    conn: &mut Conn,
    pack: PackId,
    repository: RepositoryId,
    version: i64,
) -> Result<bool, StoreError> {
    const LINK: Sql =
        sql!(insert_absent "INSERT INTO repository_pack (repository_id, pack_id, version) VALUES (?, ?, ?)");
    conn.insert_absent(&LINK, values![repository, pack, version]).await
}

/// Takes a pack away from a repository; its bytes stay until nobody uses it and its time has come.
///
/// # Errors
/// Any [`StoreError`].
pub async fn unlink(conn: &mut Conn, pack: PackId, repository: RepositoryId) -> Result<bool, StoreError> {
    const UNLINK: Sql = sql!("DELETE FROM repository_pack WHERE repository_id = ? AND pack_id = ?");
    conn.execute_one(&UNLINK, values![repository, pack]).await
}

/// Lists the packs of a repository, oldest link first; a cache is made of them.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<Pack>, StoreError> {
    const LIST: Sql = pack!(
        "JOIN repository_pack rp ON rp.pack_id = p.id WHERE rp.repository_id = ? ORDER BY rp.version, p.id"
    );
    conn.list(&LIST, values![repository], read).await
}

/// Lists the packs that came to a repository with one version.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_of_version(
    conn: &mut Conn,
    repository: RepositoryId,
    version: i64,
) -> Result<Vec<Pack>, StoreError> {
    const LIST: Sql = pack!(
        "JOIN repository_pack rp ON rp.pack_id = p.id WHERE rp.repository_id = ? AND rp.version = ? ORDER BY p.id"
    );
    conn.list(&LIST, values![repository, version], read).await
}

/// Finds a pack by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, id: PackId) -> Result<Option<Pack>, StoreError> {
    const FIND: Sql = pack!("WHERE p.id = ?");
    conn.find(&FIND, values![id], read).await
}

/// Reads the bytes of a pack that lives in its row.
///
/// # Errors
/// Any [`StoreError`].
pub async fn get_inline(conn: &mut Conn, id: PackId) -> Result<Option<Vec<u8>>, StoreError> {
    const GET: Sql = sql!("SELECT inline_bytes FROM pack WHERE id = ?");
    let found = conn.find(&GET, values![id], |row| Ok(row.opt_bytes(0)?.map(<[u8]>::to_vec))).await?;
    Ok(found.flatten())
}

/// Lists live packs whose bytes are in the blob store, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_stored(
    conn: &mut Conn,
    after: Option<PackId>,
    size: PageSize,
) -> Result<Vec<Pack>, StoreError> {
    const LIST: Sql =
        pack!("WHERE p.state = 'live' AND p.inline_bytes IS NULL AND p.id > ? ORDER BY p.id LIMIT ?");
    conn.list(&LIST, values![after.map_or(0, PackId::get), size.limit()], read).await
}

/// Lists packs staged before a time, oldest first: pushes that never came to their commit.
///
/// # Errors
/// Any [`StoreError`].
pub async fn staged_older_than(
    conn: &mut Conn,
    before_ms: i64,
    size: PageSize,
) -> Result<Vec<Pack>, StoreError> {
    const LIST: Sql =
        pack!("WHERE p.state = 'staged' AND p.created_at < ? ORDER BY p.created_at, p.id LIMIT ?");
    conn.list(&LIST, values![before_ms, size.limit()], read).await
}

/// Deletes the row of a pack that is still staged; only then may its bytes go. False: a commit was faster.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_staged(conn: &mut Conn, id: PackId) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM pack WHERE id = ? AND state = 'staged'");
    conn.execute_one(&DELETE, values![id]).await
}

/// Lists live packs that no repository uses, in the order of ids.
///
/// # Errors
/// Any [`StoreError`].
pub async fn list_unlinked(
    conn: &mut Conn,
    after: Option<PackId>,
    size: PageSize,
) -> Result<Vec<Pack>, StoreError> {
    const LIST: Sql = pack!(
        "WHERE p.state = 'live' AND p.id > ? AND NOT EXISTS (SELECT 1 FROM repository_pack rp WHERE rp.pack_id = p.id) \
         ORDER BY p.id LIMIT ?"
    );
    conn.list(&LIST, values![after.map_or(0, PackId::get), size.limit()], read).await
}

/// Declares a live pack that no repository uses dead; false when one does. Its bytes may go after `delete_after`,
/// which must be later than the longest clone lasts.
///
/// Run it in a transaction: the lock on the pack's row, which a fork takes too, comes before the question.
///
/// # Errors
/// Any [`StoreError`].
pub async fn kill_unlinked(conn: &mut Conn, id: PackId, delete_after: i64) -> Result<bool, StoreError> {
    const LOCK: Sql = sql!("UPDATE pack SET delete_after = delete_after WHERE id = ? AND state = 'live'");
    const KILL: Sql = sql!(
        "UPDATE pack SET state = 'dead', delete_after = ? WHERE id = ? AND state = 'live' \
         AND NOT EXISTS (SELECT 1 FROM repository_pack rp WHERE rp.pack_id = pack.id)"
    );
    Ok(conn.execute_one(&LOCK, values![id]).await?
        && conn.execute_one(&KILL, values![delete_after, id]).await?)
}

/// Lists dead packs whose time has come, by id.
///
/// # Errors
/// Any [`StoreError`].
pub async fn dead_before(
    conn: &mut Conn,
    now: i64,
    after: Option<PackId>,
    size: PageSize,
) -> Result<Vec<Pack>, StoreError> {
    const LIST: Sql =
        pack!("WHERE p.state = 'dead' AND p.delete_after <= ? AND p.id > ? ORDER BY p.id LIMIT ?");
    let after = after.map_or(0, PackId::get);
    conn.list(&LIST, values![now, after, size.limit()], read).await
}

/// Deletes the row of a dead pack whose time has come; only then may its bytes go.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete_dead(conn: &mut Conn, id: PackId, now: i64) -> Result<bool, StoreError> {
    const DELETE: Sql = sql!("DELETE FROM pack WHERE id = ? AND state = 'dead' AND delete_after <= ?");
    conn.execute_one(&DELETE, values![id, now]).await
}
