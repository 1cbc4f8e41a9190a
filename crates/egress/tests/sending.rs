//! Requests against receivers that behave, and against those that do not.

#![allow(clippy::unwrap_used, reason = "the lints know tests only by their attribute")]

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hakata_egress::{
    Allow, ConnectError, Cut, Deadlines, Guard, Phase, PinError, Request, Resolver, SendError, Sent,
    Settings, Target,
};
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A receiver: gives each request as text to the test and lets `act` answer.
struct Receiver {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Receiver {
    async fn start<F, A>(act: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read_request(&mut stream).await else { continue };
                let _ = told.send(request);
                tokio::spawn(act(stream));
            }
        });
        Self { address, requests }
    }

    async fn answering(text: &'static str) -> Self {
        Self::start(move |mut stream| async move {
            let _ = stream.write_all(text.as_bytes()).await;
        })
        .await
    }

    fn url(&self, tail: &str) -> String {
        format!("http://{}{tail}", self.address)
    }
}

/// Reads a head and the body that it announces.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        text.extend_from_slice(&buffer[..n]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(whole);
        }
    }
}

fn settings() -> Settings {
    Settings { allow: Allow::parse(["127.0.0.0/8"]).unwrap(), ..Settings::default() }
}

async fn send(settings: Settings, url: &str) -> Sent {
    let target = Target::parse(url).unwrap();
    let request = Request {
        target: &target,
        method: Method::POST,
        headers: HeaderMap::from_iter([(http::header::ACCEPT, http::HeaderValue::from_static("*/*"))]),
        body: Bytes::from_static(b"{\"a\":1}"),
        max_answer: 1_024,
    };
    Guard::new(settings).unwrap().send(request).await
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_and_its_answer_comes_back() {
    let answer = "HTTP/1.1 202 Accepted\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok";
    let mut receiver = Receiver::answering(answer).await;
    let sent = send(settings(), &receiver.url("/a?b=c#d")).await;
    let answer = sent.outcome.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..], answer.cut), (202, &b"ok"[..], None));
    assert_eq!(answer.headers["x-a"], "b");
    let request = receiver.requests.recv().await.unwrap();
    let expected = format!(
        "POST /a?b=c HTTP/1.1\r\naccept: */*\r\nhost: {}\r\nconnection: close\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}",
        receiver.address
    );
    assert_eq!(request, expected);
    assert_eq!(sent.address, Some(receiver.address));
    assert!(
        sent.timings.connect.is_some() && sent.timings.first_byte.is_some() && sent.timings.tls.is_none()
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nothing_more() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/admin\r\nContent-Length: 0\r\n\r\n";
    let receiver = Receiver::answering(answer).await;
    let answer = send(settings(), &receiver.url("/")).await.outcome.unwrap();
    assert_eq!(answer.status.as_u16(), 302);
}

#[tokio::test]
async fn nothing_is_sent_to_what_is_not_allowed() {
    let mut receiver = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let port = receiver.address.port();
    let name = Resolver::scripted(|_| vec![IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap()]);
    for host in
        ["127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "rebound.example"]
    {
        let settings = Settings { resolver: name.clone(), ..Settings::default() };
        let sent = send(settings, &format!("http://{host}:{port}/")).await;
        let error = sent.outcome.unwrap_err();
        assert!(matches!(error, SendError::Pin(PinError::Forbidden { .. })), "{host}: {error}");
        assert!(!error.is_temporary());
        assert_eq!(sent.address, None);
    }
    let refused = send(settings(), "http://127.0.0.1:22/").await.outcome.unwrap_err();
    assert!(matches!(refused, SendError::Pin(PinError::Port { port: 22 })));
    assert!(receiver.requests.try_recv().is_err(), "nobody was called");
}

#[tokio::test]
async fn a_name_is_resolved_once_and_its_judged_address_is_used() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    // The first answer is allowed; a second one would be a metadata service.
    let resolver = Resolver::scripted(move |name| {
        assert_eq!(name, "rebinding.example");
        match counter.fetch_add(1, Ordering::SeqCst) {
            0 => vec![IpAddr::from([127, 0, 0, 1])],
            _ => vec![IpAddr::from([169, 254, 169, 254])],
        }
    });
    let settings = Settings { resolver, ..settings() };
    let url = format!("http://rebinding.example:{}/", receiver.address.port());
    let sent = send(settings, &url).await;
    assert_eq!(sent.outcome.unwrap().status.as_u16(), 200);
    assert_eq!(sent.address, Some(receiver.address));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "resolved once");
}

#[tokio::test]
async fn forbidden_addresses_of_a_name_are_passed_over() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mixed =
        Resolver::scripted(|_| ["10.0.0.1", "127.0.0.1", "fe80::1"].map(|a| a.parse().unwrap()).to_vec());
    let settings = Settings { resolver: mixed, ..settings() };
    let target = Target::parse(&format!("http://mixed.example:{}/", receiver.address.port())).unwrap();
    let pinned = Guard::new(settings).unwrap().pin(&target).await.unwrap();
    assert_eq!(pinned.addresses(), [receiver.address]);
}

