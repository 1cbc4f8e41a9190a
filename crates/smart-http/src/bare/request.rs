//! What a request asks for, read as git's own server reads it.

use hakata_forge::folder::Program;
use hakata_service::http::percent_decode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Method};

use super::reply::FileKind;
use super::service::Service;
use crate::request_head::Encoding;

static GIT_PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");

/// A repository's path, and what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The path as it was decoded, up to what is wanted of it: empty, or with a slash before it.
    pub(super) repository: Vec<u8>,
    /// What is wanted.
    pub(super) what: What,
}

/// What can be wanted of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `info/refs`, with or without a service.
    Refs,
    /// `HEAD`.
    Head,
    /// `objects/info/packs`.
    Packs,
    /// A file below `objects/`.
    File(FileKind, String),
    /// A `POST`.
    Converse(Program),
}

/// Why a request is refused by its method and path alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WantedError {
    /// An escape that is none, or a zero byte.
    Malformed,
    /// Empty components, `.` or `..`.
    Aliased,
    /// Nothing that git serves.
    Unknown,
    /// The path is right and the method is not.
    Method {
        /// The methods that are.
        allow: &'static str,
    },
}

impl Wanted {
    /// Reads a request's method and path.
    pub(super) fn parse(method: &Method, path: &str) -> Result<Self, WantedError> {
        let path = percent_decode(path).ok_or(WantedError::Malformed)?.into_owned();
        if path.contains(&0) {
            return Err(WantedError::Malformed);
        }
        if is_aliased(&path) {
            return Err(WantedError::Aliased);
        }
        let (n_repository, what) = What::find(&path).ok_or(WantedError::Unknown)?;
        let is_post = matches!(what, What::Converse(_));
        let is_get = *method == Method::GET || *method == Method::HEAD;
        match (is_post, is_get, *method == Method::POST) {
            (true, _, false) => Err(WantedError::Method { allow: "POST" }),
            (false, false, _) => Err(WantedError::Method { allow: "GET, HEAD" }),
            _ => Ok(Self { repository: path[..n_repository].to_vec(), what }),
        }
    }
}

impl What {
    /// Finds what the end of a path names, and where that begins. Source: `services` in http-backend.c.
    fn find(path: &[u8]) -> Option<(usize, Self)> {
        let fixed = [
            ("/HEAD", Self::Head),
            ("/info/refs", Self::Refs),
            ("/objects/info/packs", Self::Packs),
            ("/git-upload-pack", Self::Converse(Program::UploadPack)),
            ("/git-upload-archive", Self::Converse(Program::UploadArchive)),
            ("/git-receive-pack", Self::Converse(Program::ReceivePack)),
        ];
        if let Some((ending, what)) = fixed.into_iter().find(|(ending, _)| path.ends_with(ending.as_bytes()))
        {
            return Some((path.len() - ending.len(), what));
        }
        let at = path.windows(9).rposition(|nine| nine == b"/objects/")?;
        let name = std::str::from_utf8(&path[at + 9..]).ok()?;
        let kind = file_kind(name)?;
        Some((at, Self::File(kind, format!("objects/{name}"))))
    }
}

/// Finds what a name below `objects/` is, if it is one that is served.
fn file_kind(name: &str) -> Option<FileKind> {
    if matches!(name, "info/alternates" | "info/http-alternates") {
        return Some(FileKind::Text);
    }
    let is_hash = |digits: &str, n_digits: [usize; 2]| {
        n_digits.contains(&digits.len()) && digits.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    if let Some(pack) = name.strip_prefix("pack/pack-") {
        let (hash, kind) = match pack.split_once('.')? {
            (hash, "pack") => (hash, FileKind::Pack),
            (hash, "idx") => (hash, FileKind::Index),
            _ => return None,
        };
        return is_hash(hash, [40, 64]).then_some(kind);
    }
    let (first, rest) = name.split_once('/')?;
    (is_hash(first, [2, 2]) && is_hash(rest, [38, 62])).then_some(FileKind::Loose)
}

/// Tells whether a path has components that stand for others. Source: `daemon_avoid_alias` in git's path.c.
fn is_aliased(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return true };
    let mut components = rest.split(|byte| *byte == b'/').peekable();
    while let Some(component) = components.next() {
        let is_last = components.peek().is_none();
        match component {
            b"." | b".." => return true,
            b"" if !is_last => return true,
            _ => {}
        }
    }
    false
}

/// Finds the last `service` of a query. Source: `get_parameters` in http-backend.c, url.c: a name ends at `=` or `&`,
/// and what follows is its value, whichever it was.
pub(super) fn service(query: Option<&str>) -> Option<Vec<u8>> {
    let mut rest = query.unwrap_or_default().as_bytes();
    let mut found = None;
    while !rest.is_empty() {
        let name = decode_until(&mut rest, b"=&");
        let value = decode_until(&mut rest, b"&");
        if name == b"service" {
            found = Some(value);
        }
    }
    found
}

