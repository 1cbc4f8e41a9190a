//! `hakata repo protect|protections|unprotect|default-branch|visibility|archive|quota|collaborator`.

use hakata_names::{RefName, RefPattern, RepositoryPath};
use hakata_store::ProtectionKind;

use super::accounts::done;
use super::{Cell, Outcome, RepoCommand, Row, Table, shown_bytes};
use crate::access::{Maintain, Own, Read};
use crate::protections::RuleWish;
use crate::repositories::Branch;
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
        RepoCommand::Protect { path, tags, pattern, push, force, delete, allowed } => {
            let grant = forge.grant::<Maintain>(actor, &path).await?;
            let kind = kind(tags);
            let parsed =
                RefPattern::parse(&pattern).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
            let wish =
                RuleWish { kind, pattern: parsed, push, may_force: force, may_delete: delete, allowed };
            let id = forge.protect(&grant, wish).await?;
            done(format!("protected {kind} '{pattern}' of {path} by rule {id}"), None)
        }
        RepoCommand::Protections { path } => protections(forge, actor, &path).await?,
        RepoCommand::Unprotect { path, tags, pattern } => {
            let grant = forge.grant::<Maintain>(actor, &path).await?;
            forge.unprotect(&grant, kind(tags), &pattern).await?;
            done(format!("'{pattern}' of {path} is not protected any more"), None)
        }
        RepoCommand::DefaultBranch { path, branch: None } => shown_branch(forge, actor, &path).await?,
        RepoCommand::DefaultBranch { path, branch: Some(branch) } => {
            set_branch(forge, actor, &path, &branch).await?
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

async fn protections(forge: &Forge, actor: &Actor, path: &RepositoryPath) -> Result<Outcome, Error> {
    let grant = forge.grant::<Maintain>(actor, path).await?;
    let mut table = Table::new(&["id", "kind", "pattern", "push", "users", "force", "delete"]);
    for rule in forge.list_protections(&grant).await? {
        let users = forge.names_of(&rule.allowed_users).await?;
        table.push(vec![
            Cell::text(rule.id),
            Cell::text(rule.kind),
            Cell::text(rule.pattern.as_str()),
            rule.push_role.map_or(Cell::text("nobody"), Cell::text),
            Cell::Words(users),
            Cell::Flag(rule.may_force),
            Cell::Flag(rule.may_delete),
        ]);
    }
    Ok(Outcome::List(table))
}

async fn shown_branch(forge: &Forge, actor: &Actor, path: &RepositoryPath) -> Result<Outcome, Error> {
    let row = forge.repository_row(&forge.grant::<Read>(actor, path).await?).await?;
    Ok(Outcome::One(Row::default().with("default_branch", short(&row.default_ref))))
}

async fn set_branch(
    forge: &Forge,
    actor: &Actor,
    path: &RepositoryPath,
    branch: &str,
) -> Result<Outcome, Error> {
    let grant = forge.grant::<Maintain>(actor, path).await?;
    let name = branch_named(branch)?;
    let unborn = match forge.set_default_branch(&grant, &name).await? {
        Branch::Born => "",
        Branch::Unborn => ", which does not exist yet",
    };
    let shown = short(&name);
    let message = format!("the default branch of {path} is {} now{unborn}", shown.shown());
    Ok(done(message, Some(Row::default().with("default_branch", shown))))
}

fn kind(tags: bool) -> ProtectionKind {
    if tags { ProtectionKind::Tag } else { ProtectionKind::Branch }
}

/// Reads a branch by its short name, or as git writes it out in full.
fn branch_named(text: &str) -> Result<RefName, Error> {
    let short = text.strip_prefix("refs/heads/").unwrap_or(text);
    RefName::parse_branch(short.as_bytes())
        .map_err(|error| Error::new(Kind::Invalid, format!("{text:?} is no branch name: {error}")))
}

fn short(name: &RefName) -> Cell {
    Cell::text(String::from_utf8_lossy(name.short()))
}
