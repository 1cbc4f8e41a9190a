//! The rows of SSH keys and their users, read once for the several questions of one login.
//!
//! One `git fetch` over SSH asks three times whose a key is: when it is offered, when it is proven, and when the
//! command asks for its repository. A process that writes all rows answers from memory, exactly. One of several
//! answers from memory for [`SHARED_FOR`], so that a key taken away or a user disabled by another process is out
//! after that time; what this process itself changes counts at once in either case.

use std::sync::Arc;
use std::time::Duration;

use hakata_names::KeyId;
use hakata_store::keys::{self, KnownKey};

use super::cache::{Generation, Rows};
use crate::{Error, Forge};

/// Most keys that are kept in memory.
const MAX_KEYS: usize = 10_000;

/// How long a row that another process may change is believed.
const SHARED_FOR: Duration = Duration::from_secs(2);

/// How old an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// What other processes did in the last [`SHARED_FOR`] may be missing.
    Seconds,
    /// Nothing that is committed is missing.
    Now,
}

/// Keys kept in memory, found by either name.
#[derive(Debug)]
pub(super) struct KeyRows {
    by_fingerprint: Rows<String, Kept>,
    by_id: Rows<KeyId, Kept>,
}

/// A row, and when it was read.
#[derive(Debug)]
struct Kept {
    known: Arc<KnownKey>,
    read_at: Duration,
}

/// A change of keys; forgets the kept ones when dropped, so that a caller who leaves between the commit and its
/// answer leaves no key behind that is gone.
#[must_use = "held until the change is committed"]
pub(crate) struct ChangingKeys<'a>(&'a KeyRows);

impl Drop for ChangingKeys<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

impl KeyRows {
    pub(super) fn new() -> Self {
        Self { by_fingerprint: Rows::new(MAX_KEYS), by_id: Rows::new(MAX_KEYS) }
    }

    /// Forgets all keys: a row has changed.
    pub(super) fn forget(&self) {
        self.by_fingerprint.forget();
        self.by_id.forget();
    }
}

impl Forge {
    /// Announces that a key is about to be added or taken away; to be held until that is committed.
    pub(crate) fn changing_keys(&self) -> ChangingKeys<'_> {
        ChangingKeys(&self.inner.authenticator.keys)
    }

    pub(super) async fn key_by_fingerprint(&self, name: String) -> Result<Option<Arc<KnownKey>>, Error> {
        let rows = &self.inner.authenticator.keys;
        if let Some(known) = self.fresh(rows.by_fingerprint.find(&name), Freshness::Seconds) {
            return Ok(Some(known));
        }
        let asked = self.asked();
        let mut conn = self.db().read().await?;
        let found = keys::find_by_fingerprint(&mut conn, &name).await?;
        Ok(found.map(|known| self.keep(asked, known)))
    }

    pub(super) async fn key_by_id(
        &self,
        id: KeyId,
        freshness: Freshness,
    ) -> Result<Option<Arc<KnownKey>>, Error> {
        let rows = &self.inner.authenticator.keys;
        if let Some(known) = self.fresh(rows.by_id.find(&id), freshness) {
            return Ok(Some(known));
        }
        let asked = self.asked();
        let mut conn = self.db().read().await?;
        let found = keys::find(&mut conn, id).await?;
        Ok(found.map(|known| self.keep(asked, known)))
    }

    /// Takes a kept row if it is young enough.
    fn fresh(&self, kept: Option<Option<Arc<Kept>>>, freshness: Freshness) -> Option<Arc<KnownKey>> {
        let kept = kept.flatten()?;
        let age = self.clock().monotonic().saturating_sub(kept.read_at);
        let counts = self.db().is_sole_owner() || (freshness == Freshness::Seconds && age < SHARED_FOR);
        counts.then(|| kept.known.clone())
    }

    /// Notes the state of things before a row is read.
    fn asked(&self) -> (Generation, Generation, Duration) {
        let rows = &self.inner.authenticator.keys;
        (rows.by_fingerprint.generation(), rows.by_id.generation(), self.clock().monotonic())
    }

    /// Keeps a row that was found. That there is none is not kept: strangers must not push real ones out.
    fn keep(
        &self,
        (by_fingerprint, by_id, read_at): (Generation, Generation, Duration),
        known: KnownKey,
    ) -> Arc<KnownKey> {
        let rows = &self.inner.authenticator.keys;
        let kept = Arc::new(Kept { known: Arc::new(known), read_at });
        let known = kept.known.clone();
        rows.by_fingerprint.keep(known.key.fingerprint.clone(), by_fingerprint, Some(kept.clone()));
        rows.by_id.keep(known.key.id, by_id, Some(kept));
        known
    }
}
