//! Repositories that begin, are copied, brought in and end, over every way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    CommitService, CreateRepositoryRequest, DeleteRepositoryRequest, ForkRequest, FsckRequest, ImportRequest,
    ImportResponse, ImportStage, LanguagesRequest, OptimizeRequest, RepositoryExistsRequest, RepositoryKey,
    RepositoryService,
};
use hakata_rpc::{Call, Code, Operations, Status};
use hakata_rpc_server::{ImportSource, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{TOKEN, World, run};

const SCRIPT: &[u8] = b"commit refs/heads/trunk\nmark :1\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline a.rs\ndata 13\nfn main() {}\n\nM 100644 inline vendor/b.c\ndata 7\nint b;\n\nM 100644 inline gen.py\ndata 13\n# @generated\n\nM 100644 inline .gitattributes\ndata 42\nx.h linguist-language=C++\n*.h -diff text\n\nM 100644 inline x.h\ndata 7\nint x;\n\n\
tag v1\nfrom :1\ntagger A <a@b> 4 +0000\ndata 3\nv1\n\nreset refs/pull/1/head\nfrom :1\n\n";

fn key(path: &str) -> Option<RepositoryKey> {
    Some(RepositoryKey { path: path.to_owned(), id: 0 })
}

fn named(key: &str) -> Call {
    Call { idempotency_key: Some(key.to_owned()), ..Call::default() }
}

fn wanted(path: &str) -> CreateRepositoryRequest {
    CreateRepositoryRequest {
        path: path.to_owned(),
        object_format: "sha256".to_owned(),
        default_ref: "refs/heads/trunk".into(),
        description: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_begin_and_end_in_all_ways() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha256, SCRIPT);
    world.create("source", ObjectFormat::Sha256).await;
    let ways: [(&str, Arc<dyn Operations>); 3] = [
        ("local", world.local.clone()),
        ("grpc", world.grpc().operations()),
        ("msgpack", world.msgpack().operations()),
    ];
    for (way, to) in ways {
        let path = format!("alice/{way}");
        let made = to.create(named(way), wanted(&path)).await.unwrap();
        assert_eq!(
            (made.path.as_str(), made.empty, made.object_format.as_str()),
            (path.as_str(), true, "sha256")
        );
        assert_eq!(&made.default_ref[..], b"refs/heads/trunk");
        let again = to.create(named(way), wanted(&path)).await.unwrap();
        assert_eq!(made, again, "what is done under a key is done once");
        let taken = to.create(Call::default(), wanted(&path)).await.unwrap_err();
        assert_eq!(taken.code, Code::FailedPrecondition);

        let fork = ForkRequest {
            repository: key("alice/source"),
            path: format!("alice/{way}-fork"),
            ..ForkRequest::default()
        };
        let forked = to.fork(named(way), fork.clone()).await.unwrap();
        let repository = forked.repository.clone().unwrap();
        assert!(!repository.empty && forked.copied_bytes > 0);
        let again = to.fork(named(way), fork.clone()).await.unwrap();
        assert_eq!(again.repository, forked.repository);
        assert_eq!(to.fork(Call::default(), fork).await.unwrap_err().code, Code::FailedPrecondition);
        let request = OptimizeRequest { repository: key(&repository.path) };
        let optimized = to.optimize(Call::default(), request).await.unwrap();
        assert!(optimized.commit_graph && optimized.n_packs == 1);
        let request = FsckRequest { repository: key(&repository.path) };
        let findings: Vec<_> = to.fsck(Call::default(), request).collect().await;
        assert!(findings.is_empty(), "{findings:?}");

        let gone = DeleteRepositoryRequest { repository: key(&path) };
        to.delete(named(way), gone.clone()).await.unwrap();
        to.delete(named(way), gone.clone()).await.unwrap();
        assert_eq!(to.delete(Call::default(), gone).await.unwrap_err().code, Code::NotFound);
        let found = to.exists(Call::default(), RepositoryExistsRequest { repository: key(&path) }).await;
        assert!(!found.unwrap().exists);
        assert!(to.create(Call::default(), wanted(&path)).await.is_ok(), "the name is free");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_repository_is_refused() {
    let world = World::new().await;
    let to = world.grpc();
    for (request, code) in [
        (wanted("nobody/tools"), Code::NotFound),
        (wanted("alice/../etc"), Code::InvalidArgument),
        (
            CreateRepositoryRequest { object_format: "md5".to_owned(), ..wanted("alice/x") },
            Code::InvalidArgument,
        ),
        (
            CreateRepositoryRequest { default_ref: "refs/tags/x".into(), ..wanted("alice/x") },
            Code::InvalidArgument,
        ),
        (
            CreateRepositoryRequest { description: "x".repeat(2_000), ..wanted("alice/x") },
            Code::InvalidArgument,
        ),
    ] {
        let refused = to.create(Call::default(), request).await.unwrap_err();
        assert_eq!(refused.code, code, "{refused:?}");
    }
    let long = to.create(named(&"k".repeat(300)), wanted("alice/x")).await.unwrap_err();
    assert_eq!(long.code, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn languages_are_counted_as_attributes_say() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.git(&["update-ref", "refs/heads/main", "refs/heads/trunk"]);
    world.create("tools", ObjectFormat::Sha1).await;
    let request = LanguagesRequest { repository: key("alice/tools"), revision: None };
    let to = world.msgpack();
    let first = to.languages(Call::default(), request.clone()).await.unwrap();
    let told: Vec<_> = first.languages.iter().map(|share| (share.name.as_str(), share.size_bytes)).collect();
    assert_eq!(told, [("Rust", 13), ("C++", 7)], "others' and generated files count for nothing");
    assert!(first.complete && first.size_bytes == 20);
    assert_eq!(to.languages(Call::default(), request).await.unwrap(), first);
}

/// Serves the files below a directory over HTTP, as a server without any idea of git does.
async fn serve_files(root: PathBuf) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let root = root.clone();
            tokio::spawn(async move { answer(&mut stream, &root).await });
        }
    });
    at
}

