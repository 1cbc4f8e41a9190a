//! Receiving objects.

use std::convert::Infallible;

use hakata_blob::{BlobError, BlobKey};
use hakata_names::{LfsObjectId, LfsOid, RepositoryId};
use hakata_runtime::fault;
use hakata_store::lfs_objects::{self, LfsObject, NewLfsObject};
use hakata_store::{LfsObjectState, StoreError, lfs_reservations, repositories};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::batch::{Unlinked, default_quota, link_within, no_room, promised};
use super::download::failed;
use super::incoming::{Fault, Incoming};
use super::measure::{Phase, RECEIVED, Step, TRANSFERS, TransferOutcome};
use super::present::look_up_sent;
use super::sweep::{SweepError, discard, millis};
use super::{Operation, Refusal};
use crate::access::{Grant, Write};
use crate::{Actor, Error, Forge, Kind};

/// Bytes read at once of what nobody needs.
const SCRATCH_BYTES: usize = 64 << 10;

/// Receives an object: when this returns it is durable, and the repository has it. Memory is bounded whatever its size.
///
/// What the repository has already is hashed and dropped, so that it is answered as anything else.
///
/// # Errors
/// [`Kind::Invalid`] if the bytes are not those that were announced: nothing is kept then. [`Kind::TooLarge`] over a
/// quota. Dropping the future, as when the client leaves, keeps nothing either.
pub async fn receive<R>(
    forge: &Forge,
    grant: &Grant<Write>,
    oid: LfsOid,
    size_bytes: u64,
    source: R,
) -> Result<(), Error>
where
    R: AsyncRead + Send + Unpin,
{
    let mut ended = Ended(TransferOutcome::Broken);
    let result = take_in(forge, grant, oid, size_bytes, source).await;
    ended.0 = match &result {
        Ok(Kept::Known) => TransferOutcome::Known,
        result => TransferOutcome::of(result.as_ref().err()),
    };
    if result.is_ok() {
        RECEIVED.add(size_bytes);
    }
    result.map(drop)
}

/// What became of an upload.
pub(super) enum Kept {
    New,
    Known,
}

/// Counts a transfer, also one whose client left.
pub(super) struct Ended(pub(super) TransferOutcome);

impl Drop for Ended {
    fn drop(&mut self) {
        TRANSFERS.get((Operation::Upload, self.0)).inc();
    }
}

async fn take_in<R>(
    forge: &Forge,
    grant: &Grant<Write>,
    oid: LfsOid,
    size_bytes: u64,
    source: R,
) -> Result<Kept, Error>
where
    R: AsyncRead + Send + Unpin,
{
    let limit_bytes = forge.settings().lfs.max_object.bytes();
    if size_bytes > limit_bytes {
        return Err(Error::new(Kind::Invalid, Refusal::TooLarge { limit_bytes }.to_string()));
    }
    let mut incoming = Incoming::new(source, oid, size_bytes);
    let known = look_up_sent(forge, grant.repository(), oid).await?;
    if known.as_ref().is_some_and(|at| !at.is_bad) {
        let dropped = drop_all(&mut incoming).await;
        return dropped
            .map(|()| Kept::Known)
            .map_err(|error| refused(incoming.fault(), Error::internal(error)));
    }
    let upload = Upload { forge, repository: grant.repository(), oid, size_bytes };
    let mut begun = Begun::new(upload);
    let stored = async {
        // What is bad is counted already.
        if known.is_none() {
            upload.reserve(promised(forge)).await?;
        }
        let id = upload.stage().await?;
        begun.id = Some(id);
        fault::point("lfs.staged_row");
        if let Err(error) = upload.put(id, &mut incoming).await {
            begun.may_appear = incoming.fault().is_none();
            return Err(refused(incoming.fault(), failed(error)));
        }
        fault::point("lfs.blob_put");
        upload.judge_again(grant.actor()).await?;
        Ok(id)
    };
    let stored = stored.await;
    match stored {
        Ok(id) => {
            // From here on it may be in use: what is left of a commit that is cut is the sweeper's.
            begun.is_over = true;
            upload.commit(id).await
        }
        Err(error) => {
            begun.give_up().await;
            Err(error)
        }
    }
}

async fn drop_all(source: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut scratch = vec![0; SCRATCH_BYTES];
    while source.read(&mut scratch).await? > 0 {}
    Ok(())
}

