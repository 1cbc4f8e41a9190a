//! The server against clients that behave and clients that do not, over streams in memory and a clock that jumps.

use super::*;
use crate::listener::{Connections, counted_open};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

mod bodies;
mod deadlines;
mod http2;
mod leaving;
mod malformed;

/// Serves one connection and gives its other end.
fn connect<H, F>(tasks: &Tasks, settings: Settings, handler: H) -> DuplexStream
where
    H: Fn(Request<Body>, RequestFacts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let (near, far) = duplex(64 << 10);
    serve(tasks, settings, near, handler);
    far
}

fn serve<S, H, F>(tasks: &Tasks, settings: Settings, near: S, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Body>, RequestFacts) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let server = Arc::new(Server::new("test", settings, handler));
    let link = Link {
        peer: Peer::tcp("192.0.2.7:4711".parse().unwrap()),
        transport: Transport::Plain,
        certificate: None,
        slot: Connections::default().admit(None).unwrap(),
        _open: counted_open("test"),
    };
    tasks.spawn("test-connection", server.serve_on(near, link, tasks.clone()));
}

/// Answers with the method and path.
async fn echo(request: Request<Body>, _facts: RequestFacts) -> Response<Body> {
    Response::new(Body::full(format!("{} {}", request.method(), request.uri().path())))
}

/// Reads one answer with a declared length: its head and its body.
async fn read_answer(client: &mut DuplexStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("a whole head"));
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |n| n.parse().unwrap())];
    client.read_exact(&mut body).await.expect("a whole body");
    (head, String::from_utf8(body).unwrap())
}

/// Reads until the server closes.
async fn read_rest(client: &mut DuplexStream) -> String {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.expect("a clean close");
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn requests_follow_each_other_and_have_ids() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), echo);
    client.write_all(b"GET /a?token=x HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let (head, body) = read_answer(&mut client).await;
    assert_eq!(body, "GET /a");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert!(id.len() == 16 && head.starts_with("http/1.1 200"), "{head}");
    client.write_all(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut client).await.1, "GET /b", "pipelined requests are answered in order");
    assert_eq!(read_answer(&mut client).await.1, "GET /c");
    client.write_all(b"GET /old HTTP/1.0\r\n\r\n").await.unwrap();
    let (head, body) = read_answer(&mut client).await;
    assert!(head.starts_with("http/1.0 200") && body == "GET /old", "{head}");
    assert_eq!(read_rest(&mut client).await, "", "HTTP/1.0 closes");
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), echo);
    client.write_all(b"HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = read_rest(&mut client).await;
    assert!(answer.contains("content-length: 7\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_panic_is_a_500_with_the_id_and_the_connection_lives() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), |request: Request<Body>, facts| async move {
        assert!(request.uri().path() != "/panic", "odd input");
        echo(request, facts).await
    });
    client
        .write_all(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\nGET /ok HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let (head, body) = read_answer(&mut client).await;
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    assert!(
        head.starts_with("http/1.1 500") && body == format!("internal error; request {id}\n"),
        "{head}{body}"
    );
    assert_eq!(read_answer(&mut client).await.1, "GET /ok");
}

#[tokio::test]
async fn draining_finishes_what_runs_and_closes_the_rest() {
    let tasks = Tasks::new();
    let idle = connect(&tasks, Settings::default(), echo);
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gone = std::sync::Mutex::new(Some(gone));
    let (begun, begins) = tokio::sync::oneshot::channel::<()>();
    let begun = std::sync::Mutex::new(Some(begun));
    let mut busy = connect(&tasks, Settings::default(), move |request, facts| {
        let (gone, begun) = (gone.lock().unwrap().take().unwrap(), begun.lock().unwrap().take().unwrap());
        async move {
            begun.send(()).unwrap();
            gone.await.unwrap();
            echo(request, facts).await
        }
    });
    busy.write_all(b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    begins.await.unwrap();
    let watched = tasks.clone();
    let drain = async move { watched.drain(Duration::from_secs(60)).await };
    let client = async {
        let mut idle = idle;
        assert_eq!(read_rest(&mut idle).await, "", "an idle connection is closed at once");
        go.send(()).unwrap();
        let (head, body) = read_answer(&mut busy).await;
        assert!(body == "GET /long" && head.contains("connection: close"), "{head}");
        assert_eq!(read_rest(&mut busy).await, "");
    };
    let (drained, ()) = tokio::join!(drain, client);
    assert_eq!((drained.finished, drained.cut), (2, 0));
}

/// Counts the writes that reach it.
struct Counting(DuplexStream, Arc<std::sync::atomic::AtomicUsize>);

impl AsyncRead for Counting {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> std::task::Poll<io::Result<usize>> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let joined: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        std::pin::Pin::new(&mut self.0).poll_write(cx, &joined)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_small_answer_is_one_write() {
    let tasks = Tasks::new();
    let (near, mut client) = duplex(64 << 10);
    let writes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    serve(&tasks, Settings::default(), Counting(near, writes.clone()), |request, _| async move {
        match request.uri().path() {
            "/full" => Response::new(Body::full("0123456789")),
            "/slices" => Response::new(Body::slices(vec![Bytes::from_static(b"x"); 12])),
            _ => Response::new(Body::produce(|mut writer| async move {
                writer.write_all(b"one").await?;
                writer.write_all(b"two").await?;
                Ok(())
            })),
        }
    });
    for (path, end) in [("/full", "0123456789"), ("/slices", "xxxxxxxxxxxx"), ("/produce", "0\r\n\r\n")] {
        let before = writes.load(std::sync::atomic::Ordering::SeqCst);
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            answer.push(client.read_u8().await.unwrap());
        }
        let n = writes.load(std::sync::atomic::Ordering::SeqCst) - before;
        assert_eq!(n, 1, "{path}: head and body go out together");
    }
}

use bytes::Bytes;
