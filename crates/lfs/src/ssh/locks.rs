//! Locks.

use hakata_forge::lfs::{self, Lock, LockWish, Operation};
use hakata_forge::{Kind, Read, Write};
use hakata_names::{LfsLockId, TreePath};
use http::StatusCode;

use super::reply::Reply;
use super::request::Arguments;
use super::session::Session;
use crate::json;
use crate::route::lock_of;

/// What a maintainer hears who meant it: clients say nothing of force in a session.
const BY_FORCE: &str = "clients do not say --force over SSH; a maintainer does it over HTTP: \
    git -c lfs.url=https://HOST/OWNER/NAME.git/info/lfs lfs unlock --force FILE";

/// `lock`
pub(super) async fn lock(session: &Session<'_>, arguments: &Arguments) -> Result<Reply, Reply> {
    session.expect(Operation::Upload)?;
    let path = arguments.find("path").unwrap_or_default();
    let path = TreePath::parse(path.as_bytes())
        .map_err(|error| Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    let grant = session.grant::<Write>().await?;
    let locked = lfs::lock(session.forge, &grant, &path).await.map_err(|error| session.refuse(&error))?;
    Ok(match locked {
        Ok(lock) => shown(StatusCode::CREATED, &lock),
        Err(held) => {
            let words = format!("already locked by {}", held.owner);
            shown(StatusCode::CONFLICT, &held).lines(vec![words])
        }
    })
}

/// `list-lock`: in a session for uploads it also says whose they are.
pub(super) async fn list(session: &Session<'_>, arguments: &Arguments) -> Result<Reply, Reply> {
    let nothing = || Reply::new(StatusCode::OK).lines(Vec::new());
    let wish = wish(arguments)?;
    let mut lines = Vec::new();
    let next = match (session.opened.operation, wish) {
        // Who may not even ask is not told that there is none.
        (Operation::Download, None) => return session.grant::<Read>().await.map(|_| nothing()),
        (Operation::Upload, None) => return session.grant::<Write>().await.map(|_| nothing()),
        (Operation::Download, Some(wish)) => {
            let grant = session.grant::<Read>().await?;
            let page = lfs::list_locks(session.forge, &grant, &wish).await;
            let page = page.map_err(|error| session.refuse(&error))?;
            page.locks.iter().for_each(|lock| describe(lock, None, &mut lines));
            page.next_cursor
        }
        (Operation::Upload, Some(wish)) => {
            let grant = session.grant::<Write>().await?;
            let page = lfs::verify_locks(session.forge, &grant, &wish).await;
            let page = page.map_err(|error| session.refuse(&error))?;
            page.ours.iter().for_each(|lock| describe(lock, Some("ours"), &mut lines));
            page.theirs.iter().for_each(|lock| describe(lock, Some("theirs"), &mut lines));
            page.next_cursor
        }
    };
    let reply = Reply::new(StatusCode::OK).lines(lines);
    Ok(match next {
        Some(cursor) => reply.argument("next-cursor", cursor),
        None => reply,
    })
}

/// `unlock`
pub(super) async fn unlock(
    session: &Session<'_>,
    id: LfsLockId,
    arguments: &Arguments,
) -> Result<Reply, Reply> {
    session.expect(Operation::Upload)?;
    let force = match arguments.find("force") {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(_) => return Err(Reply::refuse(StatusCode::UNPROCESSABLE_ENTITY, "force is true or false")),
    };
    let grant = session.grant::<Write>().await?;
    let lock = lfs::unlock(session.forge, &grant, id, force).await.map_err(|error| match error.kind() {
        Kind::Forbidden if !force => session.refuse(&error.with_hint(BY_FORCE)),
        _ => session.refuse(&error),
    })?;
    Ok(shown(StatusCode::OK, &lock))
}

/// Answers with a lock: clients demand all four arguments, of unlocking too.
fn shown(status: StatusCode, lock: &Lock) -> Reply {
    Reply::new(status)
        .argument("id", lock.id)
        .argument("path", path_of(lock))
        .argument("locked-at", json::time(lock.locked_at))
        .argument("ownername", &lock.owner)
}

/// Writes the lines of one lock.
fn describe(lock: &Lock, whose: Option<&str>, lines: &mut Vec<String>) {
    let id = lock.id;
    lines.push(format!("lock {id}"));
    lines.push(format!("path {id} {}", path_of(lock)));
    lines.push(format!("locked-at {id} {}", json::time(lock.locked_at)));
    lines.push(format!("ownername {id} {}", lock.owner));
    lines.extend(whose.map(|whose| format!("owner {id} {whose}")));
}

/// Paths came as text, so that they are UTF-8.
fn path_of(lock: &Lock) -> String {
    String::from_utf8_lossy(lock.path.as_bytes()).into_owned()
}

/// Reads the conditions of a list; `None` if no lock can meet them.
fn wish(arguments: &Arguments) -> Result<Option<LockWish>, Reply> {
    let mut wish = LockWish::default();
    if let Some(path) = arguments.find("path") {
        let Ok(path) = TreePath::parse(path.as_bytes()) else { return Ok(None) };
        wish.path = Some(path);
    }
    if let Some(id) = arguments.find("id") {
        let Some(id) = lock_of(id) else { return Ok(None) };
        wish.id = Some(id);
    }
    wish.cursor = arguments.find("cursor").map(str::to_owned);
    wish.limit = arguments.number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Some(wish))
}
