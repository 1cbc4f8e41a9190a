//! `hakata group`.

use hakata_names::GroupId;
use hakata_store::OwnerKind;

use super::accounts::done;
use super::{Cell, GroupCommand, MemberCommand, Outcome, Row, Table};
use crate::{Actor, Error, Forge};

pub(super) async fn run(forge: &Forge, actor: &Actor, command: GroupCommand) -> Result<Outcome, Error> {
    match command {
        GroupCommand::Create { name, owner } => {
            let user = forge.get_user(&owner).await?.id;
            let id = forge.create_group(actor, &name, user).await?;
            let row = Row::default().with("id", Cell::text(id)).with("name", Cell::text(&name));
            Ok(done(format!("created group {name}, owned by {owner}"), Some(row)))
        }
        GroupCommand::List => {
            let mut table = Table::new(&["id", "name", "size_bytes", "created_at"]);
            for group in forge.list_groups().await? {
                debug_assert_eq!(group.kind, OwnerKind::Group);
                let size = Cell::Bytes(u64::try_from(group.size_bytes).unwrap_or(0));
                table.push(vec![
                    Cell::text(group.id),
                    Cell::text(&group.name),
                    size,
                    Cell::Time(group.created_at),
                ]);
            }
            Ok(Outcome::List(table))
        }
        GroupCommand::Delete { name } => {
            forge.delete_group(actor, &name).await?;
            Ok(done(format!("deleted group {name}"), None))
        }
        GroupCommand::Member { name, change } => {
            let group = forge.get_group(&name).await?;
            match change {
                MemberCommand::List => {
                    let mut table = Table::new(&["id", "name", "role"]);
                    for member in forge.list_members(GroupId::new(group.id.get())).await? {
                        let role = Cell::text(member.role);
                        table.push(vec![Cell::text(member.user_id), Cell::text(&member.name), role]);
                    }
                    Ok(Outcome::List(table))
                }
                MemberCommand::Add { user, role } => {
                    let id = forge.get_user(&user).await?.id;
                    forge.set_member(actor, &group, id, Some(role)).await?;
                    Ok(done(format!("{user} is {role} of {name} now"), None))
                }
                MemberCommand::Remove { user } => {
                    let id = forge.get_user(&user).await?.id;
                    forge.set_member(actor, &group, id, None).await?;
                    Ok(done(format!("{user} is no member of {name} now"), None))
                }
            }
        }
    }
}