/// Decodes up to a byte that ends it, which is taken too. What is no escape stands for itself.
fn decode_until(rest: &mut &[u8], ends: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    while let Some((&byte, tail)) = rest.split_first() {
        *rest = tail;
        match byte {
            byte if ends.contains(&byte) => break,
            b'%' => match tail.get(..2).and_then(hex).filter(|value| *value > 0) {
                Some(value) => {
                    decoded.push(value);
                    *rest = &tail[2..];
                }
                None => decoded.push(b'%'),
            },
            b'+' => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    // A string of C ends at a zero byte.
    decoded
}

fn hex(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Finds the client's `Git-Protocol`; one that is repeated or not text asks for nothing.
pub(super) fn protocol(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(&GIT_PROTOCOL).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// Finds how a body is encoded: what is not gzip is taken as it is, as git does.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        Some(b"gzip" | b"x-gzip") => Encoding::Gzip,
        _ => Encoding::Plain,
    }
}

/// Checks the media type of a conversation's body, byte by byte as git does.
///
/// # Errors
/// What came instead.
pub(super) fn check_type(headers: &HeaderMap, service: Service) -> Result<(), Vec<u8>> {
    let received = headers.get(CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    if received == service.media_type("request").as_bytes() { Ok(()) } else { Err(received.to_vec()) }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{FileKind, Program, Wanted, WantedError, What, service};

    #[test]
    fn paths_are_read_from_their_end() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let pack = format!("objects/pack/pack-{hash}.pack");
        let loose = format!("objects/01/{}", &hash[2..]);
        for (path, repository, what) in [
            ("/a.git/HEAD", "/a.git", What::Head),
            ("/HEAD", "", What::Head),
            ("/a/b/c.git/info/refs", "/a/b/c.git", What::Refs),
            ("/a%2Fb/info/refs", "/a/b", What::Refs),
            ("/.../info/refs", "/...", What::Refs),
            ("/a/objects/info/packs", "/a", What::Packs),
            (
                "/a/objects/info/alternates",
                "/a",
                What::File(FileKind::Text, "objects/info/alternates".into()),
            ),
            ("/a/git-receive-pack", "/a", What::Converse(Program::ReceivePack)),
        ] {
            let method = if matches!(what, What::Converse(_)) { Method::POST } else { Method::GET };
            let expected = Wanted { repository: repository.into(), what };
            assert_eq!(Wanted::parse(&method, path), Ok(expected), "{path}");
        }
        for (name, kind) in [(pack.as_str(), FileKind::Pack), (&loose, FileKind::Loose)] {
            let parsed = Wanted::parse(&Method::GET, &format!("/objects/x/{name}")).unwrap();
            assert_eq!(parsed.what, What::File(kind, name.to_owned()));
            assert_eq!(parsed.repository, b"/objects/x");
        }
    }

    #[test]
    fn everything_else_is_refused_as_git_refuses_it() {
        use WantedError::{Aliased, Malformed, Unknown};
        for (method, path, expected) in [
            (Method::GET, "/", Unknown),
            (Method::GET, "/a.git", Unknown),
            (Method::GET, "/a.git/config", Unknown),
            (Method::GET, "/a.git/objects/zz/0", Unknown),
            (Method::GET, "/a.git/objects/pack/pack-x.pack", Unknown),
            (Method::GET, "/a.git/HEAD/", Unknown),
            (Method::GET, "//a.git/HEAD", Aliased),
            (Method::GET, "/a.git//HEAD", Aliased),
            (Method::GET, "/./a.git/HEAD", Aliased),
            (Method::GET, "/%2e%2e/a.git/HEAD", Aliased),
            (Method::GET, "/a/..", Aliased),
            (Method::GET, "*", Aliased),
            (Method::GET, "/a%00/HEAD", Malformed),
            (Method::GET, "/a%zz/HEAD", Malformed),
            (Method::PUT, "/a/HEAD", WantedError::Method { allow: "GET, HEAD" }),
            (Method::POST, "/a/info/refs", WantedError::Method { allow: "GET, HEAD" }),
            (Method::GET, "/a/git-upload-pack", WantedError::Method { allow: "POST" }),
            (Method::HEAD, "/a/git-upload-pack", WantedError::Method { allow: "POST" }),
        ] {
            assert_eq!(Wanted::parse(&method, path), Err(expected), "{method} {path}");
        }
    }

    #[test]
    fn queries_are_read_as_git_reads_them() {
        for (query, expected) in [
            (None, None),
            (Some(""), None),
            (Some("service=git-upload-pack"), Some("git-upload-pack")),
            (Some("a=b&service=x"), Some("x")),
            (Some("service=x&service=y"), Some("y")),
            (Some("service="), Some("")),
            (Some("service"), Some("")),
            (Some("service&x=y"), Some("x=y")),
            (Some("serv%69ce=git%2Dupload+pack"), Some("git-upload pack")),
            (Some("service=%zz%0"), Some("%zz%0")),
            (Some("service=a;service=b"), Some("a;service=b")),
            (Some("Service=x"), None),
        ] {
            assert_eq!(service(query), expected.map(|it| it.as_bytes().to_vec()), "{query:?}");
        }
    }
}