#[tokio::test]
async fn a_name_on_the_list_may_be_anywhere() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let resolver = Resolver::scripted(|_| vec![IpAddr::from([127, 0, 0, 1])]);
    let allow = Allow::parse(["hooks.internal"]).unwrap();
    let port = receiver.address.port();
    let settings = Settings { allow, resolver, ..Settings::default() };
    let sent = send(settings.clone(), &format!("http://HOOKS.internal:{port}/")).await;
    assert_eq!(sent.outcome.unwrap().status.as_u16(), 200);
    let other = send(settings, &format!("http://other.internal:{port}/")).await;
    assert!(matches!(other.outcome, Err(SendError::Pin(PinError::Forbidden { .. }))));
}

fn soon() -> Settings {
    let short = Duration::from_millis(300);
    let deadlines = Deadlines { resolve: short, connect: short, tls: short, total: short };
    Settings { deadlines, ..settings() }
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_left() {
    let receiver = Receiver::start(|stream| async move {
        let _kept = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let began = Instant::now();
    let sent = send(soon(), &receiver.url("/")).await;
    let error = sent.outcome.unwrap_err();
    assert!(matches!(error, SendError::Connect(ConnectError::Slow(Phase::FirstByte))), "{error}");
    assert!(error.is_temporary());
    assert!(began.elapsed() < Duration::from_secs(5) && sent.timings.total >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_dripping_body_is_cut_and_its_status_kept() {
    let receiver = Receiver::start(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let answer = send(soon(), &receiver.url("/")).await.outcome.unwrap();
    assert_eq!((answer.status.as_u16(), answer.cut), (200, Some(Cut::Time)));
    assert!(!answer.body.is_empty() && answer.body.len() < 1_000);
}

#[tokio::test]
async fn a_dripping_head_is_no_answer() {
    let receiver = Receiver::start(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-A: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let error = send(soon(), &receiver.url("/")).await.outcome.unwrap_err();
    assert!(matches!(error, SendError::Connect(ConnectError::Slow(Phase::FirstByte))), "{error}");
}

#[tokio::test]
async fn a_huge_body_is_cut_where_nobody_reads_on() {
    let receiver = Receiver::start(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let block = [b'x'; 65_536];
        // Ends when the sender has had enough.
        while stream.write_all(&block).await.is_ok() {}
    })
    .await;
    let answer = send(settings(), &receiver.url("/")).await.outcome.unwrap();
    assert_eq!((answer.body.len(), answer.cut), (1_024, Some(Cut::Size)));
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let texts = [
        "garbage\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "",
        "SSH-2.0-OpenSSH_9.9\r\n",
    ];
    for text in texts {
        let receiver = Receiver::answering(text).await;
        let error = send(settings(), &receiver.url("/")).await.outcome.unwrap_err();
        assert!(matches!(error, SendError::Http(_)), "{text:?}: {error}");
    }
    let long = Receiver::start(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
        while stream.write_all(&[b'a'; 4_096]).await.is_ok() {}
    })
    .await;
    assert!(matches!(send(settings(), &long.url("/")).await.outcome, Err(SendError::Http(_))));
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_its_status() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    let answer = send(settings(), &receiver.url("/")).await.outcome.unwrap();
    assert_eq!((&answer.body[..], answer.cut), (&b"half"[..], Some(Cut::Broken)));
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_may_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = send(settings(), &format!("http://{address}/")).await.outcome.unwrap_err();
    assert!(matches!(error, SendError::Connect(ConnectError::Refused { .. })) && error.is_temporary());
    let nowhere = Settings { resolver: Resolver::scripted(|_| Vec::new()), ..settings() };
    let error = send(nowhere, "http://nowhere.example/").await.outcome.unwrap_err();
    assert!(matches!(error, SendError::Pin(PinError::NoAddress { .. })) && error.is_temporary());
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name_of_the_url() {
    let made = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4_096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    let resolver = Resolver::scripted(|_| vec![IpAddr::from([127, 0, 0, 1])]);
    let trusting = Settings { roots: Some(roots), resolver, ..settings() };
    let sent = send(trusting.clone(), &format!("https://hooks.example:{port}/")).await;
    assert_eq!(sent.outcome.unwrap().status.as_u16(), 200);
    assert!(sent.timings.tls.is_some());
    let other = send(trusting.clone(), &format!("https://other.example:{port}/")).await.outcome.unwrap_err();
    assert!(matches!(other, SendError::Connect(ConnectError::Tls(_))), "{other}");
    let strange = Settings { roots: None, ..trusting };
    let strange = send(strange, &format!("https://hooks.example:{port}/")).await.outcome.unwrap_err();
    assert!(matches!(strange, SendError::Connect(ConnectError::Tls(_))), "{strange}");
}
