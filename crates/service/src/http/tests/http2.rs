//! HTTP/2 without TLS on the same port, and floods of it.

use super::*;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

type Client = http2::SendRequest<Body>;

async fn http2<H, F>(tasks: &Tasks, settings: Settings, handler: H) -> Client
where
    H: Fn(Request<Body>, RequestFacts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let io = TokioIo::new(connect(tasks, settings, handler));
    let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tasks.spawn("test-client", async { connection.await.ok() });
    client
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://h{path}")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn many_requests_share_a_connection_within_the_bound() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let tasks = Tasks::new();
    let settings = Settings { max_streams: 8, ..Settings::default() };
    let client = http2(&tasks, settings, |request, facts| async move {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let answer = echo(request, facts).await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        answer
    })
    .await;
    let all = (0..100).map(|n| {
        let mut client = client.clone();
        async move {
            client.ready().await.unwrap();
            let response = client.send_request(get(&format!("/{n}"))).await.unwrap();
            assert!(response.headers().contains_key("x-request-id"));
            response.into_body().collect().await.unwrap().to_bytes()
        }
    });
    let answers = join_all(all).await;
    assert!(answers.iter().enumerate().all(|(n, body)| *body == format!("GET /{n}")));
    // The client may send a few before it has read our settings; those beyond the bound are refused and sent again.
    assert!(MOST.load(Ordering::SeqCst) <= 8, "at most {} ran at once", MOST.load(Ordering::SeqCst));
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let tasks = Tasks::new();
    let mut client = http2(&tasks, Settings::default(), echo).await;
    let request = Request::head("http://h/a").body(Body::empty()).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "7");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_reset_is_dropped() {
    let tasks = Tasks::new();
    let (alive, dropped) = tokio::sync::oneshot::channel::<()>();
    let alive = std::sync::Mutex::new(Some(alive));
    let mut client = http2(&tasks, Settings::default(), move |_, _| {
        let alive = alive.lock().unwrap().take();
        async move {
            Response::new(Body::produce(|mut writer| async move {
                let _alive = alive;
                writer.write_all(b"begin").await?;
                std::future::pending().await
            }))
        }
    })
    .await;
    let response = client.send_request(get("/")).await.unwrap();
    drop(response);
    assert!(dropped.await.is_err(), "the stream's source is dropped, the connection stays");
    assert!(client.ready().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_nothing_is_cut() {
    let tasks = Tasks::new();
    let (alive, dropped) = tokio::sync::oneshot::channel::<()>();
    let alive = std::sync::Mutex::new(Some(alive));
    let mut client = http2(&tasks, Settings::default(), move |_, _| {
        let alive = alive.lock().unwrap().take();
        async move {
            Response::new(Body::produce(|mut writer| async move {
                let _alive = alive;
                loop {
                    writer.write_all(&[b'x'; 1 << 16]).await?;
                }
            }))
        }
    })
    .await;
    let start = Instant::now();
    let held = client.send_request(get("/")).await.unwrap();
    assert!(dropped.await.is_err());
    assert!((60..90).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_too_little_is_cut() {
    let tasks = Tasks::new();
    let patience = Patience { min_rate: 1 << 20, window: Duration::from_secs(10), ..Patience::default() };
    let settings = Settings { patience, ..Settings::default() };
    let mut client = http2(&tasks, settings, |_, _| async {
        Response::new(Body::produce(|mut writer| async move {
            loop {
                writer.write_all(&[b'x'; 1 << 16]).await?;
            }
        }))
    })
    .await;
    let start = Instant::now();
    let mut body = client.send_request(get("/")).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(start.elapsed() < Duration::from_secs(3_600), "it is never cut");
    }
    assert!(start.elapsed() >= Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_cut() {
    let tasks = Tasks::new();
    let mut client = http2(&tasks, Settings::default(), echo).await;
    client.send_request(get("/")).await.unwrap().into_body().collect().await.unwrap();
    let start = Instant::now();
    tasks.empty().await;
    assert!((59..=61).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn draining_lets_streams_finish() {
    let tasks = Tasks::new();
    let mut client = http2(&tasks, Settings::default(), |request, facts| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        echo(request, facts).await
    })
    .await;
    let response = client.send_request(get("/long"));
    let drain = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        tasks.drain(Duration::from_secs(60)).await
    };
    let (response, drained) = tokio::join!(response, drain);
    assert_eq!((response.unwrap().status().as_u16(), drained.cut), (200, 0));
}

#[tokio::test]
async fn a_large_head_is_refused_and_the_connection_stays() {
    let tasks = Tasks::new();
    let mut client = http2(&tasks, Settings::default(), echo).await;
    let mut large = get("/");
    large.headers_mut().insert("x", "y".repeat(80_000).parse().unwrap());
    assert_eq!(client.send_request(large).await.unwrap().status(), 431);
    assert_eq!(client.send_request(get("/")).await.unwrap().status(), 200);
}

/// One HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET / http h` in HPACK.
const HEADERS: &[u8] = b"\x82\x86\x84\x41\x01h";

#[tokio::test]
async fn floods_end_the_connection_and_nothing_else() {
    let reset =
        |n: u32| [frame(1, 5, 2 * n + 1, HEADERS), frame(3, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat();
    let resets: Vec<u8> = (0..5_000).flat_map(reset).collect();
    let continuations: Vec<u8> = std::iter::once(frame(1, 1, 1, HEADERS))
        .chain((0..5_000).map(|_| frame(9, 0, 1, b"\x00\x01a\x01b")))
        .flatten()
        .collect();
    for (what, flood) in [("resets", resets), ("continuations", continuations)] {
        let tasks = Tasks::new();
        let mut client = connect(&tasks, Settings::default(), echo);
        let start = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(4, 0, 0, b"")].concat();
        client.write_all(&start).await.unwrap();
        let (mut read, mut write) = tokio::io::split(client);
        let send = async {
            write.write_all(&flood).await.ok();
            std::future::pending::<()>().await
        };
        let receive = async {
            let mut seen = Vec::new();
            read.read_to_end(&mut seen).await.ok();
        };
        let deadline = Duration::from_secs(20);
        tokio::select! {
            () = send => unreachable!("the sender waits for ever"),
            closed = tokio::time::timeout(deadline, receive) => assert!(closed.is_ok(), "{what}: still open"),
        }
        drop((read, write));
        tasks.empty().await;
    }
}
