use hakata_forge::hosting::Service;
use hakata_names::RepositoryPath;
use http::Method;

use super::{Revision, Route, RouteError};
use crate::archive::ArchiveFormat;

fn parse(method: &str, target: &str) -> Option<Result<Route, RouteError>> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Route::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path, query)
}

fn tools() -> RepositoryPath {
    RepositoryPath::parse("alice/tools").unwrap()
}

#[test]
fn git_requests_are_understood_with_and_without_the_tail() {
    use Service::{ReceivePack, UploadPack};
    for (method, target, expected) in [
        ("GET", "/alice/tools.git/info/refs?service=git-upload-pack", Route::Advertise(tools(), UploadPack)),
        ("GET", "/alice/tools/info/refs?service=git-receive-pack", Route::Advertise(tools(), ReceivePack)),
        ("HEAD", "/alice/tools/info/refs?service=git-upload-pack", Route::Advertise(tools(), UploadPack)),
        ("GET", "/alice/tools/info/refs?a=b&service=git-upload-pack&", Route::Advertise(tools(), UploadPack)),
        (
            "GET",
            "/%61lice/t%6Fols%2egit/info/refs?service=git-upload-pack",
            Route::Advertise(tools(), UploadPack),
        ),
        ("POST", "/alice/tools.git/git-upload-pack", Route::Converse(tools(), UploadPack)),
        ("POST", "/alice/tools.git/git-receive-pack", Route::Converse(tools(), ReceivePack)),
    ] {
        assert_eq!(parse(method, target), Some(Ok(expected)), "{method} {target}");
    }
}

/// Class 5 of the security list: a query must not lower what a path asks for.
#[test]
fn a_query_never_changes_the_service_of_a_conversation() {
    let route = parse("POST", "/alice/tools.git/git-receive-pack?service=git-upload-pack");
    assert_eq!(route, Some(Ok(Route::Converse(tools(), Service::ReceivePack))));
    let route = parse("POST", "/alice/tools.git/git-upload-pack?service=git-receive-pack");
    assert_eq!(route, Some(Ok(Route::Converse(tools(), Service::UploadPack))));
}

#[test]
fn refusals_say_which() {
    const READ: RouteError = RouteError::Method { allow: "GET, HEAD" };
    const POST: RouteError = RouteError::Method { allow: "POST" };
    for (method, target, expected) in [
        ("GET", "/alice/tools.git/info/refs", RouteError::Dumb),
        ("GET", "/alice/tools.git/info/refs?", RouteError::Dumb),
        ("GET", "/alice/tools.git/info/refs?Service=git-upload-pack", RouteError::Dumb),
        ("GET", "/alice/tools.git/HEAD", RouteError::Dumb),
        ("GET", "/alice/tools.git/objects/info/packs", RouteError::Dumb),
        ("GET", "/alice/tools.git/objects/pack/../../config", RouteError::Dumb),
        ("GET", "/alice/tools.git/info/refs?service=", RouteError::Service),
        ("GET", "/alice/tools.git/info/refs?service=git-upload-archive", RouteError::Service),
        ("GET", "/alice/tools.git/info/refs?service=upload-pack", RouteError::Service),
        ("GET", "/alice/tools.git/info/refs?service=git%2Dupload-pack", RouteError::Service),
        (
            "GET",
            "/alice/tools.git/info/refs?service=git-upload-pack&service=git-receive-pack",
            RouteError::Services,
        ),
        ("POST", "/alice/tools.git/info/refs?service=git-upload-pack", READ),
        ("PUT", "/alice/tools.git/info/refs", READ),
        ("DELETE", "/alice/tools.git/HEAD", READ),
        ("GET", "/alice/tools.git/git-upload-pack", POST),
        ("HEAD", "/alice/tools.git/git-receive-pack", POST),
        ("BREW", "/alice/tools.git/git-receive-pack", POST),
        ("GET", "/alice/%/info/refs", RouteError::Escape),
        ("GET", "/a%4/tools/info/refs", RouteError::Escape),
        ("GET", "/alice/to%2Fols/info/refs", RouteError::Name),
        ("GET", "/alice/tools%00/info/refs", RouteError::Name),
        ("GET", "/alice/%2e%2e/info/refs", RouteError::Name),
        ("GET", "/../tools/info/refs", RouteError::Name),
        ("GET", "/alice/.git/info/refs", RouteError::Name),
        ("GET", "/alice/-c/info/refs", RouteError::Name),
        ("GET", "/alice/tools.git.git/info/refs", RouteError::Name),
        ("GET", "//tools/info/refs", RouteError::Name),
        ("GET", "/alice//info/refs", RouteError::Name),
        ("GET", "/alice/%ff/info/refs", RouteError::Name),
    ] {
        assert_eq!(parse(method, target), Some(Err(expected)), "{method} {target}");
    }
}

#[test]
fn paths_of_others_are_left_alone() {
    for target in [
        "",
        "/",
        "*",
        "/alice",
        "/alice/tools",
        "/alice/tools.git",
        "/alice/tools.git/",
        "/alice/tools/info/refs/",
        "/alice/tools.git/info/lfs/objects/batch",
        "/alice/tools/HEAD",
        "/alice/tools/objects/ab",
        "/alice/tools/archive/main",
        "/alice/tools/git-upload-archive",
        "/x/alice/tools/info/refs",
        "//alice/tools/info/refs",
        "/alice/tools//info/refs",
        "/alice/tools/info%2frefs",
        "/api/v1/repos",
    ] {
        assert_eq!(parse("GET", target), None, "{target}");
    }
}

#[test]
fn archives_are_of_revisions_and_nothing_else() {
    let archive =
        |revision: &[u8], format| Some(Ok(Route::Archive(tools(), Revision(revision.to_vec()), format)));
    for (target, expected) in [
        ("/alice/tools/archive/v1.0.zip", archive(b"v1.0", ArchiveFormat::Zip)),
        ("/alice/tools.git/archive/feature/x.tar.gz", archive(b"feature/x", ArchiveFormat::TarGz)),
        ("/alice/tools/archive/%C3%A9.zip", archive("é".as_bytes(), ArchiveFormat::Zip)),
    ] {
        assert_eq!(parse("GET", target), expected, "{target}");
        assert_eq!(parse("POST", target), Some(Err(RouteError::Method { allow: "GET, HEAD" })), "{target}");
    }
    let long = "a".repeat(1025);
    for name in
        ["", "-x", "--output=x", "a%0ab", "a%00", "a~1", "a%5E", "a:b", "a..b", "@%7B1}", "a%20b", &long]
    {
        let target = format!("/alice/tools/archive/{name}.zip");
        assert_eq!(parse("GET", &target), Some(Err(RouteError::Revision)), "{target}");
    }
}
