//! A change that was judged and is ready to be committed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hakata_names::{EventId, Oid, RefName, RefUpdate, UserId};
use hakata_store::RepositoryState;

use crate::birth::Birth;
use crate::outcome::{Atomicity, Committed, Reason, RefRefusal};
use crate::receive::Offered;
use crate::stage::StagedPack;

/// Who wants a change, why, and under which rules it was judged.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Who is logged; `None` is the system or a deploy key. Nothing here judges it.
    pub actor: Option<UserId>,
    /// Why.
    pub reason: Reason,
    /// Whether the updates stand and fall together.
    pub atomicity: Atomicity,
    /// The repository's policy version when the updates were judged: the commit does not go through under another.
    pub policy_version: i64,
    /// Where `HEAD` shall point from now on; `None` leaves it.
    pub default_ref: Option<RefName>,
    /// A name for this change: a commit that is repeated under it gets the first answer and changes nothing.
    pub idempotency_key: Option<String>,
}

/// A change on its way into the repository: updates, the objects they need, and the intent.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) updates: Vec<RefUpdate>,
    pub(crate) refusals: Vec<(RefName, RefRefusal)>,
    pub(crate) peeled: HashMap<Oid, Oid>,
    pub(crate) intent: Intent,
    pub(crate) offered: Option<Arc<Offered>>,
    /// When connectivity was proved.
    pub(crate) prune_epoch: i64,
    /// The pack, once its bytes are kept.
    pub(crate) staged: Option<StagedPack>,
    /// The quota of a repository without one of its own, in bytes, if quotas hold for this change.
    pub(crate) default_quota: Option<u64>,
    /// The repository itself, if this change makes it.
    pub(crate) birth: Option<Birth>,
    /// The state that the repository may be in besides active.
    pub(crate) state: RepositoryState,
    /// Where the ref was that the change would have moved.
    pub(crate) unmoved: Option<Oid>,
    pub(crate) n_attempts: u32,
}

impl Prepared {
    /// Prepares a change that brings no objects: deletions of refs, or another `HEAD`. Updates that set a ref are
    /// refused as incomplete, since nothing proves that their objects are here.
    pub fn without_objects(updates: Vec<RefUpdate>, intent: Intent, prune_epoch: i64) -> Self {
        let (deletions, sets): (Vec<_>, Vec<_>) =
            updates.into_iter().partition(|update| update.new.is_none());
        Self {
            updates: deletions,
            refusals: sets.into_iter().map(|update| (update.name, RefRefusal::Incomplete)).collect(),
            peeled: HashMap::new(),
            intent,
            offered: None,
            prune_epoch,
            staged: None,
            default_quota: None,
            birth: None,
            state: RepositoryState::Active,
            unmoved: None,
            n_attempts: 0,
        }
    }

    /// Lists the updates that nobody has refused yet.
    pub fn updates(&self) -> &[RefUpdate] {
        &self.updates
    }

    /// Refuses one update; the others of an atomic change fall with it at the commit.
    pub fn refuse(&mut self, name: &RefName, refusal: RefRefusal) {
        refuse(&mut self.updates, &mut self.refusals, name, refusal);
    }

    /// Records that the updates were judged again, under these rules.
    pub fn set_policy_version(&mut self, policy_version: i64) {
        self.intent.policy_version = policy_version;
    }

    /// Puts the answers to all updates together: those refused before the transaction and those it gave.
    pub(crate) fn answers(
        &self,
        mut answers: BTreeMap<RefName, Result<(), RefRefusal>>,
        made: Option<(i64, EventId)>,
    ) -> Committed {
        answers.extend(self.refusals.iter().map(|(name, refusal)| (name.clone(), Err(refusal.clone()))));
        let (version, event) = made.unzip();
        Committed { version, event, refs: answers.into_iter().collect() }
    }

    /// Keeps the repository and its owner within their quotas, as they stand at the commit; a repository without one
    /// may have `default_bytes`. Otherwise nothing bounds the change.
    #[must_use]
    pub fn within_quota(mut self, default_bytes: u64) -> Self {
        self.default_quota = Some(default_bytes);
        self
    }

    /// Says that the repository is being created and this change completes it: it becomes active in its transaction, also
    /// when no ref moves, and not without it.
    #[must_use]
    pub fn completing(mut self) -> Self {
        self.state = RepositoryState::Creating;
        self
    }

    /// Tells whether there is no repository to use before this change.
    pub(crate) fn makes_repository(&self) -> bool {
        self.birth.is_some() || self.state == RepositoryState::Creating
    }

    /// Says that a ref is where the change would have moved it: kept with the answer, so that a repetition under its key
    /// is told so although the ref may be elsewhere by then.
    #[must_use]
    pub fn unmoved(mut self, at: Oid) -> Self {
        self.unmoved = Some(at);
        self
    }

    /// Returns the intent.
    pub fn intent(&self) -> &Intent {
        &self.intent
    }
}

/// Moves one update to the refusals.
pub(crate) fn refuse(
    updates: &mut Vec<RefUpdate>,
    refusals: &mut Vec<(RefName, RefRefusal)>,
    name: &RefName,
    refusal: RefRefusal,
) {
    if let Some(at) = updates.iter().position(|update| update.name == *name) {
        let update = updates.remove(at);
        refusals.push((update.name, refusal));
    }
}
