//! LFS uploads that go over several requests, and perhaps over several processes: how far each is, and who writes it.
//!
//! The bytes are parts of the staged object's blob. A part is synced before its row counts it, so that the offset of a
//! row is always there.

use hakata_names::{LfsObjectId, LfsOid, RepositoryId};

use crate::StoreError;
use crate::conn::Conn;
use crate::page::PageSize;
use crate::row::Row;
use crate::sql::{Sql, sql};
use crate::value::values;

/// Whose upload of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadKey {
    /// Where the object is sent to.
    pub repository: RepositoryId,
    /// Its name.
    pub oid: LfsOid,
    /// Who sends it: nobody goes on with what another has begun. Up to 40 bytes.
    pub uploader: String,
}

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LfsUpload {
    /// Whose it is, and of what.
    pub key: UploadKey,
    /// The staged object; also the key of its bytes.
    pub object: LfsObjectId,
    /// What the store of blobs calls it.
    pub upload: String,
    /// The length of the object.
    pub size_bytes: i64,
    /// The length of each part but the last.
    pub part_bytes: i64,
    /// How many bytes are kept.
    pub offset_bytes: i64,
    /// The state of the hash over them.
    pub digest: Vec<u8>,
    /// Whether a writer was replaced that did not say that it had ended: what it wrote late may lie among the bytes.
    pub is_contested: bool,
    /// When it was begun, in ms.
    pub created_at: i64,
    /// Which node writes it, and until when nobody else may, in ms.
    pub written_by: Option<(String, i64)>,
}

impl LfsUpload {
    /// Tells whether another node than this one writes it.
    pub fn is_written_elsewhere(&self, node: &str, now: i64) -> bool {
        self.written_by.as_ref().is_some_and(|(by, until)| by != node && *until > now)
    }
}

/// Who writes now, and for how long nobody else may.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// A name of its own for each request.
    pub name: &'a str,
    /// The node that it runs on.
    pub node: &'a str,
    /// Until when, in ms; whoever writes prolongs it.
    pub until: i64,
}

/// The columns of [`read`].
macro_rules! upload {
    ($tail:literal) => {
        sql!(concat!(
            "SELECT repository_id, oid, uploader, object_id, upload, size_bytes, part_bytes, offset_bytes, digest, \
             is_contested, created_at, writer, node, writer_until FROM lfs_upload ",
            $tail
        ))
    };
}

fn read(row: &Row) -> Result<LfsUpload, StoreError> {
    let key = UploadKey { repository: row.id(0)?, oid: row.lfs_oid(1)?, uploader: row.text(2)? };
    let written_by = match row.opt_text(11)? {
        Some(_) => Some((row.text(12)?, row.int(13)?)),
        None => None,
    };
    Ok(LfsUpload {
        key,
        object: row.id(3)?,
        upload: row.text(4)?,
        size_bytes: row.int(5)?,
        part_bytes: row.int(6)?,
        offset_bytes: row.int(7)?,
        digest: row.bytes(8)?.to_vec(),
        is_contested: row.flag(9)?,
        created_at: row.int(10)?,
        written_by,
    })
}

/// Keeps an upload that was just begun; false if there is one of this key already.
///
/// # Errors
/// Any [`StoreError`].
pub async fn insert(conn: &mut Conn, new: &LfsUpload) -> Result<bool, StoreError> {
    const INSERT: Sql = sql!(insert_absent
        "INSERT INTO lfs_upload (repository_id, oid, uploader, object_id, upload, size_bytes, part_bytes, offset_bytes, \
         digest, writer, node, writer_until, is_contested, created_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, '', 0, 0, ?)");
    let UploadKey { repository, oid, uploader } = &new.key;
    let values = values![
        *repository,
        oid,
        uploader,
        new.object,
        &new.upload,
        new.size_bytes,
        new.part_bytes,
        new.offset_bytes,
        &new.digest[..],
        new.created_at
    ];
    conn.insert_absent(&INSERT, values).await
}

/// Finds an upload.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(conn: &mut Conn, key: &UploadKey) -> Result<Option<LfsUpload>, StoreError> {
    const FIND: Sql = upload!("WHERE repository_id = ? AND oid = ? AND uploader = ?");
    conn.find(&FIND, values![key.repository, &key.oid, &key.uploader], read).await
}

/// Makes somebody the writer of an upload: if it has none, if its writer's time is over, or if that was on the same
/// node, which lets one in at a time. False if another node writes it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn claim(
    conn: &mut Conn,
    key: &UploadKey,
    object: LfsObjectId,
    writer: Writer<'_>,
    now: i64,
) -> Result<bool, StoreError> {
    const CLAIM: Sql = sql!(
        "UPDATE lfs_upload SET is_contested = CASE WHEN writer IS NULL OR node = ? THEN is_contested ELSE 1 END, \
         writer = ?, node = ?, writer_until = ? \
         WHERE repository_id = ? AND oid = ? AND uploader = ? AND object_id = ? \
         AND (writer IS NULL OR node = ? OR writer_until <= ?)"
    );
    let Writer { name, node, until } = writer;
    let values = values![node, name, node, until, key.repository, &key.oid, &key.uploader, object, node, now];
    conn.execute_one(&CLAIM, values).await
}

/// Counts bytes that its writer has kept, and prolongs its time; false if it is not the writer any more, or the upload is
/// gone.
///
/// # Errors
/// Any [`StoreError`].
pub async fn advance(
    conn: &mut Conn,
    key: &UploadKey,
    writer: Writer<'_>,
    from: i64,
    (offset_bytes, digest): (i64, &[u8]),
) -> Result<bool, StoreError> {
    const ADVANCE: Sql = sql!(
        "UPDATE lfs_upload SET offset_bytes = ?, digest = ?, writer_until = ? WHERE repository_id = ? AND oid = ? \
         AND uploader = ? AND writer = ? AND offset_bytes = ?"
    );
    let values = values![
        offset_bytes,
        digest,
        writer.until,
        key.repository,
        &key.oid,
        &key.uploader,
        writer.name,
        from
    ];
    conn.execute_one(&ADVANCE, values).await
}

/// Says that a writer has ended.
///
/// # Errors
/// Any [`StoreError`].
pub async fn release(conn: &mut Conn, key: &UploadKey, writer: &str) -> Result<bool, StoreError> {
    const RELEASE: Sql = sql!(
        "UPDATE lfs_upload SET writer = NULL WHERE repository_id = ? AND oid = ? AND uploader = ? AND writer = ?"
    );
    conn.execute_one(&RELEASE, values![key.repository, &key.oid, &key.uploader, writer]).await
}

/// Forgets an upload: it is completed, or its bytes are taken back.
///
/// # Errors
/// Any [`StoreError`].
pub async fn delete(conn: &mut Conn, key: &UploadKey, object: LfsObjectId) -> Result<bool, StoreError> {
    const DELETE: Sql =
        sql!("DELETE FROM lfs_upload WHERE repository_id = ? AND oid = ? AND uploader = ? AND object_id = ?");
    conn.execute_one(&DELETE, values![key.repository, &key.oid, &key.uploader, object]).await
}

/// Lists uploads begun before a time, oldest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn older_than(
    conn: &mut Conn,
    before_ms: i64,
    size: PageSize,
) -> Result<Vec<LfsUpload>, StoreError> {
    const LIST: Sql = upload!("WHERE created_at < ? ORDER BY created_at, oid LIMIT ?");
    conn.list(&LIST, values![before_ms, size.limit()], read).await
}
