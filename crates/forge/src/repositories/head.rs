//! The branch that clones check out.

use hakata_names::RefName;
use hakata_repository::{Atomicity, CommitError, Intent, Prepared, Reason};
use hakata_store::repositories;
use serde_json::json;

use crate::access::{Grant, Maintain};
use crate::{Error, Forge};

/// Whether a branch has a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Branch {
    /// It has.
    Born,
    /// It will, when somebody pushes it.
    Unborn,
}

impl Forge {
    /// Points `HEAD` at a branch, which need not exist: the change is a commit like any push, so that readers on every
    /// node see it at once.
    pub(crate) async fn set_default_branch(
        &self,
        grant: &Grant<Maintain>,
        name: &RefName,
    ) -> Result<Branch, Error> {
        let repository = self.repositories().open(grant.repository()).await?;
        let detail = json!({ "branch": String::from_utf8_lossy(name.short()) });
        let audit = self.audit(grant.actor(), "repo.default_branch", grant.path(), detail).await?;
        let mut conn = self.db().read().await?;
        let row = repositories::find(&mut conn, grant.repository()).await?;
        drop(conn);
        let policy_version = row.ok_or_else(Error::repository_not_found)?.policy_version;
        let intent = Intent {
            actor: grant.actor().user(),
            reason: Reason::Settings,
            atomicity: Atomicity::Whole,
            policy_version,
            default_ref: Some(name.clone()),
            idempotency_key: None,
        };
        let mut prepared = Prepared::without_objects(Vec::new(), intent, repository.prune_epoch());
        loop {
            let audit = audit.clone();
            let committed = repository.commit(prepared, move |conn, _| {
                let audit = audit.clone();
                Box::pin(async move { audit.write(conn).await })
            });
            let (again, policy_version) = match committed.await {
                Ok(_) => break,
                Err(CommitError::PolicyChanged { prepared, policy_version }) => (prepared, policy_version),
                Err(error) => return Err(error.into()),
            };
            // What changed may be the actor's role.
            self.grant::<Maintain>(grant.actor(), grant.path()).await?;
            prepared = *again;
            prepared.set_policy_version(policy_version);
        }
        let is_born = repository.snapshot().find(name).is_some();
        Ok(if is_born { Branch::Born } else { Branch::Unborn })
    }
}
