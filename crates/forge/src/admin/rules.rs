//! `hakata repo protect|protections|unprotect|visibility|archive|quota|collaborator`.

use hakata_names::RefPattern;
use hakata_store::ProtectionKind;

use super::accounts::done;
use super::{Cell, Outcome, RepoCommand, Table, shown_bytes};
use crate::access::{Maintain, Own};
use crate::protections::RuleWish;
use crate::{Actor, Error, Forge, Kind};

/// Whether the command was one of these.
pub(super) enum Ran {
    /// It was; this is its answer.
    Done(Outcome),
    /// It is about something else.
    NotMine(RepoCommand),
}

pub(super) async fn run(forge: &Forge, actor: &Actor, command: RepoCommand) -> Result<Ran, Error> {
    let outcome = match command {
        RepoCommand::Protect { path, tags, pattern, push, force, delete } => {
            let grant = forge.grant::<Maintain>(actor, &path).await?;
            let kind = kind(tags);
            let parsed =
                RefPattern::parse(&pattern).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
            let allowed = Vec::new();
            let wish =
                RuleWish { kind, pattern: parsed, push, may_force: force, may_delete: delete, allowed };
            let id = forge.protect(&grant, wish).await?;
            done(format!("protected {kind} '{pattern}' of {path} by rule {id}"), None)
        }
        RepoCommand::Protections { path } => {
            let grant = forge.grant::<Maintain>(actor, &path).await?;
            let mut table = Table::new(&["id", "kind", "pattern", "push", "force", "delete"]);
            for rule in forge.list_protections(&grant).await? {
                table.push(vec![
                    Cell::text(rule.id),
                    Cell::text(rule.kind),
                    Cell::text(rule.pattern.as_str()),
                    rule.push_role.map_or(Cell::text("nobody"), Cell::text),
                    Cell::Flag(rule.may_force),
                    Cell::Flag(rule.may_delete),
                ]);
            }
            Outcome::List(table)
        }
        RepoCommand::Unprotect { path, tags, pattern } => {
            let grant = forge.grant::<Maintain>(actor, &path).await?;
            forge.unprotect(&grant, kind(tags), &pattern).await?;
            done(format!("'{pattern}' of {path} is not protected any more"), None)
        }
        RepoCommand::Visibility { path, visibility } => {
            forge.set_visibility(&forge.grant::<Own>(actor, &path).await?, visibility).await?;
            done(format!("{path} is {visibility} now"), None)
        }
        RepoCommand::Archive { path, archived } => {
            forge.set_archived(&forge.grant::<Own>(actor, &path).await?, archived).await?;
            let is = if archived { "archived and read-only" } else { "in use again" };
            done(format!("{path} is {is} now"), None)
        }
        RepoCommand::Quota { path, quota } => {
            forge.set_quota(&forge.grant::<Own>(actor, &path).await?, quota).await?;
            let limit = quota.map_or("the configured default".to_owned(), |quota| shown_bytes(quota.bytes()));
            done(format!("the quota of {path} is {limit} now"), None)
        }
        RepoCommand::Collaborator { path, user, role } => {
            forge.set_collaborator(&forge.grant::<Own>(actor, &path).await?, &user, role).await?;
            let is = role.map_or("no collaborator".to_owned(), |role| role.to_string());
            done(format!("{user} is {is} of {path} now"), None)
        }
        command => return Ok(Ran::NotMine(command)),
    };
    Ok(Ran::Done(outcome))
}

fn kind(tags: bool) -> ProtectionKind {
    if tags { ProtectionKind::Tag } else { ProtectionKind::Branch }
}
