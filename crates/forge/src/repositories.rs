//! Repositories as things with a name, an owner and settings.

mod head;
mod restore;

pub(crate) use head::Branch;

use hakata_names::{ObjectFormat, OwnerId, OwnerName, RepositoryId, RepositoryPath, UserId};
use hakata_runtime::units::ByteSize;
use hakata_store::collaborators;
use hakata_store::owners;
use hakata_store::page::PageSize;
use hakata_store::repositories::{self as rows, Repository};
use hakata_store::{Conn, RepositoryState, Role, Visibility};
use serde_json::{Value, json};

use crate::access::{Grant, Own};
use crate::hosting::Wish;
use crate::mail::{Addressees, Matter, Notices, RepositoryChange};
use crate::{Actor, Error, Forge, Kind, Read};

/// A change of a repository's row.
#[derive(Clone, Debug)]
enum Change {
    Visibility(Visibility),
    Quota(Option<i64>),
    State { from: RepositoryState, to: RepositoryState, now: i64 },
    Collaborator { user: UserId, role: Option<Role> },
    Move { owner: Option<OwnerId>, to: RepositoryPath, notices: Notices },
}

impl Forge {
    /// Makes an empty repository where the actor may.
    pub(crate) async fn create_repository(
        &self,
        actor: &Actor,
        path: &RepositoryPath,
        visibility: Visibility,
        object_format: Option<ObjectFormat>,
        description: String,
    ) -> Result<Grant<Own>, Error> {
        let default_ref = self.default_ref()?;
        let object_format = object_format.unwrap_or(self.settings().default_object_format);
        let wish =
            Wish { object_format, default_ref, visibility, state: RepositoryState::Active, description };
        self.create_in_state(actor, path, wish).await?;
        self.grant(actor, path).await
    }

    /// Makes the row of a repository in any state.
    pub(crate) async fn create_in_state(
        &self,
        actor: &Actor,
        path: &RepositoryPath,
        wish: Wish,
    ) -> Result<RepositoryId, Error> {
        let creation = self.find_creation(actor, path).await?.ok_or_else(|| {
            if actor.is_admin() {
                return no_owner(&path.owner);
            }
            Error::new(Kind::Forbidden, format!("you cannot create repositories for '{}'", path.owner))
                .with_hint("create it under your own name, or in a group where you are a maintainer")
        })?;
        self.create(&creation, wish).await
    }

