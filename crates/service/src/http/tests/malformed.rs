//! What is no HTTP, or HTTP that two parsers read in two ways, gets one clear answer or a clean close.

use super::*;

async fn send(bytes: &[u8]) -> String {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), |request: Request<Body>, facts| async move {
        let (parts, body) = request.into_parts();
        match body.collect(1 << 20).await {
            Ok(_) => echo(Request::from_parts(parts, Body::empty()), facts).await,
            Err(_) => Response::builder().status(400).body(Body::empty()).unwrap(),
        }
    });
    // The server may answer and close before it has read all.
    client.write_all(bytes).await.ok();
    client.shutdown().await.ok();
    let answer = read_rest(&mut client).await;
    tasks.empty().await;
    answer
}

#[tokio::test(start_paused = true)]
async fn smuggled_requests_are_refused_and_never_answered() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    for (what, head) in [
        ("length then chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("chunks then length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        ("two equal lengths", "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
        ("two lengths", "Content-Length: 0\r\nContent-Length: 30\r\n\r\n"),
        ("a list of lengths", "Content-Length: 0, 0\r\n\r\n"),
        ("a signed length", "Content-Length: +0\r\n\r\n"),
        ("a folded line", "X: a\r\n Content-Length: 0\r\n\r\n"),
        ("a blank before the colon", "Content-Length : 0\r\n\r\n"),
        ("another coding", "Transfer-Encoding: gzip\r\n\r\n"),
        ("two codings", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("a coding in disguise", "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ("a coding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a second host", "Host: evil\r\n\r\n"),
        ("a bad chunk", "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"),
        ("a NUL", "X: a\0b\r\n\r\n"),
    ] {
        let answer = send(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}{smuggled}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        assert!(!answer.contains("/smuggled"), "{what}: the next request is not read: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{what}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn odd_bytes_end_in_an_answer_or_a_close() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    let long = [b"GET /".as_slice(), &[b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat();
    let many = ["GET / HTTP/1.1\r\nHost: h\r\n", &"X: y\r\n".repeat(500), "\r\n"].concat();
    for (what, bytes, start) in [
        ("nothing", b"".as_slice(), ""),
        ("an empty line", b"\r\n", ""),
        ("blanks", b"   \r\n\r\n", "HTTP/1.1 400"),
        ("a NUL", b"\0", "HTTP/1.1 400"),
        ("a TLS hello", hello, "HTTP/1.1 400"),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/1.1 400"),
        ("no version", b"GET /\r\n\r\n", "HTTP/1.1 400"),
        ("half a head", b"GET / HTTP/1.1\r\nHost:", ""),
        ("a long path", &long, "HTTP/1.1 4"),
        ("many headers", many.as_bytes(), "HTTP/1.1 431"),
        ("no host", b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
        ("a tunnel", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 400"),
        ("half a preface", b"PRI * HTTP/2.0\r\n", ""),
    ] {
        let answer = send(bytes).await;
        let fits = if start.is_empty() { !answer.contains(" 200 ") } else { answer.starts_with(start) };
        assert!(fits, "{what}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_alone_are_fine() {
    let answer =
        send(b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    assert!(answer.ends_with("POST /c"), "{answer}");
}
