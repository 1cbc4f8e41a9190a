//! Bodies that are announced, too large, or expected to be asked for.

use super::*;

/// Reads the body unless the path says no, with a bound of ten bytes.
async fn judge(request: Request<Body>, _facts: RequestFacts) -> Response<Body> {
    if request.uri().path() == "/no" {
        return Response::builder().status(403).body(Body::empty()).unwrap();
    }
    let (status, text) = match request.into_body().collect(10).await {
        Ok(bytes) => (200, format!("{} bytes", bytes.len())),
        Err(BodyError::TooLarge { limit }) => (413, format!("at most {limit}")),
        Err(error) => (400, error.to_string()),
    };
    Response::builder().status(status).body(Body::full(text)).unwrap()
}

fn post(path: &str, more: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{more}").into_bytes()
}

#[tokio::test(start_paused = true)]
async fn continue_is_said_when_the_body_is_read() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), judge);
    client.write_all(&post("/", "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")).await.unwrap();
    let (head, _) = read_answer(&mut client).await;
    assert!(head.starts_with("http/1.1 100"), "{head}");
    client.write_all(b"abc").await.unwrap();
    assert_eq!(read_answer(&mut client).await.1, "3 bytes");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_asks_for_no_body() {
    let tasks = Tasks::new();
    for (path, more, status) in [
        ("/no", "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", "http/1.1 403"),
        ("/", "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n", "http/1.1 413"),
    ] {
        let mut client = connect(&tasks, Settings::default(), judge);
        client.write_all(&post(path, more)).await.unwrap();
        let (head, _) = read_answer(&mut client).await;
        assert!(head.starts_with(status), "{head}");
        assert_eq!(read_rest(&mut client).await, "", "what follows cannot be told from a body");
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_beyond_the_bound_are_refused() {
    let tasks = Tasks::new();
    let mut client = connect(&tasks, Settings::default(), judge);
    let chunks = "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n";
    client.write_all(&post("/", chunks)).await.unwrap();
    assert_eq!(read_answer(&mut client).await.1, "at most 10");
}

#[tokio::test(start_paused = true)]
async fn a_server_bounds_every_body() {
    let tasks = Tasks::new();
    let settings = Settings { max_body_bytes: 4, ..Settings::default() };
    let mut client = connect(&tasks, settings, judge);
    client.write_all(&post("/", "Content-Length: 5\r\n\r\nabcde")).await.unwrap();
    assert_eq!(read_answer(&mut client).await.1, "at most 4");
}
