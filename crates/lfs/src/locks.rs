//! Locks. Source: git-lfs, docs/api/locking.md.

use hakata_forge::lfs::{self, Lock, LockWish, Operation};
use hakata_forge::{Read, Write};
use hakata_names::{LfsLockId, TreePath};
use hakata_service::http::{Body, percent_decode};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::face::Call;
use crate::json;
use crate::refusal::Refusal;
use crate::route::lock_of;

#[derive(Debug, Deserialize)]
struct Wanted {
    path: String,
}

#[derive(Debug, Deserialize)]
struct Verified {
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    limit: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Unlocked {
    #[serde(default)]
    force: Option<bool>,
}

/// A lock as clients read it.
#[derive(Serialize)]
struct Shown {
    id: String,
    path: String,
    locked_at: String,
    owner: Owner,
}

#[derive(Serialize)]
struct Owner {
    name: String,
}

#[derive(Serialize)]
struct One {
    lock: Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    locks: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct OursAndTheirs {
    ours: Vec<Shown>,
    theirs: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl From<Lock> for Shown {
    fn from(lock: Lock) -> Self {
        Self {
            id: lock.id.to_string(),
            // Paths came as JSON, so that they are UTF-8.
            path: String::from_utf8_lossy(lock.path.as_bytes()).into_owned(),
            locked_at: json::time(lock.locked_at),
            owner: Owner { name: lock.owner },
        }
    }
}

/// `POST locks`
pub(crate) async fn lock(call: &Call<'_>, body: &mut Body) -> Result<Response<Body>, Refusal> {
    let wanted: Wanted = call.json(body).await?;
    let path = TreePath::parse(wanted.path.as_bytes())
        .map_err(|error| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    let grant = call.grant::<Write>(Operation::Upload, None).await?;
    let locked = lfs::lock(&call.face.forge, &grant, &path).await.map_err(|error| call.refuse(&error))?;
    Ok(match locked {
        Ok(lock) => json::answer(StatusCode::CREATED, &One { lock: lock.into(), message: None }),
        Err(held) => {
            let message = Some(format!("already locked by {}", held.owner));
            json::answer(StatusCode::CONFLICT, &One { lock: held.into(), message })
        }
    })
}

/// `GET locks`
pub(crate) async fn list(call: &Call<'_>, query: &str) -> Result<Response<Body>, Refusal> {
    let grant = call.grant::<Read>(Operation::Download, None).await?;
    let page = match wish(query)? {
        Some(wish) => {
            let page = lfs::list_locks(&call.face.forge, &grant, &wish).await;
            page.map_err(|error| call.refuse(&error))?
        }
        None => lfs::LockPage { locks: Vec::new(), next_cursor: None },
    };
    let locks = page.locks.into_iter().map(Shown::from).collect();
    Ok(json::answer(StatusCode::OK, &Listed { locks, next_cursor: page.next_cursor }))
}

/// `POST locks/verify`
pub(crate) async fn verify(call: &Call<'_>, body: &mut Body) -> Result<Response<Body>, Refusal> {
    let verified: Verified = call.json(body).await?;
    let limit = verified.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let wish = LockWish { cursor: verified.cursor, limit, ..LockWish::default() };
    let grant = call.grant::<Write>(Operation::Upload, None).await?;
    let page = lfs::verify_locks(&call.face.forge, &grant, &wish).await;
    let page = page.map_err(|error| call.refuse(&error))?;
    let shown = |locks: Vec<Lock>| locks.into_iter().map(Shown::from).collect();
    let (ours, theirs) = (shown(page.ours), shown(page.theirs));
    Ok(json::answer(StatusCode::OK, &OursAndTheirs { ours, theirs, next_cursor: page.next_cursor }))
}

/// `POST locks/ID/unlock`
pub(crate) async fn unlock(
    call: &Call<'_>,
    id: LfsLockId,
    body: &mut Body,
) -> Result<Response<Body>, Refusal> {
    let unlocked: Unlocked = call.json(body).await?;
    let grant = call.grant::<Write>(Operation::Upload, None).await?;
    let force = unlocked.force.unwrap_or(false);
    let lock = lfs::unlock(&call.face.forge, &grant, id, force).await;
    let lock = lock.map_err(|error| call.refuse(&error))?;
    Ok(json::answer(StatusCode::OK, &One { lock: lock.into(), message: None }))
}

/// Reads the conditions of a list; `None` if no lock can meet them.
fn wish(query: &str) -> Result<Option<LockWish>, Refusal> {
    let mut wish = LockWish::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let malformed = || Refusal::new(StatusCode::BAD_REQUEST, "malformed escape in the query");
        // As forms are written: a plus is a space.
        let value = value.replace('+', " ");
        let value = percent_decode(&value).ok_or_else(malformed)?;
        let text = String::from_utf8(value.into_owned()).map_err(|_| malformed())?;
        match (name, text.as_str()) {
            (_, "") => {}
            ("path", path) => match TreePath::parse(path.as_bytes()) {
                Ok(path) => wish.path = Some(path),
                Err(_) => return Ok(None),
            },
            ("id", id) => match lock_of(id) {
                Some(id) => wish.id = Some(id),
                None => return Ok(None),
            },
            ("cursor", cursor) => wish.cursor = Some(cursor.to_owned()),
            ("limit", limit) => {
                let words = "limit is a number";
                let limit =
                    limit.parse().map_err(|_| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, words))?;
                wish.limit = Some(limit);
            }
            // refspec is for authorization only, and reading needs none beyond the repository's.
            _ => {}
        }
    }
    Ok(Some(wish))
}

#[cfg(test)]
mod tests {
    use hakata_names::{LfsLockId, TreePath};

    use super::wish;

    #[test]
    fn l3_conditions_are_read_as_forms_are_written() {
        let read = wish("path=a+b%2Fc%2B%C3%A9&id=12&cursor=1-2&limit=3&refspec=refs%2Fheads%2Fmain&x")
            .unwrap()
            .unwrap();
        assert_eq!(read.path, TreePath::parse("a b/c+é".as_bytes()).ok());
        assert_eq!(
            (read.id, read.cursor.as_deref(), read.limit),
            (Some(LfsLockId::new(12)), Some("1-2"), Some(3))
        );
        let none = wish("").unwrap().unwrap();
        assert!(none.path.is_none() && none.id.is_none() && none.cursor.is_none() && none.limit.is_none());
        assert!(wish("path=..%2Fx").unwrap().is_none(), "no lock is there");
        assert!(wish("id=x").unwrap().is_none());
        for bad in ["path=%zz", "path=%ff", "limit=-1", "limit=x"] {
            assert!(wish(bad).is_err(), "{bad}");
        }
    }
}
