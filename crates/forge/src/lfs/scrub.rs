//! Scrubbing: bytes that are kept are read again now and then, and hashed.
//!
//! An object whose bytes are others, or gone, is bad: it is not given out any more, a batch asks the next client that has
//! it to send it, and what comes takes its place in every repository that has it. One that is right again, as after a disk
//! was away, is good again. What merely cannot be read now is left as it was.

use std::time::Duration;

use hakata_blob::{BlobError, BlobKey, Checked, Mismatch};
use hakata_names::{JobId, LfsObjectId};
use hakata_runtime::units::ByteSize;
use hakata_store::jobs::{self, NewJob};
use hakata_store::lfs_objects::{self, LfsObject};
use hakata_store::page::PageSize;
use tokio::io::AsyncReadExt;

use super::measure::{SCRUBBED, SCRUBBED_BYTES, ScrubOutcome};
use super::sweep::millis;
use crate::{Error, Forge};

/// The kind of the job that scrubs; there is one at a time.
const KIND: &str = "lfs_scrub";

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// What the system says of a disk that cannot read a place. Source: errno(3).
const EIO: i32 = 5;

/// Which objects to read, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Only those that were not read since this time, in ms.
    pub(crate) before: i64,
    /// Bytes in a second.
    pub(crate) rate: ByteSize,
}

/// How far a scrub is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scrubbed {
    /// Objects that were read.
    pub(crate) n_objects: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Of them, those that are bad.
    pub(crate) n_bad: u64,
    /// Those that were bad and are good again.
    pub(crate) n_healed: u64,
    /// Those that could not be read.
    pub(crate) n_unreadable: u64,
}

/// Keeps reading at a pace.
#[derive(Debug)]
struct Pace {
    rate: u64,
    n_bytes: u64,
}

impl Pace {
    /// Tells how long to pause, so long after the first byte.
    fn owed(&self, elapsed: Duration) -> Duration {
        let due = Duration::from_secs_f64(self.n_bytes as f64 / self.rate.max(1) as f64);
        due.saturating_sub(elapsed)
    }
}

impl Forge {
    /// Reads again what was not read for `lfs.scrub_every`, as a job does.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn scrub_lfs(&self) -> Result<(), Error> {
        let settings = &self.settings().lfs;
        let before = self.clock().now_ms().saturating_sub(millis(settings.scrub_every));
        let scrubbed = scrub(self, Wish { before, rate: settings.scrub_rate }, &mut |_| {}).await?;
        tracing::info!(?scrubbed, "LFS objects were read again");
        Ok(())
    }
}

/// Enqueues the job if there is something to read.
pub(super) async fn schedule(forge: &Forge) -> Result<(), Error> {
    let settings = &forge.settings().lfs;
    if !settings.scrub {
        return Ok(());
    }
    let now = forge.clock().now_ms();
    let before = now.saturating_sub(millis(settings.scrub_every));
    let due =
        lfs_objects::list_unchecked(&mut forge.db().read().await?, before, None, PageSize::new(1)).await?;
    if due.is_empty() {
        return Ok(());
    }
    let id: JobId = forge.ids().next().await?;
    let job = NewJob { dedupe: Some(KIND), ..NewJob::new(id, KIND, now) };
    jobs::enqueue(&mut forge.db().write().await?, &job).await?;
    Ok(())
}

/// Reads objects again, and tells how far it is after each.
pub(crate) async fn scrub(
    forge: &Forge,
    wish: Wish,
    told: &mut (dyn FnMut(Scrubbed) + Send),
) -> Result<Scrubbed, Error> {
    let (mut so_far, mut after) = (Scrubbed::default(), None::<LfsObjectId>);
    let (mut pace, begun) = (Pace { rate: wish.rate.bytes(), n_bytes: 0 }, forge.clock().monotonic());
    loop {
        let mut conn = forge.db().read().await?;
        let rows = lfs_objects::list_unchecked(&mut conn, wish.before, after, PageSize::default()).await?;
        drop(conn);
        let Some(last) = rows.last() else { return Ok(so_far) };
        after = Some(last.id);
        for object in rows {
            let found = check(forge, &object, &mut pace, begun).await?;
            so_far.n_objects += 1;
            so_far.bytes += u64::try_from(object.size_bytes).unwrap_or(0);
            match found {
                Some(ScrubOutcome::Bad) => so_far.n_bad += 1,
                Some(ScrubOutcome::Healed) => so_far.n_healed += 1,
                Some(ScrubOutcome::Unreadable) => so_far.n_unreadable += 1,
                Some(ScrubOutcome::Good) | None => {}
            }
            told(so_far);
        }
    }
}

