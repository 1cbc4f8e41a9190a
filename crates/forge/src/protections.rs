//! Rules on the branches and tags of a repository.

use hakata_names::{OwnerName, ProtectionId, RefPattern, UserId};
use hakata_store::protections::{self as rows, Protection};
use hakata_store::{ProtectionKind, Role, users};
use serde_json::json;

use crate::access::{Grant, Maintain};
use crate::{Error, Forge, Kind};

/// Most rules of one repository: every push reads them all.
const MAX_RULES: usize = 100;
/// Most people that one rule names.
const MAX_ALLOWED: usize = 100;

/// A rule to be made.
#[derive(Clone, Debug)]
pub(crate) struct RuleWish {
    pub(crate) kind: ProtectionKind,
    pub(crate) pattern: RefPattern,
    pub(crate) push: Option<Role>,
    pub(crate) may_force: bool,
    pub(crate) may_delete: bool,
    /// Who may push whatever the role says.
    pub(crate) allowed: Vec<OwnerName>,
}

impl Forge {
    /// Adds a rule, or puts it in the place of the one with the same pattern.
    pub(crate) async fn protect(
        &self,
        grant: &Grant<Maintain>,
        wish: RuleWish,
    ) -> Result<ProtectionId, Error> {
        let allowed_users = self.ids_of(&wish.allowed).await?;
        let old = self.list_protections(grant).await?;
        if old.len() >= MAX_RULES {
            return Err(Error::new(Kind::Invalid, format!("there are {MAX_RULES} rules already")));
        }
        let same = |rule: &&Protection| rule.kind == wish.kind && rule.pattern == wish.pattern;
        let replaced = old.iter().find(same).map(|rule| rule.id);
        let rule = Protection {
            id: self.ids().next().await?,
            repository: grant.repository(),
            kind: wish.kind,
            pattern: wish.pattern,
            push_role: wish.push,
            merge_role: wish.push,
            may_force: wish.may_force,
            may_delete: wish.may_delete,
            allowed_users,
            created_at: self.clock().now_ms(),
        };
        let detail = json!({
            "kind": rule.kind.as_str(), "pattern": rule.pattern.as_str(), "push": rule.push_role,
            "users": rule.allowed_users.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "force": rule.may_force, "delete": rule.may_delete,
        });
        let audit = self.audit(grant.actor(), "repo.protect", grant.path(), detail).await?;
        let _changing = self.changing_policy();
        let insert = self.db().transaction(|tx| {
            let (rule, audit) = (rule.clone(), audit.clone());
            Box::pin(async move {
                if let Some(replaced) = replaced {
                    rows::delete(tx, rule.repository, replaced).await?;
                }
                rows::insert(tx, &rule).await?.map_err(Error::from)?;
                audit.write(tx).await.map_err(Error::from)
            })
        });
        insert.await?;
        Ok(rule.id)
    }

    /// Finds the people that a rule shall name, each once.
    async fn ids_of(&self, names: &[OwnerName]) -> Result<Vec<UserId>, Error> {
        if names.len() > MAX_ALLOWED {
            return Err(Error::new(Kind::Invalid, format!("a rule names at most {MAX_ALLOWED} people")));
        }
        let mut ids = Vec::new();
        for name in names {
            ids.push(self.get_user(name).await?.id);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Tells the names of people that a rule names; one who was deleted has but an id.
    pub(crate) async fn names_of(&self, ids: &[UserId]) -> Result<Vec<String>, Error> {
        let mut conn = self.db().read().await?;
        let mut names = Vec::new();
        for id in ids {
            let user = users::find(&mut conn, *id).await?;
            names.push(user.map_or_else(|| format!("#{id}"), |user| user.owner.name.to_string()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Lists the rules of a repository.
    pub(crate) async fn list_protections(&self, grant: &Grant<Maintain>) -> Result<Vec<Protection>, Error> {
        let mut conn = self.db().read().await?;
        Ok(rows::list_of(&mut conn, grant.repository()).await?)
    }

    /// Removes the rule with this pattern.
    pub(crate) async fn unprotect(
        &self,
        grant: &Grant<Maintain>,
        kind: ProtectionKind,
        pattern: &str,
    ) -> Result<(), Error> {
        let rules = self.list_protections(grant).await?;
        let rule = rules.iter().find(|rule| rule.kind == kind && rule.pattern.as_str() == pattern);
        let absent = || Error::new(Kind::NotFound, format!("there is no rule '{pattern}' for a {kind} here"));
        let id = rule.ok_or_else(absent)?.id;
        let detail = json!({ "kind": kind.as_str(), "pattern": pattern });
        let audit = self.audit(grant.actor(), "repo.unprotect", grant.path(), detail).await?;
        let repository = grant.repository();
        let _changing = self.changing_policy();
        let remove = self.db().transaction(|tx| {
            let audit = audit.clone();
            Box::pin(async move {
                if !rows::delete(tx, repository, id).await? {
                    return Err(Error::new(Kind::NotFound, "the rule is gone already"));
                }
                audit.write(tx).await.map_err(Error::from)
            })
        });
        remove.await?;
        Ok(())
    }
}
