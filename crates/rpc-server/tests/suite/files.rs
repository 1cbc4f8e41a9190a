//! Archives and bundles: what git makes of the same, and what git says to ours.

use bytes::Bytes;
use futures_util::StreamExt;
use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    ArchiveFormat, ArchiveRequest, CreateBundleRequest, RepositoryKey, RepositoryService, Revision,
};
use hakata_rpc::{Answers, Call, Code, Status};

use crate::fixture::{World, run};

const SCRIPT: &[u8] = b"commit refs/heads/main\nmark :1\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline src/a\ndata 2\na\n\nM 100755 inline -odd\ndata 2\nx\nM 100644 inline .gitattributes\ndata 41\nsecret export-ignore\nstamp export-subst\n\nM 100644 inline secret\ndata 2\ns\n\nM 100644 inline stamp\ndata 12\n$Format:%H$\n\n\
commit refs/heads/main\nmark :2\ncommitter A <a@b> 2 +0000\ndata 4\ntwo\nfrom :1\nM 120000 inline link\ndata 5\nsrc/a\n\
commit refs/heads/topic\nmark :3\ncommitter A <a@b> 3 +0000\ndata 6\ntopic\nfrom :1\nM 100644 inline t\ndata 2\nt\n\n\
tag v1\nfrom :1\ntagger A <a@b> 4 +0000\ndata 3\nv1\n\n";

fn key() -> Option<RepositoryKey> {
    Some(RepositoryKey { path: "alice/tools".to_owned(), id: 0 })
}

fn revision(expression: &str) -> Revision {
    Revision { expression: expression.to_owned(), ..Revision::default() }
}

async fn world(format: ObjectFormat) -> World {
    let world = World::new().await;
    world.import(format, SCRIPT);
    world.create("tools", format).await;
    world
}

/// Puts the parts of a file together.
async fn whole<T>(parts: Answers<T>, content: impl Fn(T) -> Bytes) -> Result<Vec<u8>, Status> {
    let parts: Vec<_> = parts.collect().await;
    let mut file = Vec::new();
    for part in parts {
        let piece = content(part?);
        assert!(piece.len() <= 128 << 10, "parts are small");
        file.extend_from_slice(&piece);
    }
    Ok(file)
}

async fn archive(world: &World, request: ArchiveRequest) -> Result<Vec<u8>, Status> {
    whole(world.msgpack().archive(Call::default(), request), |part| part.content).await
}

async fn bundle(world: &World, refs: &[&'static str], excluded: &[&str]) -> Result<Vec<u8>, Status> {
    let request = CreateBundleRequest {
        repository: key(),
        ref_names: refs.iter().map(|name| Bytes::from_static(name.as_bytes())).collect(),
        excluded: excluded.iter().map(|expression| revision(expression)).collect(),
    };
    whole(world.grpc().create_bundle(Call::default(), request), |part| part.content).await
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_those_of_git() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let world = world(format).await;
        for (kind, name) in
            [(ArchiveFormat::Tar, "tar"), (ArchiveFormat::TarGz, "tar.gz"), (ArchiveFormat::Zip, "zip")]
        {
            for (at, prefix, paths) in
                [("main", "", &[][..]), ("v1", "tools-1/", &["src", "-odd"]), ("topic", "a/b", &["stamp"])]
            {
                let request = ArchiveRequest {
                    repository: key(),
                    revision: Some(revision(at)),
                    format: kind.into(),
                    prefix: prefix.into(),
                    paths: paths.iter().map(|path| Bytes::from_static(path.as_bytes())).collect(),
                };
                let made = archive(&world, request).await.unwrap();
                let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
                let (format, prefix) = (format!("--format={name}"), format!("--prefix={prefix}{slash}"));
                let args = [&["archive", &format, &prefix, at, "--"], paths].concat();
                assert_eq!(made, run(world.client.path(), &args, b""), "{name} of {at}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_what_makes_no_sense_are_refused() {
    let world = world(ObjectFormat::Sha1).await;
    let asked = |change: &dyn Fn(&mut ArchiveRequest)| {
        let mut request = ArchiveRequest { repository: key(), ..ArchiveRequest::default() };
        change(&mut request);
        archive(&world, request)
    };
    for prefix in ["../", "a/../../b", "/etc/", "a//b", "./", "a\0b"] {
        let refused = asked(&|request| request.prefix = prefix.to_owned().into()).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{prefix:?}");
    }
    let many = asked(&|request| request.paths = vec!["src".into(); 100_000]).await.unwrap_err();
    assert_eq!(many.code, Code::InvalidArgument);
    let unknown = asked(&|request| request.format = 7).await.unwrap_err();
    assert_eq!(unknown.code, Code::InvalidArgument);
    for path in ["none", "src/a/b", ":(top)src", "--output=x"] {
        let absent = asked(&|request| request.paths = vec![path.to_owned().into()]).await.unwrap_err();
        assert_eq!(absent.code, Code::NotFound, "{path:?}");
    }
    let file = asked(&|request| request.revision = Some(revision("main:src/a"))).await.unwrap_err();
    assert_eq!(file.code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_from_bundles_and_fetches_from_partial_ones() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let world = world(format).await;
        let dir = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| String::from_utf8(run(dir.path(), args, b"")).unwrap();
        std::fs::write(dir.path().join("all"), bundle(&world, &[], &[]).await.unwrap()).unwrap();
        git(&["clone", "-q", "--mirror", "all", "copy.git"]);
        let refs = ["for-each-ref", "--format=%(objectname) %(refname)"];
        assert_eq!(git(&[&["-C", "copy.git"], &refs[..]].concat()), world.git(&refs));
        git(&["-C", "copy.git", "fsck", "--strict"]);
        git(&["clone", "-q", "all", "checkout"]);
        assert!(dir.path().join("checkout/src/a").exists(), "HEAD is in it");

        let since = bundle(&world, &["refs/heads/main", "refs/tags/v1"], &["topic"]).await.unwrap();
        std::fs::write(dir.path().join("since"), &since).unwrap();
        let head = String::from_utf8_lossy(&since[..since.len().min(400)]).into_owned();
        let first = world.git(&["rev-parse", "main~1"]);
        assert!(head.contains(&format!("-{} one\n", first.trim())), "{head}");
        assert!(!head.contains("refs/tags/v1"), "what is excluded is left out: {head}");
        git(&["init", "-q", "--bare", &format!("--object-format={format}"), "behind.git"]);
        git(&["-C", "behind.git", "fetch", "-q", "../all", "refs/tags/v1"]);
        git(&["-C", "behind.git", "update-ref", "refs/heads/old", "FETCH_HEAD^{commit}"]);
        git(&["-C", "behind.git", "bundle", "verify", "-q", "../since"]);
        git(&["-C", "behind.git", "fetch", "-q", "../since", "refs/heads/main:refs/heads/main"]);
        git(&["-C", "behind.git", "fsck", "--strict"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_of_nothing_are_refused() {
    let world = world(ObjectFormat::Sha1).await;
    let code = |refused: Result<Vec<u8>, Status>| refused.unwrap_err().code;
    assert_eq!(code(bundle(&world, &["refs/heads/none"], &[]).await), Code::NotFound);
    assert_eq!(code(bundle(&world, &["--all"], &[]).await), Code::InvalidArgument);
    let absent = "0123456789012345678901234567890123456789";
    assert_eq!(code(bundle(&world, &[], &[absent]).await), Code::NotFound);
    assert_eq!(code(bundle(&world, &["refs/heads/main"], &["main"]).await), Code::InvalidArgument);
}
