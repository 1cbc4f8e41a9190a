//! Callers that mean harm, and old ones that mean none.

use std::time::Duration;

use futures_util::StreamExt;
use hakata_names::ObjectFormat;
use hakata_rpc::v1::{InfoRequest, ListRepositoriesRequest, RepositoryService, ServerService};
use hakata_rpc::{Call, Code, Endpoint, grpc};
use hakata_rpc_server::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{TOKEN, World};

const LONG: Duration = Duration::from_secs(20);

/// Sends bytes and reads to the end of the connection.
async fn said(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(world.msgpack_at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    timeout(LONG, stream.read_to_end(&mut said)).await.unwrap().unwrap();
    said
}

fn auth(token: &str) -> Vec<u8> {
    let mut bytes = b"\x94\x00\x01\xa4auth\x91".to_vec();
    rmp::encode::write_str(&mut bytes, token).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_learn_nothing() {
    let world = World::new().await;
    for bytes in [
        b"\x94\x00\x01\xabserver.info\x90".to_vec(),
        auth("wrong"),
        b"\x94\x00\x01\xa4auth\x90".to_vec(),
        vec![0x91; 100_000],
        b"\xdd\xff\xff\xff\xff".repeat(100_000),
        b"\xc6\xff\xff\xff\xff".to_vec(),
        b"\xc1".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x94\x01\x01\xc0\xc0".to_vec(),
    ] {
        let said = said(&world, &bytes).await;
        let text = String::from_utf8_lossy(&said);
        assert!(said.len() < 500 && !text.contains("git"), "{text}");
    }
    let endpoint = Endpoint::new(world.grpc_at.to_string()).with_token("wrong");
    let stranger = grpc::Grpc::lazy(&endpoint).unwrap();
    let refused = stranger.info(Call::default(), InfoRequest {}).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
    let known = world.grpc();
    assert!(known.info(Call::default(), InfoRequest {}).await.is_ok(), "others are served all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stranger_is_cut() {
    let settings = Settings { login: Duration::from_millis(200), ..Settings::default() };
    let world = World::with(settings).await;
    assert_eq!(said(&world, b"\x94\x00").await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_answered_and_the_connection_stays() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.msgpack_at).await.unwrap();
    let mut bytes = auth(TOKEN);
    bytes.extend(b"\x94\x00\x02\xa7no.such\x90");
    bytes.extend(b"\x94\x00\x03\xabserver.info\x91\x81\xa1x\x01");
    bytes.extend(b"\x94\x00\x04\xabserver.info\x92\x80\x80");
    bytes.extend(b"\x93\x02\xa4note\x90");
    bytes.extend(b"\x94\x00\x05\xabserver.info\x90");
    // One byte at a time is as good as all at once.
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    timeout(LONG, stream.read_to_end(&mut said)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&said);
    for (msgid, wanted) in
        [(1, ""), (2, "UNIMPLEMENTED"), (3, "INVALID_ARGUMENT"), (4, "INVALID_ARGUMENT"), (5, "git_version")]
    {
        let head = [0x94, 1, msgid];
        assert!(said.windows(3).any(|window| window == head), "request {msgid} is answered");
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_all_answered() {
    let world = World::new().await;
    let to = world.msgpack();
    let asked = (0..2_000).map(|_| to.info(Call::default(), InfoRequest {}));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_from_before_2013_get_no_new_types() {
    let world = World::new().await;
    world.import(ObjectFormat::Sha1, b"commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\none\n\n");
    world.create("tools", ObjectFormat::Sha1).await;
    let mut bytes = auth(TOKEN);
    bytes.extend(b"\x94\x00\x02\xaaraw_compat\x90");
    bytes.extend(b"\x94\x00\x03\xafrepository.list\x90");
    let mut stream = TcpStream::connect(world.msgpack_at).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    timeout(LONG, stream.read_to_end(&mut said)).await.unwrap().unwrap();
    let key = b"\xabdefault_ref\xaf";
    assert!(said.windows(key.len()).any(|window| window == key), "bytes are raw: {said:x?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_server_finishes_what_it_does() {
    let world = World::new().await;
    let to = world.grpc();
    assert!(to.info(Call::default(), InfoRequest {}).await.is_ok());
    let drained = world.tasks.drain(LONG);
    let (drained, ()) = tokio::join!(drained, async {
        // The connection of the client is idle and ends.
        let listed: Vec<_> = to.list(Call::default(), ListRepositoriesRequest::default()).collect().await;
        assert!(listed.len() <= 1);
    });
    assert_eq!(drained.cut, 0, "nothing had to be cut");
}
