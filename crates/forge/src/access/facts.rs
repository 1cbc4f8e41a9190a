//! What is known about a repository and one user, from memory where that is the truth.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hakata_names::{ObjectFormat, RepositoryId, RepositoryPath, UserId};
use hakata_store::repositories::{self, Standing};
use hakata_store::{RepositoryState, Role, StoreError, Visibility};
use quick_cache::sync::Cache;

use crate::{Actor, Error, Forge};

/// How many answers are kept; each is some 200 bytes.
const MAX_FACTS: usize = 50_000;

/// What policy knows about a repository and one user.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: RepositoryId,
    pub(crate) path: RepositoryPath,
    pub(crate) object_format: ObjectFormat,
    pub(crate) state: RepositoryState,
    pub(crate) visibility: Visibility,
    /// Whether it follows another host's.
    pub(crate) is_mirror: bool,
    /// The user's largest role.
    pub(crate) role: Option<Role>,
}

impl Facts {
    pub(crate) fn new(standing: &Standing, user: Option<UserId>) -> Self {
        let repository = &standing.repository;
        let is_own = user.is_some_and(|user| user.owner() == repository.owner_id);
        let own = is_own.then_some(Role::Owner);
        Self {
            id: repository.id,
            path: repository.path(),
            object_format: repository.object_format,
            state: repository.state,
            visibility: repository.visibility,
            is_mirror: repository.is_mirror,
            role: own.max(standing.group_role).max(standing.collaborator_role),
        }
    }
}

/// A path, folded, and who asks.
type Question = (String, Option<UserId>);

/// The generation in which it was read, and the facts; `None` says that there is no such repository.
type Answer = (u64, Option<Arc<Facts>>);

/// Answers of the last while. Used only when this process writes all rows: then every policy write of this
/// process raises the generation after its commit, and an answer read under an older one is not used.
#[derive(Debug)]
pub(crate) struct FactsCache {
    generation: AtomicU64,
    answers: Cache<Question, Answer>,
}

impl FactsCache {
    pub(crate) fn new() -> Self {
        Self { generation: AtomicU64::new(0), answers: Cache::new(MAX_FACTS) }
    }

    /// Forgets all answers: a row that policy reads has changed.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Forge {
    /// Reads the facts for `actor`; `None`: there is no such repository.
    pub(crate) async fn facts(
        &self,
        actor: &Actor,
        path: &RepositoryPath,
    ) -> Result<Option<Arc<Facts>>, Error> {
        self.check_signed_in(actor).await?;
        let user = actor.user();
        if !self.db().is_sole_owner() {
            return Ok(self.read_facts(path, user).await?);
        }
        let cache = &self.inner.facts;
        let key = (fold(path), user);
        // The generation comes first: an answer read before a change is stored under what was before it.
        let generation = cache.generation.load(Ordering::SeqCst);
        if let Some((of, facts)) = cache.answers.get(&key)
            && of == generation
        {
            return Ok(facts);
        }
        let facts = self.read_facts(path, user).await?;
        cache.answers.insert(key, (generation, facts.clone()));
        Ok(facts)
    }

    async fn read_facts(
        &self,
        path: &RepositoryPath,
        user: Option<UserId>,
    ) -> Result<Option<Arc<Facts>>, StoreError> {
        let mut conn = self.db().read().await?;
        let standing = repositories::find_standing(&mut conn, path, user).await?;
        Ok(standing.map(|standing| Arc::new(Facts::new(&standing, user))))
    }

    /// Announces that rows which policy reads are about to change; to be held until that is committed.
    pub(crate) fn changing_policy(&self) -> ChangingPolicy<'_> {
        ChangingPolicy(self)
    }

    /// Says that rows which policy reads have changed.
    pub(crate) fn policy_changed(&self) {
        self.inner.facts.forget();
        self.inner.authenticator.forget_accounts();
    }
}

/// A change of what policy reads; forgets what is kept of it when dropped, so that neither a caller who leaves between
/// the commit and its answer, nor a commit of unknown outcome, leaves a right in memory that is gone from the rows.
#[must_use = "held until the change is committed"]
pub(crate) struct ChangingPolicy<'a>(&'a Forge);

impl Drop for ChangingPolicy<'_> {
    fn drop(&mut self) {
        self.0.policy_changed();
    }
}

fn fold(path: &RepositoryPath) -> String {
    let (owner, name) = (path.owner.as_str(), path.name.as_str());
    let mut key = String::with_capacity(owner.len() + name.len() + 1);
    key.push_str(owner);
    key.push('/');
    key.push_str(name);
    key.make_ascii_lowercase();
    key
}
