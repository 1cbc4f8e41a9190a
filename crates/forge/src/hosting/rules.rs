//! The rules of a repository as they stand now, and the judgement of a push by them.

mod locks;

use std::collections::HashMap;
use std::sync::Arc;

use hakata_git::objects::{Objects, ReadError, View};
use hakata_names::{Oid, RefName, RefUpdate, RepositoryId};
use hakata_repository::Repository;
use hakata_store::repositories::{self, Standing};
use hakata_store::{Role, lfs_locks, protections};

use super::judge::{Ancestry, Pusher, Refused, Rule, judge_rules};
use crate::access::{Facts, Write, grant_from};
use crate::lfs::Guards;
use crate::quota::Quota;
use crate::{Actor, Error, Forge};

/// Everything that a push is judged by, read at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy_version: i64,
    pub(crate) quota: Quota,
    pub(crate) standing: Standing,
    rules: Vec<Rule>,
    pusher: Pusher,
    /// Paths that others have locked.
    guards: Arc<Guards>,
}

impl Forge {
    /// Says why an actor may push nothing to a ref by its rules, if that is so.
    pub(crate) async fn judge_push_to(
        &self,
        actor: &Actor,
        id: RepositoryId,
        name: &RefName,
    ) -> Result<Option<Refused>, Error> {
        let rules = self.rules(actor, id).await?;
        Ok(judge_rules(&rules.rules, rules.pusher, &rules.standing.repository.path(), &named(name), || {
            Ancestry::FastForward
        })
        .err())
    }

    /// Reads the rules, and decides again whether the actor may push at all: a role may have been taken away
    /// since the push began.
    pub(crate) async fn rules(&self, actor: &Actor, id: RepositoryId) -> Result<Rules, Error> {
        let mut conn = self.db().read().await?;
        let standing = repositories::find_standing_by_id(&mut conn, id, actor.user()).await?;
        let standing = standing.ok_or_else(Error::repository_not_found)?;
        // After the policy version: a rule made in between raises it, and the commit asks again.
        let rules = protections::list_of(&mut conn, id).await?;
        let locks = match actor {
            // A mirror follows whatever the other side does.
            Actor::System => Vec::new(),
            _ => lfs_locks::list_of_others(&mut conn, id, actor.user()).await?,
        };
        drop(conn);
        let facts = Facts::new(&standing, actor.user());
        let role = facts.role;
        grant_from::<Write>(actor, Some(facts.into()))?;
        Ok(Rules {
            policy_version: standing.repository.policy_version,
            quota: Quota::of(&standing, self.settings().repository_quota),
            standing,
            rules: rules.into_iter().map(Rule::from).collect(),
            pusher: pusher(actor, role),
            guards: Arc::new(Guards::new(locks)),
        })
    }
}

/// The making of a ref, whatever it points to.
fn named(name: &RefName) -> RefUpdate {
    RefUpdate { name: name.clone(), old: None, new: Oid::from_bytes(&[1; 20]).ok() }
}

fn pusher(actor: &Actor, role: Option<Role>) -> Pusher {
    let role = match actor {
        Actor::System => Some(Role::Owner),
        Actor::DeployKey { .. } => Some(Role::Developer),
        actor if actor.is_admin() => Some(Role::Owner),
        _ => role,
    };
    Pusher { role, user: actor.user() }
}

impl Rules {
    /// Judges what can be judged without objects.
    pub(super) fn judge_early(&self, update: &RefUpdate) -> Result<(), Refused> {
        self.judge(update, || Ancestry::FastForward)
    }

    /// Judges every update with the objects readable; answers those that are refused.
    pub(crate) async fn judge_all(
        &self,
        forge: &Forge,
        repository: &Repository,
        updates: &[RefUpdate],
        objects: Option<&Objects>,
    ) -> Result<Vec<(RefName, Refused)>, Error> {
        let mut asked = Vec::new();
        for update in updates {
            // A rule asks only where the answer matters; a first pass finds out which those are.
            let _ = self.judge(update, || {
                asked.extend(update.old.zip(update.new).map(|pair| (update.name.clone(), pair)));
                Ancestry::FastForward
            });
        }
        let known = ancestries(asked, objects).await.map_err(Error::internal)?;
        let judge = |update: &RefUpdate| {
            let ancestry = || known.get(&update.name).copied().unwrap_or(Ancestry::Forced);
            self.judge(update, ancestry).err().map(|refused| (update.name.clone(), refused))
        };
        let mut refused: Vec<_> = updates.iter().filter_map(judge).collect();
        if let Some(objects) = objects.filter(|_| !self.guards.is_empty()) {
            refused.extend(self.judge_locks(forge, repository, updates, objects).await?);
        }
        Ok(refused)
    }

    fn judge(&self, update: &RefUpdate, ancestry: impl FnMut() -> Ancestry) -> Result<(), Refused> {
        judge_rules(&self.rules, self.pusher, &self.standing.repository.path(), update, ancestry)
    }
}

/// Finds out which moves lose commits; what is no commit on either side counts as forced.
async fn ancestries(
    asked: Vec<(RefName, (Oid, Oid))>,
    objects: Option<&Objects>,
) -> Result<HashMap<RefName, Ancestry>, ReadError> {
    let Some(objects) = objects.filter(|_| !asked.is_empty()) else { return Ok(HashMap::new()) };
    let look = move |view: &View| {
        let judge = |(name, (old, new)): (RefName, (Oid, Oid))| {
            let forward = view.is_ancestor(&old, &new).unwrap_or(false);
            (name, if forward { Ancestry::FastForward } else { Ancestry::Forced })
        };
        Ok(asked.into_iter().map(judge).collect())
    };
    objects.read(look).await
}

impl From<protections::Protection> for Rule {
    fn from(row: protections::Protection) -> Self {
        Self {
            kind: row.kind,
            pattern: row.pattern,
            push: row.push_role,
            may_force: row.may_force,
            may_delete: row.may_delete,
            allowed: row.allowed_users,
        }
    }
}
