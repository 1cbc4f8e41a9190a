//! Where a push goes, and who may create by pushing.

use hakata_names::{GroupId, OwnerId, RepositoryPath};
use hakata_store::owners::{self, Owner};
use hakata_store::{OwnerKind, OwnerState, Role, groups};

use crate::access::{Grant, Write, grant_from, hidden};
use crate::{Actor, Error, Forge, Scope};

/// The least role in a group that may create repositories in it.
pub(crate) const CREATES_IN_GROUP: Role = Role::Maintainer;

/// Where a push goes.
#[derive(Clone, Debug)]
pub enum PushTarget {
    /// To a repository that is there.
    Existing(Grant<Write>),
    /// To one that the push will create.
    Absent(Creation),
}

/// The right to create a repository at one path.
#[derive(Clone, Debug)]
pub struct Creation {
    pub(crate) actor: Actor,
    pub(crate) path: RepositoryPath,
    pub(crate) owner: OwnerId,
}

impl PushTarget {
    /// Tells the path, for the log.
    pub fn path(&self) -> &RepositoryPath {
        match self {
            Self::Existing(grant) => grant.path(),
            Self::Absent(creation) => &creation.path,
        }
    }

    /// Tells whose push it is.
    pub fn actor(&self) -> &Actor {
        match self {
            Self::Existing(grant) => grant.actor(),
            Self::Absent(creation) => &creation.actor,
        }
    }
}

impl Forge {
    /// Decides whether `actor` may push to `path`, creating the repository if it is absent and in a place
    /// where the actor may create. Nothing is created yet.
    ///
    /// # Errors
    /// As [`Forge::grant`].
    pub async fn open_push(&self, actor: &Actor, path: &RepositoryPath) -> Result<PushTarget, Error> {
        if let Some(facts) = self.facts(actor, path).await? {
            return grant_from(actor, Some(facts)).map(PushTarget::Existing);
        }
        if !self.settings().push_to_create {
            return Err(hidden(actor));
        }
        let creation = self.find_creation(actor, path).await?;
        creation.map(PushTarget::Absent).ok_or_else(|| hidden(actor))
    }

    /// Decides whether `actor` may create a repository at `path`, which is absent.
    pub(crate) async fn find_creation(
        &self,
        actor: &Actor,
        path: &RepositoryPath,
    ) -> Result<Option<Creation>, Error> {
        let may = match actor {
            Actor::System => true,
            Actor::User { .. } => actor.scopes().allow(Scope::RepoWrite),
            Actor::Anonymous | Actor::DeployKey { .. } => false,
        };
        if !may {
            return Ok(None);
        }
        let mut conn = self.db().read().await?;
        let owner = owners::find_by_name(&mut conn, &path.owner).await?;
        let Some(owner) = owner.filter(|owner| owner.state == OwnerState::Active) else { return Ok(None) };
        let allowed = actor.is_admin() || is_self(actor, &owner) || {
            match (owner.kind, actor.user()) {
                (OwnerKind::Group, Some(user)) => {
                    let role = groups::role_of(&mut conn, GroupId::new(owner.id.get()), user).await?;
                    role.is_some_and(|role| role >= CREATES_IN_GROUP)
                }
                _ => false,
            }
        };
        let path = RepositoryPath { owner: owner.name, name: path.name.clone() };
        Ok(allowed.then(|| Creation { actor: actor.clone(), path, owner: owner.id }))
    }
}

fn is_self(actor: &Actor, owner: &Owner) -> bool {
    actor.user().is_some_and(|user| user.owner() == owner.id)
}
