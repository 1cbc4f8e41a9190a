//! What LFS remembers between requests, and the turns of its transfers.

use std::net::IpAddr;

use hakata_runtime::limit::{Bounds, Keyed, KeyedPermit, Limit};
use tokio::sync::OnceCell;

use super::LfsSettings;
use super::measure::ACTIVE;
use super::resumable::Writers;
use super::token::SigningKey;
use crate::hosting::Client;
use crate::{Actor, Error, Forge};

/// Transfers that may wait for their turn.
const MAX_WAITING: usize = 4_096;

/// What LFS remembers.
#[derive(Debug)]
pub(crate) struct State {
    transfers: Keyed<Client>,
    /// Uploads written part by part, each of which is in memory.
    pub(super) resumable: Limit,
    pub(super) writers: Writers,
    pub(super) signing_key: OnceCell<SigningKey>,
}

impl State {
    pub(crate) fn new(settings: &LfsSettings) -> Self {
        let bounds = Bounds { permits: settings.transfers, queue: MAX_WAITING, wait: settings.transfer_wait };
        Self {
            transfers: Keyed::new("lfs_transfers", bounds, settings.transfers_per_client),
            resumable: Limit::new("lfs_resumable", Bounds { permits: settings.resumable, ..bounds }),
            writers: Writers::default(),
            signing_key: OnceCell::new(),
        }
    }
}

/// The right to move one object, given back when dropped.
#[derive(Debug)]
pub struct Transfer {
    _permit: KeyedPermit<Client>,
    _active: hakata_runtime::metrics::GaugeGuard,
}

impl Forge {
    /// Waits until a client may move one more object; to be held until that has ended.
    ///
    /// # Errors
    /// [`Kind::Limited`](crate::Kind) when the client, or all together, have too many under way for too long.
    pub async fn lfs_transfer(&self, actor: &Actor, address: Option<IpAddr>) -> Result<Transfer, Error> {
        let permit = self.inner.lfs.transfers.acquire(Client::of(actor, address)).await?;
        Ok(Transfer { _permit: permit, _active: ACTIVE.track() })
    }
}