async fn answer(stream: &mut TcpStream, root: &std::path::Path) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    if path.starts_with("/slow/") {
        std::future::pending::<()>().await;
    }
    let answer = match std::fs::read(root.join(path.trim_start_matches('/'))) {
        _ if path.starts_with("/moved/") => {
            let to = path.replace("/moved/", "/");
            format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .into()
        }
        Ok(content) => {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
            [head.into_bytes(), content].concat()
        }
        Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    };
    let _ = stream.write_all(&answer).await;
}

async fn imported(to: &dyn Operations, url: String) -> Result<Vec<ImportResponse>, Status> {
    imported_as(to, Call::default(), url).await
}

async fn imported_as(to: &dyn Operations, call: Call, url: String) -> Result<Vec<ImportResponse>, Status> {
    let request = ImportRequest { repository: key("alice/copy"), url };
    let parts: Vec<_> = to.import(call, request).collect().await;
    parts.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_brought_in_from_where_the_operator_allows() {
    let root = tempfile::tempdir().unwrap();
    run(root.path(), &["init", "-q", "--bare", "-b", "trunk", "there.git"], b"");
    let there = root.path().join("there.git");
    run(&there, &["fast-import", "--quiet"], SCRIPT);
    run(&there, &["update-server-info"], b"");
    let at = serve_files(root.path().to_owned()).await;
    let import_from = ["", "moved/", "slow/"].map(|below| format!("http://{at}/{below}there.git"));
    let settings = Settings {
        import_from: import_from.iter().map(|url| ImportSource::parse(url).unwrap()).collect(),
        ..Settings::default()
    };
    let world = World::with(settings).await;
    for (n, to) in [world.grpc().operations(), world.msgpack().operations()].iter().enumerate() {
        let new =
            CreateRepositoryRequest { path: "alice/copy".to_owned(), ..CreateRepositoryRequest::default() };
        to.create(Call::default(), new).await.unwrap();
        let [there, moved, _] = import_from.clone();
        let refused = imported(&**to, format!("http://{at}/")).await.unwrap_err();
        assert_eq!(refused.code, Code::PermissionDenied, "what is not below is not allowed");
        let refused = imported(&**to, moved).await.unwrap_err();
        assert_eq!(refused.code, Code::FailedPrecondition, "nobody sends git elsewhere: {refused:?}");
        let refused = imported(&**to, format!("{there}/none")).await.unwrap_err();
        assert_eq!(refused.code, Code::FailedPrecondition, "{refused:?}");
        let call = Call { idempotency_key: Some(format!("import {n}")), ..Call::default() };
        let parts = imported_as(&**to, call.clone(), there.clone()).await.unwrap();
        let last = parts.last().unwrap();
        assert_eq!((last.stage(), last.n_refs), (ImportStage::Done, 2), "{parts:?}");
        assert!(last.n_objects > 5 && last.size_bytes > 100 && last.version == 1);
        let repeated = imported_as(&**to, call, there.clone()).await.unwrap();
        assert_eq!(repeated, [*last], "under the same key comes the same answer");
        let again = imported(&**to, there).await.unwrap_err();
        assert_eq!(again.code, Code::FailedPrecondition, "only an empty repository is filled");
        let request = FsckRequest { repository: key("alice/copy") };
        assert_eq!(to.fsck(Call::default(), request).count().await, 0);
        let gone = DeleteRepositoryRequest { repository: key("alice/copy") };
        to.delete(Call::default(), gone).await.unwrap();
        assert!(n < 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_nobody_waits_for_ends() {
    let root = tempfile::tempdir().unwrap();
    let at = serve_files(root.path().to_owned()).await;
    let url = format!("http://{at}/slow/x.git");
    let settings = Settings { import_from: vec![ImportSource::parse(&url).unwrap()], ..Settings::default() };
    let world = World::with(settings).await;
    let to = world.grpc();
    let new = CreateRepositoryRequest { path: "alice/copy".to_owned(), ..CreateRepositoryRequest::default() };
    to.create(Call::default(), new).await.unwrap();
    let marker = url.clone();
    let n_children = move || children_with(&marker);
    let request = ImportRequest { repository: key("alice/copy"), url };
    let mut parts = to.import(Call::default(), request);
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::select! {
            part = parts.next() => panic!("nothing comes: {part:?}"),
            () = until(|| n_children() > 0) => {}
        }
    });
    waited.await.unwrap();
    drop(parts);
    let ended = tokio::time::timeout(Duration::from_secs(30), until(|| n_children() == 0));
    assert!(ended.await.is_ok(), "git ends with the call");
}

/// Counts the processes whose command line holds a text.
fn children_with(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| line.windows(text.len()).any(|window| window == text.as_bytes())).count()
}

/// Looks again and again until something holds.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks on a new connection and reads one answer.
async fn ask(world: &World, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.msgpack_at).await.unwrap();
    let mut bytes = b"\x94\x00\x01\xa4auth\x91".to_vec();
    rmp::encode::write_str(&mut bytes, TOKEN).unwrap();
    bytes.extend_from_slice(request);
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_outlives_its_connection() {
    let world = World::new().await;
    let mut script = b"blob\nmark :9\ndata 3000000\n".to_vec();
    script.extend((0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
    script.extend_from_slice(
        b"\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 :9 big\n\n",
    );
    world.import(ObjectFormat::Sha1, &script);
    world.create("tools", ObjectFormat::Sha1).await;
    let mut request =
        b"\x94\x00\x02\xb2repository.archive\x91\x81\xaarepository\x81\xa4path\xabalice/tools".to_vec();
    let first = ask(&world, &request).await;
    let handle = last_handle(&first).expect("the archive is longer than a page");
    // The same page twice, each on a connection of its own.
    request.truncate(b"\x94\x00\x02\xb2repository.archive\x91".len());
    request.extend_from_slice(b"\x81\xa7_handle");
    rmp::encode::write_str(&mut request, &handle).unwrap();
    let (second, again) = (ask(&world, &request).await, ask(&world, &request).await);
    assert!(second.len() > 900_000 && second == again);
    let next = last_handle(&second).expect("there is a third page");
    assert!(next != handle && next.split('.').next() == handle.split('.').next());
}

/// Finds the handle at the end of a page.
fn last_handle(said: &[u8]) -> Option<String> {
    let key = b"\xa6handle\xd9";
    let at = said.windows(key.len()).rposition(|window| window == key)? + key.len();
    let length = usize::from(*said.get(at)?);
    String::from_utf8(said.get(at + 1..at + 1 + length)?.to_vec()).ok()
}
