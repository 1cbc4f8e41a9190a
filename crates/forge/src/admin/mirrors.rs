//! `hakata repo mirror …`, `hakata repo import URL …`, `hakata repo imports …`.

use std::time::Duration;

use hakata_store::imports::Import;

use super::accounts::done;
use super::command::object_format;
use super::mirror_command::MirrorAdd;
use super::{Cell, ImportUrl, ImportsCommand, MirrorCommand, Outcome, Row, Table};
use crate::mirrors::{Shown, Wish};
use crate::{Actor, Error, Forge, Kind, imports};

pub(super) async fn run(forge: &Forge, actor: &Actor, command: MirrorCommand) -> Result<Outcome, Error> {
    match command {
        MirrorCommand::Add(add) => {
            let (path, url) = (add.path.clone(), add.url.clone());
            let direction = add.direction;
            let id = forge.add_mirror(actor, wish(add)).await?;
            let row = Row::default().with("id", Cell::text(id)).with("path", Cell::text(&path));
            let words = match direction {
                hakata_store::Direction::Pull => format!("{path} follows {url} as mirror {id}"),
                hakata_store::Direction::Push => format!("{url} follows {path} as mirror {id}"),
            };
            Ok(done(words, Some(row)))
        }
        MirrorCommand::List { path } => {
            Ok(Outcome::List(mirrors(&forge.list_mirrors(actor, path.as_ref()).await?)))
        }
        MirrorCommand::Remove { id } => {
            forge.remove_mirror(actor, id).await?;
            Ok(done(format!("removed mirror {id}; what it brought stays"), None))
        }
        MirrorCommand::Sync { id } => {
            forge.sync_mirror(actor, id).await?;
            Ok(done(format!("mirror {id} is synced as soon as a worker is free"), None))
        }
        MirrorCommand::Pause { id } => {
            forge.pause_mirror(actor, id).await?;
            Ok(done(format!("mirror {id} is paused"), None))
        }
        MirrorCommand::Resume { id } => {
            forge.resume_mirror(actor, id).await?;
            Ok(done(format!("mirror {id} is resumed"), None))
        }
    }
}

pub(super) async fn import(forge: &Forge, actor: &Actor, wish: ImportUrl) -> Result<Outcome, Error> {
    let unknown = || Error::new(Kind::Invalid, "the object format is sha1 or sha256");
    let format =
        wish.object_format.as_deref().map(|name| object_format(name).ok_or_else(unknown)).transpose()?;
    let path = wish.path.clone();
    let wish = imports::Wish {
        path: wish.path,
        url: wish.url,
        user: wish.user,
        password: wish.password.map(Into::into),
        visibility: wish.visibility,
        object_format: format,
        accepts_warnings: wish.accept_warnings,
    };
    let id = forge.begin_import(actor, wish).await?;
    let row = Row::default().with("id", Cell::text(id)).with("path", Cell::text(&path));
    Ok(done(
        format!("import {id} into {path} is under way: hakata repo imports tells how far it is"),
        Some(row),
    ))
}

pub(super) async fn imports(forge: &Forge, actor: &Actor, command: ImportsCommand) -> Result<Outcome, Error> {
    match command {
        ImportsCommand::List { limit } => {
            Ok(Outcome::List(import_table(&forge.list_imports(usize::from(limit)).await?)))
        }
        ImportsCommand::Cancel { id } => {
            forge.cancel_import(actor, id).await?;
            Ok(done(format!("import {id} is cancelled; nothing is left of it"), None))
        }
    }
}

fn wish(add: MirrorAdd) -> Wish {
    Wish {
        path: add.path,
        direction: add.direction,
        url: add.url,
        user: add.user,
        password: add.password.map(Into::into),
        branches: add.branches,
        has_tags: add.tags,
        is_forced: add.force,
        accepts_warnings: add.accept_warnings,
        every: add.every_s.map(Duration::from_secs),
        overwrites: add.overwrite,
    }
}

/// What is kept of a login is never among the columns.
fn mirrors(all: &[Shown]) -> Table {
    let columns = [
        "id",
        "path",
        "direction",
        "url",
        "login",
        "branches",
        "tags",
        "force",
        "every_ms",
        "state",
        "tried_at",
        "synced_at",
        "failing_since",
        "next_at",
        "error",
    ];
    let rows = all.iter().map(|Shown { row, path }| {
        let state = match (row.paused_at, row.failing_since, row.synced_at) {
            (Some(_), ..) => "paused",
            (_, Some(_), _) => "failing",
            (.., None) => "waiting",
            (.., Some(_)) => "synced",
        };
        Row::default()
            .with("id", Cell::text(row.id))
            .with("path", Cell::text(path))
            .with("direction", Cell::text(row.direction))
            .with("url", Cell::text(&row.url))
            .with("login", Cell::Flag(row.login.is_some()))
            .with("branches", if row.branches.is_empty() { Cell::Absent } else { Cell::text(&row.branches) })
            .with("tags", Cell::Flag(row.has_tags))
            .with("force", Cell::Flag(row.is_forced))
            .with("every_ms", Cell::Number(row.interval_ms))
            .with("state", Cell::text(state))
            .with("tried_at", Cell::time(row.tried_at))
            .with("synced_at", Cell::time(row.synced_at))
            .with("failing_since", Cell::time(row.failing_since))
            .with("next_at", Cell::time(row.next_at.filter(|_| row.paused_at.is_none())))
            .with("error", row.last_error.as_ref().map_or(Cell::Absent, Cell::text))
    });
    Table::of_rows(&columns, rows)
}

fn import_table(all: &[Import]) -> Table {
    let columns = [
        "id",
        "path",
        "url",
        "state",
        "phase",
        "size_bytes",
        "created_at",
        "started_at",
        "finished_at",
        "error",
    ];
    let rows = all.iter().map(|import| {
        Row::default()
            .with("id", Cell::text(import.id))
            .with("path", Cell::text(&import.path))
            .with("url", Cell::text(&import.url))
            .with("state", Cell::text(import.state))
            .with("phase", import.phase.as_ref().map_or(Cell::Absent, Cell::text))
            .with("size_bytes", Cell::Bytes(u64::try_from(import.size_bytes).unwrap_or(0)))
            .with("created_at", Cell::Time(import.created_at))
            .with("started_at", Cell::time(import.started_at))
            .with("finished_at", Cell::time(import.finished_at))
            .with("error", import.error.as_ref().map_or(Cell::Absent, Cell::text))
    });
    Table::of_rows(&columns, rows)
}
