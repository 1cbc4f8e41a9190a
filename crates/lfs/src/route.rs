//! What a request asks for, read once from its method and path.

use hakata_names::{LfsLockId, LfsOid, OwnerName, RepositoryName, RepositoryPath};
use hakata_service::http::percent_decode;
use http::Method;

/// A request that this face answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Which repository.
    pub(crate) path: RepositoryPath,
    /// What of it.
    pub(crate) what: What,
}

/// What is asked of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `POST objects/batch`
    Batch,
    /// `GET objects/OID`
    Get(LfsOid),
    /// `HEAD objects/OID`
    Head(LfsOid),
    /// `PUT objects/OID`
    Put(LfsOid),
    /// `HEAD`, `PATCH` and `OPTIONS` of `objects/OID/tus`
    Tus(LfsOid),
    /// `POST objects/OID/verify`
    Verify(LfsOid),
    /// `POST locks`
    Lock,
    /// `GET locks?…`, with the query.
    ListLocks(String),
    /// `POST locks/verify`
    VerifyLocks,
    /// `POST locks/ID/unlock`
    Unlock(LfsLockId),
}

/// Why a request that is addressed to this face is refused before anything is looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    /// A `%` without two digits behind it.
    #[error("malformed escape in the path")]
    Escape,
    /// The owner or repository cannot be the name of one.
    #[error("repository not found")]
    Name,
    /// There is nothing at that path.
    #[error("there is no such LFS request")]
    Unknown,
    /// The oid in the path is none.
    #[error("an LFS oid has 64 lower-case hexadecimal digits")]
    Oid,
    /// The lock in the path cannot be one.
    #[error("there is no such lock in this repository")]
    Lock,
    /// The path is right and the method is not.
    #[error("method not allowed")]
    Method {
        /// The methods that are.
        allow: &'static str,
    },
}

/// What stands between a repository and a request about its objects; `.git` in front is optional, as clients leave it
/// out when their user configured the URL without.
const MARK: &str = "info/lfs";

