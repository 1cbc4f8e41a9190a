//! Readers that are slow, and readers that have stopped, over the kernel's own buffers.

use super::{Connections, GET, Settings, bind};
use crate::http::{self, Body, Server};
use crate::stream::Patience;
use hakata_runtime::tasks::Tasks;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

/// What stands for a minute here.
const STALL: Duration = Duration::from_millis(800);

/// More than all buffers on the way hold.
const BODY: usize = 64 << 20;

/// Answers with a long body and cuts who takes nothing of it for [`STALL`]; gives the group of the connections.
fn start(tasks: &Tasks) -> (SocketAddr, Tasks) {
    let listener = bind("127.0.0.1:0", &Settings::default(), &Connections::default()).unwrap();
    let address = listener.local_address().tcp().unwrap();
    let patience = Patience { stall: STALL, min_rate: 0, ..Patience::default() };
    let settings = http::Settings { patience, ..http::Settings::default() };
    let body = bytes::Bytes::from(vec![b'x'; BODY]);
    let server = Arc::new(Server::new("test", settings, move |_, _| {
        let body = body.clone();
        async move { ::http::Response::new(Body::full(body)) }
    }));
    let connections = tasks.child();
    let group = connections.clone();
    tasks.spawn("test-accept", async move {
        let streams = group.clone();
        listener.serve(&group, move |connection| server.clone().serve(connection, streams.clone())).await;
    });
    (address, connections)
}

/// Asks for the body over segments as an Ethernet has them.
async fn ask(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket2::SockRef::from(&socket).set_tcp_mss(1_448).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    stream.read_exact(&mut [0; 64]).await.unwrap();
    stream
}

/// It takes in [`STALL`] what one of 7 KiB a second takes in a minute. Without the bound on unsent bytes the kernel
/// would tell of its progress every 600 KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_not_taken_for_one_that_has_stopped() {
    let tasks = Tasks::new();
    let (address, connections) = start(&tasks);
    let mut stream = ask(address).await;
    let mut ticks = interval(Duration::from_millis(50));
    let mut piece = vec![0; 26 << 10];
    for _ in 0..80 {
        ticks.tick().await;
        stream.read_exact(&mut piece).await.unwrap();
    }
    assert_eq!(connections.live(), 1, "it was cut in the middle");
    tasks.cut().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_stopped_is_cut() {
    let tasks = Tasks::new();
    let (address, connections) = start(&tasks);
    let stream = ask(address).await;
    assert!(timeout(Duration::from_secs(30), connections.empty()).await.is_ok(), "it takes nothing");
    drop(stream);
    tasks.cut().await;
}
