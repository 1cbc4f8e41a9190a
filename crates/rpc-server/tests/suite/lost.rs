//! Answers that are lost on the way, and servers that go away and come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    CommitFilesRequest, CreateBranchRequest, DeleteBranchRequest, FileAct, FileChange, GetRepositoryRequest,
    ListCommitsRequest, MergeService, RefMove, RefService, RepositoryKey, RepositoryService, Revision,
    Signature, UpdateRefsRequest,
};
use hakata_rpc::{Call, Client, Endpoint, Ends, Operation, Requests, Route, Routes, Settings, grpc, msgpack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::ask::ask;
use crate::fixture::{TOKEN, World};

const SCRIPT: &[u8] = b"commit refs/heads/main\nmark :1\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline a\ndata 2\na\n\n\
commit refs/heads/main\nmark :2\ncommitter A <a@b> 2 +0000\ndata 4\ntwo\nfrom :1\nM 100644 inline b\ndata 2\nb\n\n";

/// A relay to a server that can be told to let requests through and swallow what is answered, then cut.
#[derive(Clone)]
struct Relay {
    at: SocketAddr,
    loses: Arc<AtomicBool>,
    /// Answers to be let through before.
    n_before: Arc<AtomicUsize>,
    n_lost: Arc<AtomicUsize>,
    /// What HTTP/2 says about the connection itself is shorter than any answer.
    least: usize,
}

impl Relay {
    async fn start(to: SocketAddr, least: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let relay =
            Self { at, loses: Arc::default(), n_before: Arc::default(), n_lost: Arc::default(), least };
        let own = relay.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(to).await.unwrap();
                tokio::spawn(own.clone().pass(near, far));
            }
        });
        relay
    }

    /// Lets bytes through until an answer is to be lost: then that answer is read from the server, which has therefore done
    /// what was asked, and the connection is cut instead.
    async fn pass(self, near: TcpStream, far: TcpStream) {
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
            (near.into_split(), far.into_split());
        let asking = async {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(n @ 1..) = from_near.read(&mut bytes).await {
                if to_far.write_all(&bytes[..n]).await.is_err() {
                    return;
                }
            }
        };
        let answering = async {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(n @ 1..) = from_far.read(&mut bytes).await {
                let is_answer = n >= self.least && self.loses.load(Ordering::SeqCst);
                let skips = |n: usize| n.checked_sub(1);
                let skipped = self.n_before.fetch_update(Ordering::SeqCst, Ordering::SeqCst, skips);
                if is_answer && skipped.is_err() && self.loses.swap(false, Ordering::SeqCst) {
                    self.n_lost.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if to_near.write_all(&bytes[..n]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = asking => {}
            () = answering => {}
        }
    }

    fn lose_the_next_answer(&self) {
        self.loses.store(true, Ordering::SeqCst);
    }

    /// Lets so many answers through first.
    fn lose_the_answer_behind(&self, n: usize) {
        self.n_before.store(n, Ordering::SeqCst);
        self.lose_the_next_answer();
    }

    fn lost(&self) -> usize {
        self.n_lost.load(Ordering::SeqCst)
    }
}

fn key() -> Option<RepositoryKey> {
    Some(RepositoryKey { path: "alice/tools".to_owned(), id: 0 })
}

fn revision(expression: &str) -> Option<Revision> {
    Some(Revision { expression: expression.to_owned(), ..Revision::default() })
}

fn one_connection(at: SocketAddr) -> Endpoint {
    Endpoint { n_connections: 1, ..Endpoint::new(at.to_string()).with_token(TOKEN) }
}

/// Clients of both protocols, each behind a relay.
async fn behind_relays(world: &World) -> Vec<(Relay, Client)> {
    let (grpc_relay, msgpack_relay) =
        (Relay::start(world.grpc_at, 40).await, Relay::start(world.msgpack_at, 1).await);
    let ends = Ends {
        grpc: Some(grpc::Grpc::lazy(&one_connection(grpc_relay.at)).unwrap()),
        msgpack: Some(msgpack::Msgpack::lazy(one_connection(msgpack_relay.at), world.tasks.clone())),
        local: None,
    };
    let by = |default| {
        let routes = Routes { default, ..Routes::default() };
        Client::new(ends.clone(), &routes, Settings::default(), world.tasks.clone()).unwrap()
    };
    vec![(grpc_relay, by(Route::Grpc)), (msgpack_relay, by(Route::Msgpack))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_is_lost_happens_once_and_is_answered() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    let version = async |client: &Client| {
        client.get(Call::default(), GetRepositoryRequest { repository: key() }).await.unwrap().version
    };
    for (n, (relay, client)) in behind_relays(&world).await.into_iter().enumerate() {
        let name = bytes::Bytes::from(format!("refs/heads/topic{n}"));
        let before = version(&client).await;
        relay.lose_the_next_answer();
        let create = CreateBranchRequest {
            repository: key(),
            ref_name: name.clone(),
            start: revision("main~1"),
            ..CreateBranchRequest::default()
        };
        let made = client.create_branch(Call::default(), create).await.unwrap().r#ref.unwrap();
        assert_eq!(
            (relay.lost(), version(&client).await),
            (1, before + 1),
            "one answer was lost, one change made"
        );
        let main = client.resolve_revision(
            Call::default(),
            hakata_rpc::v1::ResolveRevisionRequest { repository: key(), revision: revision("main") },
        );
        let main = main.await.unwrap().oid;
        relay.lose_the_next_answer();
        let moves = vec![RefMove { ref_name: name.clone(), old_oid: made.target_oid, new_oid: main }];
        let update = UpdateRefsRequest { repository: key(), moves, atomic: true, ..Default::default() };
        let moved = client.update_refs(Call::default(), update).await.unwrap();
        assert_eq!((relay.lost(), moved.version), (2, before + 2), "the second answer is that of the first");
        relay.lose_the_next_answer();
        let delete =
            DeleteBranchRequest { repository: key(), ref_name: name, ..DeleteBranchRequest::default() };
        let deleted = client.delete_branch(Call::default(), delete).await.unwrap();
        assert_eq!((relay.lost(), deleted.version), (3, before + 3), "it is gone, and that is no error");
    }
}

/// What is asked in turn: `R` is the repository, `N` its name, `P` a person.
const WRITES: &[(&str, &str)] = &[
    ("repository.create", r#""path": "alice/N-made", "description": "made""#),
    ("repository.fork", r#"R, "path": "alice/N-forked""#),
    ("repository.delete", r#""repository": {"path": "alice/N-made"}"#),
    ("repository.set_default_branch", r#"R, "ref_name": "refs/heads/trunk""#),
    (
        "ref.create_tag",
        r#"R, "ref_name": "refs/tags/v1", "target": {"ref_name": "refs/heads/main"}, "message": "one", "tagger": P"#,
    ),
    ("ref.delete_tag", r#"R, "ref_name": "refs/tags/v1""#),
    ("ref.create_branch", r#"R, "ref_name": "refs/heads/topic", "start": {"expression": "main~1"}"#),
    (
        "pull_request.create_pull_refs",
        r#"R, "number": 1, "head": {"ref_name": "refs/heads/main"}, "base": {"ref_name": "refs/heads/topic"}, "expected_version": 0"#,
    ),
    (
        "pull_request.merge_pull_request",
        r#"R, "number": 1, "ref_name": "refs/heads/topic", "message": "merged", "author": P"#,
    ),
    (
        "merge.merge",
        r#"R, "ref_name": "refs/heads/topic", "head": {"ref_name": "refs/heads/main"}, "message": "no", "author": P"#,
    ),
    (
        "merge.revert",
        r#"R, "ref_name": "refs/heads/topic", "commits": [{"expression": "main"}], "author": P"#,
    ),
    (
        "merge.commit_files",
        r#"R, "ref_name": "refs/heads/main", "author": P, "message": "m", "changes": [{"act": "FILE_ACT_PUT", "path": "x", "content": "x"}]"#,
    ),
    (
        "merge.apply_suggestion",
        r#"R, "ref_name": "refs/heads/main", "author": P, "message": "s", "suggestions": [{"path": "a", "first_line": 1, "n_lines": 1, "new_lines": ["b"]}]"#,
    ),
    ("ref.delete_branch", r#"R, "ref_name": "refs/heads/topic""#),
    ("repository.optimize", "R"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_whose_answer_is_lost_is_answered_as_if_it_were_not() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    for (n, (relay, client)) in behind_relays(&world).await.into_iter().enumerate() {
        let (calm, lossy) = (format!("calm{n}"), format!("lossy{n}"));
        for name in [&calm, &lossy] {
            world.create(name, ObjectFormat::Sha1).await;
        }
        let person = r#"{"name": "A", "email": "a@b", "time_s": 7}"#;
        for (key, request) in WRITES {
            let written = |name: &str| {
                let repository = format!(r#""repository": {{"path": "alice/{name}"}}"#);
                let request = match request.strip_prefix('R') {
                    Some(rest) => format!("{repository}{rest}"),
                    None => (*request).to_owned(),
                };
                let request = request.replace(": P", &format!(": {person}"));
                serde_json::from_str(&format!("{{{}}}", request.replace("/N-", &format!("/{name}-"))))
                    .unwrap()
            };
            let expected = ask(&*world.local, key, &written(&calm)).await;
            let before = relay.lost();
            relay.lose_the_next_answer();
            let answer = ask(&client, key, &written(&lossy)).await;
            assert_eq!(relay.lost(), before + 1, "{key}: an answer was lost");
            // Two repositories differ in nothing but their names.
            let told = |parts: crate::ask::Parts, name: &str| {
                let parts: Vec<_> = parts.into_iter().map(|part| part.map(without_ids)).collect();
                format!("{parts:?}").replace(name, "NAME")
            };
            assert_eq!(told(answer, &lossy), told(expected, &calm), "{key} {request}");
        }
    }
}

#[test]
fn every_operation_that_changes_something_is_repeated_by_a_test() {
    // Those of MergeService and the rest of these two have tests of their own: see `merging` and `whole`.
    let elsewhere = ["ref.update_refs", "repository.import"];
    let is_told = |of: &Operation| {
        WRITES.iter().any(|(key, _)| *key == of.key())
            || elsewhere.contains(&of.key())
            || of.service() == "merge"
    };
    let missing: Vec<_> = Operation::ALL.iter().filter(|of| !of.reads() && !is_told(of)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Leaves out what the database numbers.
fn without_ids(mut answer: serde_json::Value) -> serde_json::Value {
    let has_path = answer.get("path").is_some();
    let repository = if has_path { Some(&mut answer) } else { answer.get_mut("repository") };
    if let Some(repository) = repository.and_then(|found| found.as_object_mut()) {
        repository.remove("id");
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_long_contents_whose_answer_is_lost_is_made_once() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    for (n, (relay, client)) in behind_relays(&world).await.into_iter().enumerate() {
        let change = FileChange {
            act: FileAct::Put.into(),
            path: format!("long{n}").into(),
            content_bytes: 6,
            ..FileChange::default()
        };
        let first = CommitFilesRequest {
            repository: key(),
            ref_name: "refs/heads/main".into(),
            author: Some(Signature { name: "A".into(), email: "a@b".into(), ..Signature::default() }),
            message: "long".into(),
            changes: vec![change],
            ..CommitFilesRequest::default()
        };
        let piece =
            |content: &'static [u8]| CommitFilesRequest { content: content.into(), ..Default::default() };
        let parts = futures_util::stream::iter([Ok(first), Ok(piece(b"abc")), Ok(piece(b"def"))]);
        let before = client.get(Call::default(), GetRepositoryRequest { repository: key() }).await.unwrap();
        // Over MessagePack-RPC each part is answered with a handle, and the end behind them with the result.
        relay.lose_the_answer_behind(if n == 0 { 0 } else { 3 });
        let made = client.commit_files(Call::default(), Requests::new(parts)).await.unwrap();
        assert_eq!((relay.lost(), made.version), (1, before.version + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_connection_breaks_gets_its_whole_answer() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, SCRIPT);
    world.create("tools", ObjectFormat::Sha1).await;
    for (relay, client) in behind_relays(&world).await {
        relay.lose_the_next_answer();
        let request = ListCommitsRequest { repository: key(), ..Default::default() };
        let parts = hakata_rpc::v1::CommitService::list(&client, Call::default(), request);
        let parts: Vec<_> = futures_util::StreamExt::collect(parts).await;
        let commits: usize = parts.into_iter().map(|part| part.unwrap().commits.len()).sum();
        assert_eq!((commits, relay.lost()), (2, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_is_left_at_the_deadline() {
    let world = World::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let endpoint = Endpoint { connect_timeout: Duration::from_secs(30), ..one_connection(at) };
    let ends = Ends {
        grpc: Some(grpc::Grpc::lazy(&endpoint).unwrap()),
        msgpack: Some(msgpack::Msgpack::lazy(endpoint, world.tasks.clone())),
        local: None,
    };
    for default in [Route::Grpc, Route::Msgpack] {
        let routes = Routes { default, ..Routes::default() };
        let settings = Settings { deadline: Duration::from_millis(300), ..Settings::default() };
        let client = Client::new(ends.clone(), &routes, settings, world.tasks.clone()).unwrap();
        let answer = client.get(Call::default(), GetRepositoryRequest { repository: key() }).await;
        assert_eq!(answer.unwrap_err().code, hakata_rpc::Code::DeadlineExceeded, "{default}");
    }
}
