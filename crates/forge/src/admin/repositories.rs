//! `hakata repo create|list|delete|restore|rename|import|path|verify|recover`.

use std::time::Duration;

use hakata_git::quarantine::Fsck;
use hakata_repository::Reason;
use hakata_store::Visibility;
use hakata_store::repositories::Repository;

use super::accounts::done;
use super::command::object_format;
use super::import::{self, Source};
use super::mirrors;
use super::run::Progress;
use super::{Cell, Outcome, RepoCommand, Row, Table};
use crate::access::{Own, Read};
use crate::{Actor, Error, Forge, Kind};

pub(super) async fn run(
    forge: &Forge,
    actor: &Actor,
    command: RepoCommand,
    progress: &mut Progress<'_>,
) -> Result<Outcome, Error> {
    match command {
        RepoCommand::Create { path, visibility, object_format: format, description } => {
            let format =
                format.as_deref().map(|name| object_format(name).ok_or_else(no_format)).transpose()?;
            let description = description.unwrap_or_default();
            let grant = forge.create_repository(actor, &path, visibility, format, description).await?;
            let row = Row::default()
                .with("id", Cell::text(grant.repository()))
                .with("path", Cell::text(grant.path()))
                .with("visibility", Cell::text(visibility));
            Ok(done(format!("created {visibility} repository {}", grant.path()), Some(row)))
        }
        RepoCommand::List { owner } => {
            Ok(Outcome::List(repositories(&forge.list_repositories(owner.as_ref()).await?)))
        }
        RepoCommand::Delete { path } => {
            forge.delete_repository(&forge.grant::<Own>(actor, &path).await?).await?;
            Ok(done(format!("deleted {path}"), None))
        }
        RepoCommand::ListDeleted => {
            Ok(Outcome::List(deleted(forge.deleted_repositories().await?, forge.settings().restore_for)))
        }
        RepoCommand::Restore { id } => {
            let path = forge.restore_repository(actor, id).await?;
            Ok(done(format!("restored {path}"), Some(Row::default().with("path", Cell::text(&path)))))
        }
        RepoCommand::Rename { path, to } => {
            forge.rename_repository(&forge.grant::<Own>(actor, &path).await?, &to).await?;
            Ok(done(format!("{path} is {to} now"), None))
        }
        RepoCommand::Path { path } => {
            let grant = forge.grant::<Read>(actor, &path).await?;
            let repository = forge.repositories().open(grant.repository()).await?;
            let cache = repository.cache().await.map_err(Error::internal)?;
            let dir = cache.dir().path().display().to_string();
            let row =
                Row::default().with("path", Cell::text(grant.path())).with("directory", Cell::text(dir));
            Ok(Outcome::One(row))
        }
        RepoCommand::Import { source, path, visibility, accept_warnings } => {
            let fsck = if accept_warnings { Fsck::Hashes } else { Fsck::Strict };
            let source = Source { directory: source, path, visibility, reason: Reason::Import, fsck };
            import::import(forge, actor, source, progress).await
        }
        RepoCommand::ImportUrl(wish) => mirrors::import(forge, actor, wish).await,
        RepoCommand::Imports(command) => mirrors::imports(forge, actor, command).await,
        RepoCommand::Mirror(command) => mirrors::run(forge, actor, command).await,
        RepoCommand::ImportTree(wish) => import::import_tree(forge, actor, wish, progress).await,
        RepoCommand::Recover { source, path } => {
            // What was accepted once is taken back as it is.
            let (visibility, reason, fsck) = (Visibility::Private, Reason::Recover, Fsck::Hashes);
            let source = Source { directory: source, path, visibility, reason, fsck };
            import::import(forge, actor, source, progress).await
        }
        RepoCommand::Verify { path } => import::verify(forge, actor, &path).await,
        _ => Err(Error::new(Kind::Invalid, "this command is not known here")),
    }
}

fn no_format() -> Error {
    Error::new(Kind::Invalid, "the object format is sha1 or sha256")
}

/// The columns of a repository.
pub(crate) fn row(repository: &Repository) -> Row {
    let bytes = |stored: i64| Cell::Bytes(u64::try_from(stored).unwrap_or(0));
    Row::default()
        .with("id", Cell::text(repository.id))
        .with("path", Cell::text(repository.path()))
        .with("visibility", Cell::text(repository.visibility))
        .with("state", Cell::text(repository.state))
        .with("object_format", Cell::text(repository.object_format.name()))
        .with("size_bytes", bytes(repository.size_bytes))
        .with("created_at", Cell::Time(repository.created_at))
        .with("pushed_at", Cell::time(repository.pushed_at))
}

/// The deleted ones, with the time until which they can be restored.
fn deleted(rows: Vec<Repository>, restore_for: Duration) -> Table {
    let period = i64::try_from(restore_for.as_millis()).unwrap_or(i64::MAX);
    let rows = rows.into_iter().map(|repository| {
        let until = repository.deleted_at.map(|at| at.saturating_add(period));
        Row::default()
            .with("id", Cell::text(repository.id))
            .with("path", Cell::text(repository.path()))
            .with("size_bytes", Cell::Bytes(u64::try_from(repository.size_bytes).unwrap_or(0)))
            .with("deleted_at", Cell::time(repository.deleted_at))
            .with("restore_until", Cell::time(until))
    });
    Table::of_rows(&["id", "path", "size_bytes", "deleted_at", "restore_until"], rows)
}

pub(crate) fn repositories(rows: &[Repository]) -> Table {
    let columns =
        ["id", "path", "visibility", "state", "object_format", "size_bytes", "created_at", "pushed_at"];
    Table::of_rows(&columns, rows.iter().map(row))
}
