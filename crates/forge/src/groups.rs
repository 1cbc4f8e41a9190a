//! Groups: owners of repositories that several people belong to.

use hakata_names::{GroupId, OwnerName, UserId};
use hakata_store::groups::{self as rows, NewGroup};
use hakata_store::members::Member;
use hakata_store::owners::{self, Owner};
use hakata_store::page::PageSize;
use hakata_store::{OwnerKind, Role};
use serde_json::json;

use crate::accounts::check_owner_name;
use crate::{Actor, Error, Forge, Kind};

fn no_group(name: &OwnerName) -> Error {
    Error::new(Kind::NotFound, format!("there is no group '{name}'"))
}

impl Forge {
    /// Makes a group with its first owner.
    pub(crate) async fn create_group(
        &self,
        actor: &Actor,
        name: &OwnerName,
        owner: UserId,
    ) -> Result<GroupId, Error> {
        check_owner_name(name)?;
        let id: GroupId = self.ids().next().await?;
        let audit = self.audit(actor, "group.create", name, json!({ "owner": owner.to_string() })).await?;
        let created_at = self.clock().now_ms();
        let _changing = self.changing_policy();
        let create = self.db().transaction(|tx| {
            let (name, audit) = (name.clone(), audit.clone());
            Box::pin(async move {
                let new = NewGroup { id, name: &name, display_name: "", created_at };
                if rows::insert(tx, &new).await?.is_err() {
                    return Err(Error::new(Kind::Conflict, format!("the name '{name}' is taken")));
                }
                rows::set_member(tx, id, owner, Role::Owner).await?;
                audit.write(tx).await.map_err(Error::from)
            })
        });
        create.await?;
        Ok(id)
    }

    /// Reads a group by name.
    pub(crate) async fn get_group(&self, name: &OwnerName) -> Result<Owner, Error> {
        let mut conn = self.db().read().await?;
        let owner = owners::find_by_name(&mut conn, name).await?;
        owner.filter(|owner| owner.kind == OwnerKind::Group).ok_or_else(|| no_group(name))
    }

    /// Lists all groups by name.
    pub(crate) async fn list_groups(&self) -> Result<Vec<Owner>, Error> {
        let mut conn = self.db().read().await?;
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = rows::list(&mut conn, after.as_ref(), PageSize::MAX).await?;
            all.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Deletes a group that owns nothing.
    pub(crate) async fn delete_group(&self, actor: &Actor, name: &OwnerName) -> Result<(), Error> {
        let group = self.get_group(name).await?;
        let audit = self.audit(actor, "group.delete", name, json!({})).await?;
        let _changing = self.changing_policy();
        let delete = self.db().transaction(|tx| {
            let (id, name, audit) = (GroupId::new(group.id.get()), name.clone(), audit.clone());
            Box::pin(async move {
                if !rows::delete(tx, id).await? {
                    return Err(Error::new(
                        Kind::Conflict,
                        format!("the group '{name}' still owns repositories"),
                    )
                    .with_hint(
                        "move or delete them first; deleted ones count until their restore period ends",
                    ));
                }
                audit.write(tx).await.map_err(Error::from)
            })
        });
        delete.await?;
        Ok(())
    }

    /// Lists a group's members.
    pub(crate) async fn list_members(&self, group: GroupId) -> Result<Vec<Member>, Error> {
        let mut conn = self.db().read().await?;
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = rows::list_members(&mut conn, group, after, PageSize::MAX).await?;
            all.extend(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Gives a user a role in a group, or takes it with `None`. A group keeps at least one owner.
    pub(crate) async fn set_member(
        &self,
        actor: &Actor,
        group: &Owner,
        user: UserId,
        role: Option<Role>,
    ) -> Result<(), Error> {
        let detail = json!({ "user": user.to_string(), "role": role });
        let audit = self.audit(actor, "group.member", &group.name, detail).await?;
        let _changing = self.changing_policy();
        let set = self.db().transaction(|tx| {
            let (id, name, audit) = (GroupId::new(group.id.get()), group.name.clone(), audit.clone());
            Box::pin(async move {
                if !rows::lock(tx, id).await? {
                    return Err(no_group(&name));
                }
                match role {
                    Some(role) => rows::set_member(tx, id, user, role).await?,
                    None if rows::remove_member(tx, id, user).await? => {}
                    None => return Err(Error::new(Kind::NotFound, "this user is no member of the group")),
                }
                if rows::count_owners(tx, id).await? == 0 {
                    return Err(Error::new(Kind::Conflict, "a group needs at least one owner")
                        .with_hint("make another member an owner first"));
                }
                audit.write(tx).await.map_err(Error::from)
            })
        });
        set.await?;
        Ok(())
    }
}