/// Reads one object and notes what was found; `None`: it was replaced or died meanwhile.
async fn check(
    forge: &Forge,
    object: &LfsObject,
    pace: &mut Pace,
    begun: Duration,
) -> Result<Option<ScrubOutcome>, Error> {
    let found = match read(forge, object, pace, begun).await {
        Ok(()) if object.is_bad => ScrubOutcome::Healed,
        Ok(()) => ScrubOutcome::Good,
        Err(error) if is_damage(&error) => {
            tracing::error!(lfs.object = object.id.get(), lfs.oid = %object.oid, %error,
                "the bytes of an LFS object are bad; it is to be sent again");
            ScrubOutcome::Bad
        }
        Err(error) => {
            let error = Error::internal(error);
            tracing::warn!(
                lfs.object = object.id.get(),
                error = error.chain(),
                "reading an LFS object again"
            );
            ScrubOutcome::Unreadable
        }
    };
    let now = forge.clock().now_ms();
    let mut conn = forge.db().write().await?;
    let is_noted = match found {
        ScrubOutcome::Good | ScrubOutcome::Healed => {
            lfs_objects::note_good(&mut conn, object.id, now).await?
        }
        ScrubOutcome::Bad => lfs_objects::note_bad(&mut conn, object.id, now).await?,
        ScrubOutcome::Unreadable => true,
    };
    if !is_noted {
        return Ok(None);
    }
    SCRUBBED.get(found).inc();
    Ok(Some(found))
}

/// Reads an object to its end, at a pace, and fails unless it is what it should be.
async fn read(forge: &Forge, object: &LfsObject, pace: &mut Pace, begun: Duration) -> Result<(), BlobError> {
    let key = BlobKey::lfs(object.id);
    let size_bytes = u64::try_from(object.size_bytes).unwrap_or(0);
    let reader = forge.repositories().blobs().get(key, None).await?;
    let mut reader = Checked::new(reader, size_bytes, *object.oid.as_bytes());
    let mut piece = vec![0; PIECE];
    loop {
        let n = reader.read(&mut piece).await;
        let n = n.map_err(|source| BlobError::Io { act: "reading", key, source })?;
        if n == 0 {
            return Ok(());
        }
        pace.n_bytes += n as u64;
        SCRUBBED_BYTES.add(n as u64);
        let owed = pace.owed(forge.clock().monotonic().saturating_sub(begun));
        if !owed.is_zero() {
            tokio::time::sleep(owed).await;
        }
    }
}

/// Whether the bytes are wrong or lost, rather than out of reach.
fn is_damage(error: &BlobError) -> bool {
    match error {
        BlobError::Absent(_) => true,
        BlobError::Io { source, .. } => {
            Mismatch::find(source).is_some() || source.raw_os_error() == Some(EIO)
        }
        BlobError::Stopped { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use hakata_blob::{BlobError, BlobKey};
    use hakata_names::LfsObjectId;

    use super::{EIO, Pace, is_damage};

    #[test]
    fn reading_keeps_its_pace() {
        let pace = |n_bytes| Pace { rate: 1_000, n_bytes };
        assert_eq!(pace(0).owed(Duration::ZERO), Duration::ZERO);
        assert_eq!(pace(500).owed(Duration::ZERO), Duration::from_millis(500));
        assert_eq!(pace(5_000).owed(Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(pace(5_000).owed(Duration::from_secs(9)), Duration::ZERO, "it does not hurry to catch up");
    }

    #[test]
    fn what_is_out_of_reach_is_not_bad() {
        let key = BlobKey::lfs(LfsObjectId::new(1));
        let failed = |source| BlobError::Io { act: "reading", key, source };
        assert!(is_damage(&BlobError::Absent(key)));
        assert!(is_damage(&failed(io::Error::from_raw_os_error(EIO))));
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::ConnectionReset, io::ErrorKind::PermissionDenied]
        {
            assert!(!is_damage(&failed(kind.into())), "{kind}");
        }
    }
}