/// What the client did wrong, or else what we did.
fn refused(fault: Option<Fault>, otherwise: Error) -> Error {
    match fault {
        None => otherwise,
        Some(Fault::Broken) => Error::client_left(Fault::Broken),
        Some(fault) => Error::new(Kind::Invalid, fault.to_string()),
    }
}

/// An upload that has begun to take room: whatever ends it before its time, its client's leaving too, gives that back.
struct Begun<'a> {
    upload: Upload<'a>,
    id: Option<LfsObjectId>,
    /// Whether a store that failed at the end may yet make the bytes visible.
    may_appear: bool,
    is_over: bool,
}

impl<'a> Begun<'a> {
    fn new(upload: Upload<'a>) -> Self {
        Self { upload, id: None, may_appear: false, is_over: false }
    }

    async fn give_up(mut self) {
        match self.id {
            Some(id) if self.may_appear => self.upload.leave(id).await,
            id => self.upload.give_up(id).await,
        }
        self.is_over = true;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.is_over || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let Upload { forge, repository, oid, size_bytes } = self.upload;
        let (forge, id) = (forge.clone(), self.id);
        let tasks = forge.tasks().clone();
        drop(tasks.spawn("lfs.give_up", async move {
            Upload { forge: &forge, repository, oid, size_bytes }.give_up(id).await;
        }));
    }
}

/// One upload of an object that the repository does not have.
#[derive(Clone, Copy)]
pub(super) struct Upload<'a> {
    pub(super) forge: &'a Forge,
    pub(super) repository: RepositoryId,
    pub(super) oid: LfsOid,
    pub(super) size_bytes: u64,
}

