//! What a request asks for, read once from its method, path and query.

use hakata_forge::hosting::Service;
use hakata_names::{OwnerName, RepositoryName, RepositoryPath};
use hakata_service::http::percent_decode;
use http::Method;

use crate::archive::ArchiveFormat;

/// Longest revision of an archive in bytes, decoded: that of a ref name.
const MAX_REVISION_BYTES: usize = hakata_names::MAX_REF_NAME_BYTES;

/// A request that this face answers. Permission and program both follow from it and from nothing else, so
/// that a query can never turn a push into a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET …/info/refs?service=…`: the refs and capabilities of one service.
    Advertise(RepositoryPath, Service),
    /// `POST …/git-upload-pack` or `POST …/git-receive-pack`: one round of a conversation.
    Converse(RepositoryPath, Service),
    /// `GET …/archive/REVISION.FORMAT`: a tree as one file.
    Archive(RepositoryPath, Revision, ArchiveFormat),
}

/// What an archive is made of: the name of a branch, tag or commit; never an option of git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision(Vec<u8>);

/// Why a request that is addressed to this face is refused before anything is looked up. None of the
/// answers depends on what exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    /// A `%` without two digits behind it.
    #[error("malformed escape in the path")]
    Escape,
    /// The owner or repository cannot be the name of one.
    #[error("repository not found")]
    Name,
    /// The path is right and the method is not.
    #[error("method not allowed")]
    Method {
        /// The methods that are.
        allow: &'static str,
    },
    /// The old protocol that reads files.
    #[error("dumb HTTP is not supported\nhint: use git 1.6.6 or newer, which asks for a service")]
    Dumb,
    /// `service=` names something else than the two services.
    #[error("unsupported service")]
    Service,
    /// `service=` stands there more than once.
    #[error("more than one service in the query")]
    Services,
    /// The revision of an archive cannot be one.
    #[error("no such branch, tag or commit")]
    Revision,
}

impl Route {
    /// Reads a request, or returns `None` if its path is not one of this face's.
    ///
    /// ```text
    ///   /OWNER/NAME[.git]/info/refs          advertise, by the query's service
    ///   /OWNER/NAME[.git]/git-upload-pack    converse
    ///   /OWNER/NAME[.git]/git-receive-pack   converse
    ///   /OWNER/NAME.git/{HEAD,objects/…}     dumb HTTP: refused
    ///   /OWNER/NAME[.git]/archive/REV.FORMAT archive
    /// ```
    pub(crate) fn parse(
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Option<Result<Self, RouteError>> {
        let (owner, rest) = path.strip_prefix('/')?.split_once('/')?;
        let (name, tail) = rest.split_once('/')?;
        let target = Tail::parse(name, tail)?;
        Some(repository(owner, name).and_then(|repository| target.route(method, repository, query)))
    }
}

/// What stands behind the repository in a path.
enum Tail<'a> {
    Refs,
    Converse(Service),
    Dumb,
    Archive(&'a str, ArchiveFormat),
}

impl<'a> Tail<'a> {
    fn parse(name: &str, tail: &'a str) -> Option<Self> {
        if tail == "info/refs" {
            return Some(Self::Refs);
        }
        if let Some(service) = Service::from_name(tail.as_bytes()) {
            return Some(Self::Converse(service));
        }
        if name.ends_with(".git") && (tail == "HEAD" || tail.starts_with("objects/")) {
            return Some(Self::Dumb);
        }
        let file = tail.strip_prefix("archive/")?;
        let of = |format: ArchiveFormat| Some(Self::Archive(file.strip_suffix(format.suffix())?, format));
        ArchiveFormat::ALL.into_iter().find_map(of)
    }

    fn route(
        self,
        method: &Method,
        repository: RepositoryPath,
        query: Option<&str>,
    ) -> Result<Route, RouteError> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        match self {
            Self::Converse(service) if *method == Method::POST => Ok(Route::Converse(repository, service)),
            Self::Converse(_) => Err(RouteError::Method { allow: "POST" }),
            _ if !reads => Err(RouteError::Method { allow: "GET, HEAD" }),
            Self::Refs => Ok(Route::Advertise(repository, service_of(query)?)),
            Self::Dumb => Err(RouteError::Dumb),
            Self::Archive(revision, format) => {
                Ok(Route::Archive(repository, Revision::parse(revision)?, format))
            }
        }
    }
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

/// Finds the service in a query. The two names need no escapes, so an escaped one is an unknown one.
fn service_of(query: Option<&str>) -> Result<Service, RouteError> {
    let mut services = query.unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("service="));
    let Some(name) = services.next() else { return Err(RouteError::Dumb) };
    match services.next() {
        Some(_) => Err(RouteError::Services),
        None => Service::from_name(name.as_bytes()).ok_or(RouteError::Service),
    }
}

impl Revision {
    /// Takes what a ref or a hexadecimal oid can be called. Operators such as `^`, `~`, `:` and `@{` are not
    /// part of it, so that only what a ref names is given out.
    fn parse(escaped: &str) -> Result<Self, RouteError> {
        let name = percent_decode(escaped).ok_or(RouteError::Escape)?;
        let forbidden = |byte: &u8| byte.is_ascii_control() || b" ~^:?*[\\".contains(byte);
        let fits = (1..=MAX_REVISION_BYTES).contains(&name.len());
        let odd = name.starts_with(b"-") || name.windows(2).any(|pair| pair == b"@{" || pair == b"..");
        if !fits || odd || name.iter().any(forbidden) {
            return Err(RouteError::Revision);
        }
        Ok(Self(name.into_owned()))
    }

    /// Returns the name.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests;
