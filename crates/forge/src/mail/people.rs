//! Whom things concern.

use hakata_names::{GroupId, OwnerId, RepositoryId, UserId};
use hakata_store::page::PageSize;
use hakata_store::repositories;
use hakata_store::{OwnerKind, Role, groups, owners, users, watches};

use super::{Addressees, Reason};
use crate::{Error, Forge};

impl Forge {
    /// Lists who answers for an owner's repositories: the user, or the owners of the group.
    pub(crate) async fn keepers_of(&self, owner: OwnerId) -> Result<Vec<UserId>, Error> {
        let mut conn = self.db().read().await?;
        let Some(found) = owners::find(&mut conn, owner).await? else { return Ok(Vec::new()) };
        if found.kind == OwnerKind::User {
            return Ok(vec![UserId::new(owner.get())]);
        }
        let (group, mut keepers, mut after) = (GroupId::new(owner.get()), Vec::new(), None);
        loop {
            let page = groups::list_members(&mut conn, group, after, PageSize::MAX).await?;
            keepers.extend(
                page.rows.iter().filter(|member| member.role == Role::Owner).map(|member| member.user_id),
            );
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keepers),
            }
        }
    }

    /// Lists who answers for the repository.
    pub(crate) async fn keepers_of_repository(&self, id: RepositoryId) -> Result<Vec<UserId>, Error> {
        let row = repositories::find(&mut self.db().read().await?, id).await?;
        match row {
            Some(row) => self.keepers_of(row.owner_id).await,
            None => Ok(Vec::new()),
        }
    }

    /// Lists the administrators.
    pub(crate) async fn keepers_of_all(&self) -> Result<Vec<UserId>, Error> {
        Ok(users::list_admins(&mut self.db().read().await?).await?)
    }

    /// Adds who answers for a repository and who watches it.
    pub(crate) async fn all_concerned(&self, to: Addressees, id: RepositoryId) -> Result<Addressees, Error> {
        if self.has_no_mail() {
            return Ok(to);
        }
        let keepers = self.keepers_of_repository(id).await?;
        Ok(to.and(keepers, Reason::Owner).and(self.watchers(id).await?, Reason::Subscribed))
    }

    /// Lists who watches a repository; nobody where mail is off.
    pub(crate) async fn watchers(&self, id: RepositoryId) -> Result<Vec<UserId>, Error> {
        if self.has_no_mail() {
            return Ok(Vec::new());
        }
        Ok(watches::watchers(&mut self.db().read().await?, id).await?)
    }
}