impl Upload<'_> {
    pub(super) fn size(&self) -> i64 {
        i64::try_from(self.size_bytes).unwrap_or(i64::MAX)
    }

    /// Asks for room before the first byte is stored: the promise of the batch may have lapsed, and not everybody asks
    /// for one.
    pub(super) async fn reserve(&self, times: (i64, i64)) -> Result<(), Error> {
        let Self { forge, repository, oid, .. } = *self;
        let wanted = [lfs_reservations::Wanted { oid, size_bytes: self.size() }];
        let quota = default_quota(forge);
        let reserved = forge.db().transaction(|tx| {
            Box::pin(async move { lfs_reservations::reserve(tx, repository, &wanted, quota, times).await })
        });
        match reserved.await?.into_iter().next() {
            Some(Err(full)) => Err(Error::new(Kind::TooLarge, no_room(full, self.size_bytes).to_string())),
            _ => Ok(()),
        }
    }

    /// Announces the bytes before the first of them is written.
    pub(super) async fn stage(&self) -> Result<LfsObjectId, Error> {
        let id: LfsObjectId = self.forge.ids().next().await?;
        let new = NewLfsObject {
            id,
            oid: self.oid,
            size_bytes: self.size(),
            node: self.forge.repositories().node(),
            created_at: self.forge.clock().now_ms(),
        };
        lfs_objects::insert_staged(&mut self.forge.db().write().await?, &new).await?;
        Ok(id)
    }

    async fn put<R>(&self, id: LfsObjectId, incoming: &mut Incoming<R>) -> Result<(), BlobError>
    where
        R: AsyncRead + Send + Unpin,
    {
        let _step = Step::begin(Phase::Store, self.forge.clock());
        let put = self.forge.repositories().blobs().put(BlobKey::lfs(id), incoming);
        tokio::select! {
            put = put => put.map(drop),
            never = self.keep_promise() => match never {},
        }
    }

    /// Prolongs the promise of room for as long as the bytes come.
    async fn keep_promise(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.forge.settings().lfs.action_time / 2).await;
            let (_, until) = promised(self.forge);
            let renewed = async {
                let mut conn = self.forge.db().write().await?;
                lfs_reservations::renew(&mut conn, self.repository, &self.oid, until).await
            };
            if let Err(error) = renewed.await {
                tracing::debug!(%error, "a reservation was not prolonged");
            }
        }
    }

    /// Judges again who sends, as the bytes may have taken hours.
    pub(super) async fn judge_again(&self, actor: &Actor) -> Result<(), Error> {
        self.forge.check_not_revoked(actor).await?;
        self.forge.rules(actor, self.repository).await.map(drop)
    }

    /// Takes the object into use, or the one of the same bytes that is there: row and usage in one transaction.
    pub(super) async fn commit(&self, id: LfsObjectId) -> Result<Kept, Error> {
        let _step = Step::begin(Phase::Commit, self.forge.clock());
        let Self { forge, repository, oid, .. } = *self;
        let (now, quota) = (forge.clock().now_ms(), default_quota(forge));
        let (size_bytes, state) = (self.size(), LfsObjectState::Live);
        let own = LfsObject { id, oid, size_bytes, state, created_at: now, is_bad: false };
        let delete_after = now.saturating_add(millis(forge.settings().lfs.dead_age));
        let committed = forge.db().transaction(|tx| {
            Box::pin(async move {
                if !repositories::lock(tx, repository).await? {
                    return Err(Unlinked::Gone);
                }
                let object = match lfs_objects::lock_live(tx, &oid).await? {
                    Some(bad) if bad.is_bad => {
                        if !lfs_objects::replace_bad(tx, bad.id, id, delete_after).await? {
                            return Err(Unlinked::Gone);
                        }
                        own
                    }
                    Some(other) => other,
                    None if lfs_objects::make_live(tx, id).await? => own,
                    None => return Err(Unlinked::Gone),
                };
                link_within(tx, repository, &object, quota, now).await?;
                fault::point("lfs.before_commit");
                Ok(object.id)
            })
        });
        let committed = committed.await;
        if committed.is_ok() {
            fault::point("lfs.after_commit");
        }
        match committed {
            Ok(used) if used == id => Ok(Kept::New),
            Ok(_) => {
                self.discard(id).await;
                Ok(Kept::Known)
            }
            // It may be in use: whoever asks again learns that, and otherwise the sweeper takes it.
            Err(Unlinked::Store(error @ StoreError::CommitUnknown(_))) => Err(Error::unknown_outcome(error)),
            Err(unlinked) => {
                self.give_up(Some(id)).await;
                Err(match unlinked {
                    Unlinked::Store(error) => error.into(),
                    Unlinked::Gone => Error::new(
                        Kind::Conflict,
                        "the upload took too long, or the repository is gone; send it again",
                    ),
                    Unlinked::Removed => Error::removed(),
                    Unlinked::Full(full) => {
                        Error::new(Kind::TooLarge, no_room(full, self.size_bytes).to_string())
                    }
                })
            }
        }
    }

    /// Takes back what an upload that came to nothing has left.
    pub(super) async fn give_up(&self, id: Option<LfsObjectId>) {
        self.release().await;
        if let Some(id) = id {
            self.discard(id).await;
        }
    }

    /// Takes an upload back of which the store may still keep something later: its row names the bytes until then, and
    /// the sweeper deletes both.
    async fn leave(&self, id: LfsObjectId) {
        self.release().await;
        let until = self.forge.clock().now_ms().saturating_add(millis(self.forge.settings().lfs.dead_age));
        let left =
            async { lfs_objects::give_up_staged(&mut self.forge.db().write().await?, id, until).await };
        if let Err(error) = left.await {
            tracing::warn!(%error, lfs.object = id.get(), "an LFS object that nobody uses stays until it is swept");
        }
    }

    async fn release(&self) {
        let released = async {
            let mut conn = self.forge.db().write().await?;
            lfs_reservations::release(&mut conn, self.repository, &self.oid).await
        };
        if let Err(error) = released.await {
            tracing::debug!(%error, "a reservation stays until it lapses");
        }
    }

    /// Deletes bytes that nobody uses; what cannot be deleted now is the sweeper's.
    async fn discard(&self, id: LfsObjectId) {
        let discarded = async {
            if discard(self.forge, id).await? {
                return Ok(());
            }
            let row = lfs_objects::find(&mut self.forge.db().read().await?, id).await?;
            if row.is_none_or(|row| row.state == LfsObjectState::Dead) {
                // The sweeper was faster, perhaps faster than the bytes: no row names them any more.
                self.forge.repositories().blobs().delete(BlobKey::lfs(id)).await?;
            }
            Ok::<_, SweepError>(())
        };
        if let Err(error) = discarded.await {
            tracing::warn!(%error, lfs.object = id.get(), "an LFS object that nobody uses stays until it is swept");
        }
    }
}
