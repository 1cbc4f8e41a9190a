//! Answers that are lost on the way, and servers that go away and come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hakata_names::ObjectFormat;
use hakata_rpc::v1::{
    CreateBranchRequest, DeleteBranchRequest, GetRepositoryRequest, ListCommitsRequest, RefMove, RefService,
    RepositoryKey, RepositoryService, Revision, UpdateRefsRequest,
};
use hakata_rpc::{Call, Client, Endpoint, Ends, Route, Routes, Settings, grpc, msgpack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{TOKEN, World};

const SCRIPT: &[u8] = b"commit refs/heads/main\nmark :1\ncommitter A <a@b> 1 +0000\ndata 4\none\nM 100644 inline a\ndata 2\na\n\n\
commit refs/heads/main\nmark :2\ncommitter A <a@b> 2 +0000\ndata 4\ntwo\nfrom :1\nM 100644 inline b\ndata 2\nb\n\n";

/// A relay to a server that can be told to let requests through and swallow what is answered, then cut.
#[derive(Clone)]
struct Relay {
    at: SocketAddr,
    loses: Arc<AtomicBool>,
    n_lost: Arc<AtomicUsize>,
    /// What HTTP/2 says about the connection itself is shorter than any answer.
    least: usize,
}

impl Relay {
    async fn start(to: SocketAddr, least: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let relay = Self { at, loses: Arc::default(), n_lost: Arc::default(), least };
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
                if n >= self.least && self.loses.swap(false, Ordering::SeqCst) {
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
        let create =
            CreateBranchRequest { repository: key(), ref_name: name.clone(), start: revision("main~1") };
        let made = client.create_branch(Call::default(), create).await.unwrap();
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
            DeleteBranchRequest { repository: key(), ref_name: name, expected_oid: bytes::Bytes::new() };
        let deleted = client.delete_branch(Call::default(), delete).await.unwrap();
        assert_eq!((relay.lost(), deleted.version), (3, before + 3), "it is gone, and that is no error");
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
