//! A client that says exactly what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest that any answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The head's lines behind the first, names in lower case, without those that differ from run to run.
    pub(crate) fields: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends a request and reads to the end of the connection; `None` if it was closed without an
/// answer, or in the middle of one.
pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Option<Reply> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        // A server that refuses early closes early: what it said still counts.
        let _ = stream.write_all(request).await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        reply
    };
    let reply = tokio::time::timeout(PATIENCE, exchange).await.expect("an answer or a close in time");
    parse(&reply)
}

/// As [`send`], but ends its sending side behind the request.
pub(crate) async fn send_and_end(address: SocketAddr, request: &[u8]) -> Option<Reply> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        reply
    };
    let reply = tokio::time::timeout(PATIENCE, exchange).await.expect("an answer or a close in time");
    parse(&reply)
}

/// Sends `GET` with fields, one a line.
pub(crate) async fn get(address: SocketAddr, target: &str, fields: &str) -> Reply {
    send(address, &head("GET", target, fields)).await.expect("an answer")
}

/// Sends `POST` with a body of known length.
pub(crate) async fn post(address: SocketAddr, target: &str, fields: &str, body: &[u8]) -> Reply {
    let mut request = head("POST", target, &format!("{fields}content-length: {}\r\n", body.len()));
    request.extend_from_slice(body);
    send(address, &request).await.expect("an answer")
}

/// Writes the head of a request that ends its connection.
pub(crate) fn head(method: &str, target: &str, fields: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nhost: hakata\r\nconnection: close\r\n{fields}\r\n").into_bytes()
}

fn parse(reply: &[u8]) -> Option<Reply> {
    if reply.is_empty() {
        return None;
    }
    // Past any `100 Continue`.
    let mut rest = reply;
    let (head, body) = loop {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let (head, tail) = (String::from_utf8_lossy(&rest[..end]).into_owned(), &rest[end + 4..]);
        if !head.starts_with("HTTP/1.1 100 ") {
            break (head, tail);
        }
        rest = tail;
    };
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let changing = ["date:", "x-request-id:", "connection:"];
    let fields: Vec<String> =
        lines.filter(|line| !changing.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect();
    let is_chunked = fields.iter().any(|field| field == "transfer-encoding: chunked");
    let body = if is_chunked { dechunk(body)? } else { body.to_vec() };
    Some(Reply { status, fields, body })
}

/// Takes chunks apart; `None` if they were cut.
fn dechunk(mut wire: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = wire.windows(2).position(|window| window == b"\r\n")?;
        let n = usize::from_str_radix(str::from_utf8(&wire[..end]).unwrap(), 16).unwrap();
        if n == 0 {
            return Some(body);
        }
        body.extend_from_slice(wire.get(end + 2..end + 2 + n)?);
        wire = wire.get(end + 2 + n + 2..)?;
    }
}
