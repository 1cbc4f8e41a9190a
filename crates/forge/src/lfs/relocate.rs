//! Moving LFS objects, and the packs that lie beside them, from one store to another while both are read.
//!
//! Everything is copied that is live and not there yet, read back, and hashed: an object must have its oid, a part of a
//! pack must be what it was. What was copied before is left alone, so that whoever is stopped goes on. Nothing is deleted
//! where it was.

use aws_lc_rs::digest::{Context, SHA256};
use hakata_blob::{BlobError, BlobKey, Blobs, Checked, Mismatch, PackPart};
use hakata_names::{LfsObjectId, PackId};
use hakata_store::page::PageSize;
use hakata_store::{LfsObjectState, PackState, lfs_objects, packs};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::measure::{MOVED, MovedOutcome};
use crate::{Error, Forge, Kind};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relocated {
    /// Files that are copied now.
    pub(crate) n_copied: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Files that were there.
    pub(crate) n_there: u64,
    /// Files that are missing where they should be, or are others than they should be.
    pub(crate) n_bad: u64,
}

/// Copies everything, and tells how far it is after each file.
///
/// # Errors
/// [`Kind::Invalid`] if no store takes the place of another, and when database or stores fail.
pub(crate) async fn relocate(
    forge: &Forge,
    told: &mut (dyn FnMut(Relocated) + Send),
) -> Result<Relocated, Error> {
    let Blobs::Moving(both) = forge.repositories().blobs() else {
        return Err(Error::new(Kind::Invalid, "there is one store only, and nowhere to move to")
            .with_hint("name both in the configuration, and set storage.moving: see docs/storage.md"));
    };
    let way = Way { forge, from: both.from(), to: both.to() };
    let mut so_far = Relocated::default();
    let mut after = None::<LfsObjectId>;
    loop {
        let mut conn = forge.db().read().await?;
        let rows = lfs_objects::list_unchecked(&mut conn, i64::MAX, after, PageSize::default()).await?;
        drop(conn);
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in rows {
            let size_bytes = u64::try_from(row.size_bytes).unwrap_or(0);
            let wanted = Wanted { size_bytes, sha256: *row.oid.as_bytes() };
            way.copy(Promised::Object(row.id), BlobKey::lfs(row.id), Some(wanted), &mut so_far).await?;
            told(so_far);
        }
    }
    let mut after = None::<PackId>;
    loop {
        let rows = packs::list_stored(&mut forge.db().read().await?, after, PageSize::default()).await?;
        let Some(last) = rows.last() else { return Ok(so_far) };
        after = Some(last.id);
        for row in rows {
            // The index comes last, so that no half of a pack is taken for a whole.
            for part in PackPart::ALL {
                let promised = Promised::Pack(row.id, part);
                way.copy(promised, BlobKey::pack(row.id, part), None, &mut so_far).await?;
            }
            told(so_far);
        }
    }
}

/// From where to where.
struct Way<'a> {
    forge: &'a Forge,
    from: &'a Blobs,
    to: &'a Blobs,
}

/// What says that a file is there.
#[derive(Clone, Copy, Debug)]
enum Promised {
    Object(LfsObjectId),
    Pack(PackId, PackPart),
}

/// What a file must be.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    size_bytes: u64,
    sha256: [u8; 32],
}

impl Way<'_> {
    /// Copies a file unless it is there.
    async fn copy(
        &self,
        promised: Promised,
        key: BlobKey,
        wanted: Option<Wanted>,
        so_far: &mut Relocated,
    ) -> Result<(), Error> {
        let outcome = match self.try_copy(key, wanted).await {
            Ok(outcome) => outcome,
            Err(BlobError::Absent(_)) if !self.is_needed(promised).await? => MovedOutcome::There,
            Err(error) if is_wrong(&error) => {
                tracing::error!(%key, %error, "a file is not moved");
                MovedOutcome::Bad
            }
            Err(error) => return Err(Error::internal(error)),
        };
        let size_bytes = match outcome {
            MovedOutcome::Copied => self.to.stat(key).await.map_err(Error::internal)?.map(|at| at.size_bytes),
            MovedOutcome::There | MovedOutcome::Bad => None,
        };
        MOVED.get(outcome).inc();
        so_far.bytes += size_bytes.unwrap_or(0);
        *match outcome {
            MovedOutcome::Copied => &mut so_far.n_copied,
            MovedOutcome::There => &mut so_far.n_there,
            MovedOutcome::Bad => &mut so_far.n_bad,
        } += 1;
        Ok(())
    }

    async fn try_copy(&self, key: BlobKey, wanted: Option<Wanted>) -> Result<MovedOutcome, BlobError> {
        let there = self.to.stat(key).await?;
        let Some(source) = self.from.stat(key).await? else {
            return there.map(|_| MovedOutcome::There).ok_or(BlobError::Absent(key));
        };
        if there.is_some_and(|at| at.size_bytes == source.size_bytes) {
            return Ok(MovedOutcome::There);
        }
        let Wanted { size_bytes, sha256 } = match wanted {
            Some(wanted) => wanted,
            None => {
                let sha256 = hash(key, self.from.get(key, None).await?).await?;
                Wanted { size_bytes: source.size_bytes, sha256 }
            }
        };
        let reader = self.from.get(key, None).await?;
        self.to.put(key, Checked::new(reader, size_bytes, sha256)).await?;
        // What the store has kept, not what it was given.
        let kept = Checked::new(self.to.get(key, None).await?, size_bytes, sha256);
        if let Err(error) = hash(key, kept).await {
            self.to.delete(key).await?;
            return Err(error);
        }
        Ok(MovedOutcome::Copied)
    }

    /// Whether a row still promises a file. The index of a pack can be made again.
    async fn is_needed(&self, promised: Promised) -> Result<bool, Error> {
        let mut conn = self.forge.db().read().await?;
        Ok(match promised {
            Promised::Object(id) => {
                let found = lfs_objects::find(&mut conn, id).await?;
                found.is_some_and(|row| row.state == LfsObjectState::Live)
            }
            Promised::Pack(id, PackPart::Pack) => {
                packs::find(&mut conn, id).await?.is_some_and(|row| row.state == PackState::Live)
            }
            Promised::Pack(..) => false,
        })
    }
}

/// Reads to the end.
async fn hash(key: BlobKey, mut reader: impl AsyncRead + Unpin) -> Result<[u8; 32], BlobError> {
    let (mut digest, mut piece) = (Context::new(&SHA256), vec![0; PIECE]);
    loop {
        let n = reader.read(&mut piece).await;
        match n.map_err(|source| BlobError::Io { act: "reading", key, source })? {
            0 => break,
            n => digest.update(&piece[..n]),
        }
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.finish().as_ref());
    Ok(sha256)
}

/// Whether the file is at fault, and not the store.
fn is_wrong(error: &BlobError) -> bool {
    match error {
        BlobError::Absent(_) => true,
        BlobError::Io { source, .. } => Mismatch::find(source).is_some(),
        BlobError::Stopped { .. } => false,
    }
}
