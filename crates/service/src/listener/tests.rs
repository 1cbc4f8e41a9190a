//! The accept loop on real sockets.

use super::*;
use crate::http::{Body, RequestFacts, Server, Transport};
use crate::tls::{self, Tls};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

mod descriptors;
mod slow_readers;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Listens on a free port and answers every request with `ok`.
fn start(tasks: &Tasks, settings: &Settings, connections: &Connections) -> SocketAddr {
    let listener = bind("127.0.0.1:0", settings, connections).unwrap();
    let address = listener.local_address().tcp().unwrap();
    serve_http(tasks, listener);
    address
}

fn bind(address: &str, settings: &Settings, connections: &Connections) -> Result<Listener, BindError> {
    Listener::bind("test", &address.parse().unwrap(), settings, connections.clone())
}

fn serve_http(tasks: &Tasks, listener: Listener) {
    serve_with(tasks, listener, None);
}

fn serve_with(tasks: &Tasks, listener: Listener, tls: Option<Tls>) {
    let mut server =
        Server::new("test", crate::http::Settings::default(), |_, facts: RequestFacts| async move {
            ::http::Response::new(Body::full(if facts.transport == Transport::Tls {
                "ok by tls"
            } else {
                "ok"
            }))
        });
    if let Some(tls) = tls {
        server = server.with_tls(tls);
    }
    let server = Arc::new(server);
    let group = tasks.clone();
    tasks.spawn("test-accept", async move {
        let connections = group.clone();
        listener.serve(&group, move |connection| server.clone().serve(connection, connections.clone())).await;
    });
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(GET).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_connects_at_once_are_all_quick() {
    let tasks = Tasks::new();
    let limits = ConnectionLimits { strangers_per_address: 1_000, ..ConnectionLimits::default() };
    let connections = Connections::new(limits);
    let address = start(&tasks, &Settings::default(), &connections);
    let connects = (0..300).map(|_| async {
        let begun = Instant::now();
        let stream = TcpStream::connect(address).await.unwrap();
        (begun.elapsed(), stream)
    });
    let connected = futures_util::future::join_all(connects).await;
    let slowest = connected.iter().map(|(took, _)| *took).max().unwrap();
    assert!(slowest < Duration::from_millis(200), "a full backlog costs a second: {slowest:?}");
    drop(connected);
    assert!(ask(address).await.unwrap().ends_with("ok"));
    tasks.drain(Duration::from_secs(60)).await;
    assert_eq!((connections.open(), tasks.live()), (0, 0), "every place and task is given back");
}

#[tokio::test]
async fn accepted_sockets_inherit_the_options() {
    let tasks = Tasks::new();
    let listener = bind("127.0.0.1:0", &Settings::default(), &Connections::default()).unwrap();
    let address = listener.local_address().tcp().unwrap();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let group = tasks.clone();
    tasks.spawn("test-accept", async move {
        let on_connection = |connection: Connection| {
            let Stream::Tcp(stream) = &connection.stream else { panic!("TCP was asked for") };
            let socket = socket2::SockRef::from(stream);
            let options = (
                socket.tcp_nodelay().unwrap(),
                socket.keepalive().unwrap(),
                socket.tcp_keepalive_time().unwrap().as_secs(),
                socket.tcp_user_timeout().unwrap().map(|t| t.as_secs()),
            );
            told.send(options).unwrap();
            std::future::ready(())
        };
        listener.serve(&group, on_connection).await;
    });
    let _client = TcpStream::connect(address).await.unwrap();
    assert_eq!(tells.recv().await.unwrap(), (true, true, 60, Some(60)));
    tasks.drain(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn an_address_has_few_strangers() {
    let tasks = Tasks::new();
    let limits = ConnectionLimits { strangers_per_address: 2, ..ConnectionLimits::default() };
    let connections = Connections::new(limits);
    let address = start(&tasks, &Settings::default(), &connections);
    let mut first = TcpStream::connect(address).await.unwrap();
    let second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(third.read(&mut [0; 9]).await.unwrap(), 0, "the third stranger is turned away");
    first.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    first.read_u8().await.unwrap();
    assert!(ask(address).await.unwrap().ends_with("ok"), "a request makes room for another stranger");
    drop((first, second));
    tasks.drain(Duration::from_secs(60)).await;
    assert_eq!(connections.open(), 0);
}

#[tokio::test]
async fn one_too_many_hears_a_last_word() {
    let tasks = Tasks::new();
    let connections = Connections::new(ConnectionLimits { all: 1, ..ConnectionLimits::default() });
    let settings = Settings { last_word: b"HTTP/1.1 503 Busy\r\n\r\n", ..Settings::default() };
    let address = start(&tasks, &settings, &connections);
    let held = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    let mut heard = String::new();
    second.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "HTTP/1.1 503 Busy\r\n\r\n");
    drop(held);
    tasks.drain(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn tls_is_served_and_its_absence_noticed() {
    let tasks = Tasks::new();
    let dir = tempfile::tempdir().unwrap();
    let roots = tls::tests::certify(dir.path());
    let files = tls::tests::config(dir.path());
    let listener = bind("127.0.0.1:0", &Settings::default(), &Connections::default()).unwrap();
    let address = listener.local_address().tcp().unwrap();
    serve_with(&tasks, listener, Some(Tls::load(files).unwrap()));
    let (connector, name) = tls::tests::connector(roots, "http/1.1");
    let mut client = connector.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut answer = Vec::new();
    // Whether the server takes leave by a TLS alert does not matter to the answer.
    client.read_to_end(&mut answer).await.ok();
    assert!(answer.ends_with(b"ok by tls"), "{}", String::from_utf8_lossy(&answer));
    let plain = ask(address).await.unwrap_or_default();
    assert!(!plain.contains("200"), "{plain}");
    tasks.drain(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn everywhere_includes_ipv4() {
    let tasks = Tasks::new();
    let listener = bind(":0", &Settings::default(), &Connections::default()).unwrap();
    let port = listener.local_address().tcp().unwrap().port();
    serve_http(&tasks, listener);
    assert!(ask(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap().ends_with("ok"));
    tasks.drain(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn draining_refuses_at_once() {
    let tasks = Tasks::new();
    let address = start(&tasks, &Settings::default(), &Connections::default());
    assert!(ask(address).await.is_ok());
    tasks.drain(Duration::from_secs(60)).await;
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_panic_in_a_connection_ends_only_it() {
    let tasks = Tasks::new();
    let listener = bind("127.0.0.1:0", &Settings::default(), &Connections::default()).unwrap();
    let address = listener.local_address().tcp().unwrap();
    let group = tasks.clone();
    tasks.spawn("test-accept", async move {
        listener.serve(&group, |_connection| async { panic!("odd bytes") }).await;
    });
    for _ in 0..3 {
        let mut client = TcpStream::connect(address).await.unwrap();
        assert_eq!(client.read(&mut [0; 9]).await.unwrap_or(0), 0);
    }
    tasks.drain(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_socket_file_is_private_replaced_when_stale_and_removed() {
    use std::os::unix::fs::PermissionsExt;
    let tasks = Tasks::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let (settings, connections) = (Settings::default(), Connections::default());
    let listener = bind(&address, &settings, &connections).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(bind(&address, &settings, &connections), Err(BindError::Answered(_))));
    serve_http(&tasks, listener);
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
    tasks.drain(Duration::from_secs(60)).await;
    assert!(!path.exists(), "the file goes with its listener");
    std::fs::write(&path, "text").unwrap();
    assert!(matches!(bind(&address, &settings, &connections), Err(BindError::NotASocket(_))));
    let long = format!("unix:/{}", "a".repeat(107));
    assert!(matches!(bind(&long, &settings, &connections), Err(BindError::PathTooLong(_))));
}