impl Route {
    /// Reads a request, or returns `None` if its path is not one of this face's.
    ///
    /// ```text
    ///   /OWNER/NAME[.git]/info/lfs/objects/batch          POST
    ///   /OWNER/NAME[.git]/info/lfs/objects/OID            GET, HEAD, PUT
    ///   /OWNER/NAME[.git]/info/lfs/objects/OID/tus        HEAD, PATCH, OPTIONS
    ///   /OWNER/NAME[.git]/info/lfs/objects/OID/verify     POST
    ///   /OWNER/NAME[.git]/info/lfs/locks                  GET, POST
    ///   /OWNER/NAME[.git]/info/lfs/locks/verify           POST
    ///   /OWNER/NAME[.git]/info/lfs/locks/ID/unlock        POST
    /// ```
    pub(crate) fn parse(
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Option<Result<Self, RouteError>> {
        let (owner, rest) = path.strip_prefix('/')?.split_once('/')?;
        let (name, tail) = rest.split_once('/')?;
        let tail = match tail.strip_prefix(MARK)? {
            "" => "",
            tail => tail.strip_prefix('/')?,
        };
        let path = match repository(owner, name) {
            Ok(path) => path,
            Err(error) => return Some(Err(error)),
        };
        Some(What::parse(method, tail, query.unwrap_or_default()).map(|what| Self { path, what }))
    }
}

impl What {
    fn parse(method: &Method, tail: &str, query: &str) -> Result<Self, RouteError> {
        let parts: Vec<&str> = tail.split('/').collect();
        let post = |what: Self| match *method {
            Method::POST => Ok(what),
            _ => Err(RouteError::Method { allow: "POST" }),
        };
        match parts[..] {
            ["objects", "batch"] => post(Self::Batch),
            ["objects", oid] => {
                let oid = oid_of(oid)?;
                match *method {
                    Method::GET => Ok(Self::Get(oid)),
                    Method::HEAD => Ok(Self::Head(oid)),
                    Method::PUT => Ok(Self::Put(oid)),
                    _ => Err(RouteError::Method { allow: "GET, HEAD, PUT" }),
                }
            }
            ["objects", oid, "tus"] => {
                let oid = oid_of(oid)?;
                match *method {
                    Method::HEAD | Method::PATCH | Method::OPTIONS => Ok(Self::Tus(oid)),
                    _ => Err(RouteError::Method { allow: "HEAD, PATCH, OPTIONS" }),
                }
            }
            ["objects", oid, "verify"] => post(Self::Verify(oid_of(oid)?)),
            ["locks"] => match *method {
                Method::GET => Ok(Self::ListLocks(query.to_owned())),
                Method::POST => Ok(Self::Lock),
                _ => Err(RouteError::Method { allow: "GET, POST" }),
            },
            ["locks", "verify"] => post(Self::VerifyLocks),
            ["locks", id, "unlock"] => post(Self::Unlock(lock_of(id).ok_or(RouteError::Lock)?)),
            _ => Err(RouteError::Unknown),
        }
    }
}

fn oid_of(text: &str) -> Result<LfsOid, RouteError> {
    LfsOid::parse(text.as_bytes()).map_err(|_| RouteError::Oid)
}

/// Reads the id of a lock; what is none is the id of no lock.
pub(crate) fn lock_of(text: &str) -> Option<LfsLockId> {
    text.parse::<i64>().ok().filter(|id| *id > 0).map(LfsLockId::new)
}

fn repository(owner: &str, name: &str) -> Result<RepositoryPath, RouteError> {
    let owner = percent_decode(owner).ok_or(RouteError::Escape)?;
    let name = percent_decode(name).ok_or(RouteError::Escape)?;
    let name = name.strip_suffix(b".git").unwrap_or(&name);
    let owner = str::from_utf8(&owner).ok().and_then(|owner| OwnerName::parse(owner).ok());
    let name = str::from_utf8(name).ok().and_then(|name| RepositoryName::parse(name).ok());
    match (owner, name) {
        (Some(owner), Some(name)) => Ok(RepositoryPath { owner, name }),
        _ => Err(RouteError::Name),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{LfsLockId, Route, RouteError, What};

    const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";

    fn parse(method: &Method, path: &str) -> Option<Result<What, RouteError>> {
        let parsed = Route::parse(method, path, Some("path=a"))?;
        Some(parsed.map(|route| {
            assert_eq!(route.path.to_string(), "alice/tools");
            route.what
        }))
    }

    #[test]
    fn c1_every_request_has_its_path_with_git_behind_the_name_or_without() {
        let oid = super::oid_of(OID).unwrap();
        for base in ["/alice/tools.git/info/lfs", "/alice/tools/info/lfs", "/al%69ce/tools.git/info/lfs"] {
            for (method, tail, what) in [
                (Method::POST, "objects/batch".to_owned(), What::Batch),
                (Method::GET, format!("objects/{OID}"), What::Get(oid)),
                (Method::HEAD, format!("objects/{OID}"), What::Head(oid)),
                (Method::PUT, format!("objects/{OID}"), What::Put(oid)),
                (Method::HEAD, format!("objects/{OID}/tus"), What::Tus(oid)),
                (Method::PATCH, format!("objects/{OID}/tus"), What::Tus(oid)),
                (Method::OPTIONS, format!("objects/{OID}/tus"), What::Tus(oid)),
                (Method::POST, format!("objects/{OID}/verify"), What::Verify(oid)),
                (Method::POST, "locks".to_owned(), What::Lock),
                (Method::GET, "locks".to_owned(), What::ListLocks("path=a".to_owned())),
                (Method::POST, "locks/verify".to_owned(), What::VerifyLocks),
                (Method::POST, "locks/12/unlock".to_owned(), What::Unlock(LfsLockId::new(12))),
            ] {
                assert_eq!(
                    parse(&method, &format!("{base}/{tail}")),
                    Some(Ok(what)),
                    "{method} {base}/{tail}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_request_of_lfs_is_left_to_others_or_refused() {
        for path in ["/", "/alice/tools.git/info/refs", "/alice/tools/info/lfsx", "/info/lfs/locks"] {
            assert_eq!(parse(&Method::GET, path), None, "{path}");
        }
        let base = "/alice/tools.git/info/lfs";
        for (method, tail, error) in [
            (Method::GET, "", RouteError::Unknown),
            (Method::GET, "/", RouteError::Unknown),
            (Method::GET, "/objects/", RouteError::Oid),
            (Method::GET, "/objects/../../../etc/passwd", RouteError::Unknown),
            (Method::GET, "/objects/..%2f..%2fetc%2fpasswd", RouteError::Oid),
            (Method::POST, "/locks/x/unlock", RouteError::Lock),
            (Method::POST, "/locks/-1/unlock", RouteError::Lock),
            (Method::GET, "/objects/batch", RouteError::Method { allow: "POST" }),
            (Method::DELETE, "/locks", RouteError::Method { allow: "GET, POST" }),
        ] {
            let refused = parse(&method, &format!("{base}{tail}")).unwrap().unwrap_err();
            assert_eq!(refused, error, "{method} {tail}");
        }
        let upper = format!("{base}/objects/{}", OID.to_uppercase());
        assert_eq!(parse(&Method::PUT, &upper), Some(Err(RouteError::Oid)));
        let odd = Route::parse(&Method::POST, "/a%zz/b/info/lfs/locks", None);
        assert_eq!(odd, Some(Err(RouteError::Escape)));
        let name = Route::parse(&Method::POST, "/../b/info/lfs/locks", None);
        assert_eq!(name, Some(Err(RouteError::Name)));
    }
}
