//! Changes that one process prepares and another commits, with rows of its own.
//!
//! ```text
//! prepare   make or receive -> Received -> prepare -> stage -> Staged      (a staged pack row, bytes durable)
//! commit    Staged -> adopt -> Received -> prepare -> commit               (any process of the same database and blobs)
//! ```
//! Between the two nothing is held but a row and bytes, which the sweeper takes after a day. Adopting believes nothing
//! that [`Staged`] says: the pack is brought back and proved complete against the refs of that moment, so neither a
//! collection of garbage in between nor a caller that mixes things up can leave a ref without its objects.

use std::sync::Arc;

use hakata_names::{Oid, PackId, RefUpdate, RepositoryId};
use hakata_runtime::fault;
use hakata_store::{PackState, StoreError, packs};

use crate::cache::{self, StepError};
use crate::commit::CommitError;
use crate::prepared::Prepared;
use crate::receive::{Offered, Push, ReceiveError, ReceiveLimits, Received};
use crate::repository::Repository;
use crate::stage::{self, SmallPacks, StagedPack};

/// A change whose objects are durable and that no ref shows yet: plain values, to be carried anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The repository that it was prepared for.
    pub repository: RepositoryId,
    /// Its pack; `None` if all objects were there already.
    pub pack: Option<PackClaim>,
    /// The wished moves.
    pub updates: Vec<RefUpdate>,
}

/// Names a staged pack, and shows that its owner knows what is in it: ids can be guessed, checksums cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackClaim {
    /// Its id.
    pub id: PackId,
    /// Git's trailer of the pack.
    pub checksum: Oid,
}

/// Why a staged change cannot be taken up again.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It was prepared for another repository.
    #[error("the change was prepared for repository {0}")]
    Foreign(RepositoryId),
    /// It was committed, came to nothing, or was swept; or there never was such a pack.
    #[error("the objects that were prepared are not there any more")]
    Gone,
    /// The bytes of the pack cannot be brought back.
    #[error("bringing the prepared pack back")]
    Fetch(#[source] StepError),
    /// It cannot be examined.
    #[error("examining a prepared change")]
    Receive(#[source] ReceiveError),
    /// The rows cannot be read.
    #[error("finding a prepared pack")]
    Store(#[from] StoreError),
}

impl Repository {
    /// Keeps the objects of a change durably and gives it up: any process that shares database and blobs can
    /// [`adopt`](Self::adopt) it. Nobody sees it until then; after a day it is swept. Refused updates are not part of
    /// it.
    ///
    /// # Errors
    /// [`CommitError::Store`], [`CommitError::Blob`], [`CommitError::Read`] or [`CommitError::Stopped`].
    pub async fn stage(&self, mut prepared: Prepared) -> Result<Staged, CommitError> {
        let (engine, repository) = (self.engine.clone(), self.id);
        let task = self.engine.tasks.spawn("repository.stage", async move {
            if let Err(error) = stage::put(&engine, &mut prepared, SmallPacks::Now).await {
                stage::take_back(&engine, prepared.staged).await;
                return Err(error);
            }
            fault::point("stage.kept");
            let claim = |pack: &StagedPack| PackClaim { id: pack.id, checksum: pack.checksum };
            let pack = prepared.staged.as_ref().map(claim);
            Ok(Staged { repository, pack, updates: prepared.updates })
        });
        task.await.map_err(CommitError::Stopped)?
    }

    /// Takes a staged change up again: readable, complete, and to be judged like one that was just received. A commit of
    /// it uses it up, whatever comes of that.
    ///
    /// # Errors
    /// [`AdoptError`].
    pub async fn adopt(&self, staged: Staged, limits: &ReceiveLimits) -> Result<Received, AdoptError> {
        if staged.repository != self.id {
            return Err(AdoptError::Foreign(staged.repository));
        }
        let Some(claim) = staged.pack else {
            let push = Push { updates: staged.updates, shallow: Vec::new() };
            let received = self.receive(push, None::<&mut tokio::io::Empty>, limits).await;
            return received.map_err(AdoptError::Receive);
        };
        let row = packs::find(&mut self.engine.db.read().await?, claim.id).await?;
        let is_it =
            |row: &packs::Pack| row.state == PackState::Staged && row.checksum == claim.checksum.as_bytes();
        let row = row.filter(is_it).ok_or(AdoptError::Gone)?;
        let (permit, base) = self.admitted().await.map_err(AdoptError::Receive)?;
        let quarantine = self.quarantine(Some(&base)).await.map_err(AdoptError::Receive)?;
        let pack = cache::fetch(&self.engine, &quarantine, &row).await.map_err(AdoptError::Fetch)?;
        fault::point("adopt.pack");
        let offered = Arc::new(Offered::new(quarantine, Some(pack), Vec::new(), permit, base));
        let updates = staged.updates;
        let received = Received::measure(&self.engine, updates, offered, &self.state, limits).await;
        let mut received = received.map_err(AdoptError::Receive)?;
        received.set_staged(StagedPack::adopted(&row, claim.checksum));
        Ok(received)
    }
}