    /// Lists the repositories of an owner, or all of them, that are not deleted.
    pub(crate) async fn list_repositories(
        &self,
        owner: Option<&OwnerName>,
    ) -> Result<Vec<Repository>, Error> {
        let mut conn = self.db().read().await?;
        let Some(name) = owner else { return all(&mut conn).await };
        let owner = owners::find_by_name(&mut conn, name).await?.ok_or_else(|| no_owner(name))?;
        let (mut list, mut after) = (Vec::new(), None);
        loop {
            let page = rows::list_of_owner(&mut conn, owner.id, after.as_ref(), PageSize::MAX).await?;
            list.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(list),
            }
        }
    }

    /// Reads the row of a repository that may be read.
    pub(crate) async fn repository_row(&self, grant: &Grant<Read>) -> Result<Repository, Error> {
        let mut conn = self.db().read().await?;
        rows::find(&mut conn, grant.repository()).await?.ok_or_else(Error::repository_not_found)
    }

    /// Deletes a repository: it is gone for everybody; its bytes go after the restore period.
    pub(crate) async fn delete_repository(&self, grant: &Grant<Own>) -> Result<(), Error> {
        let audit = self.audit(grant.actor(), "repo.delete", grant.path(), json!({})).await?;
        let notices =
            self.notices_of(grant, RepositoryChange::Deleted { path: grant.path().clone() }).await?;
        let _changing = self.changing_policy();
        let state = grant.facts().state;
        let rows = audit.rows_with(notices.clone());
        self.repositories().delete(grant.repository(), state, rows, None).await?;
        notices.count();
        Ok(())
    }

    /// Prepares what those whom a repository concerns are told of a change of it.
    async fn notices_of(&self, grant: &Grant<Own>, change: RepositoryChange) -> Result<Notices, Error> {
        let id = grant.repository();
        let to = self.all_concerned(Addressees::about(Some(id), grant.actor()), id).await?;
        self.notices(&Matter::Repository { change }, None, to).await
    }

    /// Makes a repository read-only, or takes that back.
    pub(crate) async fn set_archived(&self, grant: &Grant<Own>, archived: bool) -> Result<(), Error> {
        let (from, to) = match archived {
            true => (RepositoryState::Active, RepositoryState::Archived),
            false => (RepositoryState::Archived, RepositoryState::Active),
        };
        let now = self.clock().now_ms();
        self.change(grant, "repo.archive", json!({ "archived": archived }), Change::State { from, to, now })
            .await
    }

    /// Sets who may read.
    pub(crate) async fn set_visibility(
        &self,
        grant: &Grant<Own>,
        visibility: Visibility,
    ) -> Result<(), Error> {
        let detail = json!({ "visibility": visibility.as_str() });
        self.change(grant, "repo.visibility", detail, Change::Visibility(visibility)).await
    }

    /// Sets the repository's own quota. Only an administrator may: it costs the installation's disk.
    pub(crate) async fn set_quota(&self, grant: &Grant<Own>, quota: Option<ByteSize>) -> Result<(), Error> {
        if !grant.actor().is_admin() {
            return Err(Error::new(Kind::Forbidden, "only an administrator sets quotas"));
        }
        let bytes = quota.map(|quota| i64::try_from(quota.bytes()).unwrap_or(i64::MAX));
        self.change(grant, "repo.quota", json!({ "quota_bytes": bytes }), Change::Quota(bytes)).await
    }

    /// Gives a user a role in one repository, or takes it.
    pub(crate) async fn set_collaborator(
        &self,
        grant: &Grant<Own>,
        user: &OwnerName,
        role: Option<Role>,
    ) -> Result<(), Error> {
        let user = self.get_user(user).await?.id;
        let detail = json!({ "user": user.to_string(), "role": role });
        self.change(grant, "repo.collaborator", detail, Change::Collaborator { user, role }).await
    }

    /// Moves a repository to another name, and to another owner if the actor may create there.
    pub(crate) async fn rename_repository(
        &self,
        grant: &Grant<Own>,
        to: &RepositoryPath,
    ) -> Result<(), Error> {
        let stays = grant.path().owner.folded() == to.owner.folded();
        let owner = match stays {
            true => None,
            false => {
                let there = self.find_creation(grant.actor(), to).await?;
                let refused = || Error::new(Kind::Forbidden, format!("you cannot move it to '{}'", to.owner));
                Some(there.ok_or_else(refused)?.owner)
            }
        };
        let detail = json!({ "to": to.to_string() });
        let moved = RepositoryChange::Moved { from: grant.path().clone(), to: to.clone() };
        let notices = self.notices_of(grant, moved).await?;
        let change = Change::Move { owner, to: to.clone(), notices: notices.clone() };
        self.change(grant, "repo.rename", detail, change).await?;
        notices.count();
        Ok(())
    }

    async fn change(
        &self,
        grant: &Grant<Own>,
        action: &'static str,
        detail: Value,
        change: Change,
    ) -> Result<(), Error> {
        let audit = self.audit(grant.actor(), action, grant.path(), detail).await?;
        let id = grant.repository();
        let _changing = self.changing_policy();
        let write = self.db().transaction(|tx| {
            let (change, audit) = (change.clone(), audit.clone());
            Box::pin(async move {
                apply(tx, id, change).await?;
                audit.write(tx).await.map_err(Error::from)
            })
        });
        write.await?;
        self.repositories().forget(id);
        Ok(())
    }
}

async fn apply(conn: &mut Conn, id: RepositoryId, change: Change) -> Result<(), Error> {
    let done = match change {
        Change::Visibility(visibility) => rows::set_visibility(conn, id, visibility).await?,
        Change::Quota(bytes) => rows::set_quota(conn, id, bytes).await?,
        Change::State { from, to, now } => rows::set_state(conn, id, from, to, now).await?,
        Change::Collaborator { user, role: Some(role) } => {
            collaborators::set(conn, id, user, role).await?;
            true
        }
        Change::Collaborator { user, role: None } => {
            if !collaborators::remove(conn, id, user).await? {
                return Err(Error::new(Kind::NotFound, "this user is no collaborator"));
            }
            true
        }
        Change::Move { owner, to, notices } => {
            // The new name first: a transfer looks for the name in the new place.
            rows::rename(conn, id, &to.name).await?.map_err(|_| taken(&to))?;
            if let Some(owner) = owner {
                rows::transfer(conn, id, owner).await?.map_err(|_| taken(&to))?;
            }
            notices.write(conn).await?;
            true
        }
    };
    if done { Ok(()) } else { Err(Error::new(Kind::Conflict, "the repository has changed meanwhile")) }
}

fn no_owner(name: &OwnerName) -> Error {
    Error::new(Kind::NotFound, format!("there is no user or group '{name}'"))
        .with_hint(format!("make one first: hakata user add {name}"))
}

fn taken(path: &RepositoryPath) -> Error {
    Error::new(Kind::Conflict, format!("the repository {path} exists already"))
}

async fn all(conn: &mut Conn) -> Result<Vec<Repository>, Error> {
    let (mut list, mut after) = (Vec::new(), None);
    loop {
        let page = rows::list_all(conn, after, PageSize::MAX).await?;
        list.extend(page.rows.into_iter().filter(|row| row.state != RepositoryState::Deleted));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    list.sort_by_key(Repository::path);
    Ok(list)
}
