//! Everything that a client should not send: each is refused or cut, and the server serves on.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use crate::fixture::Fixture;
use crate::raw::{get, head, send, send_and_end};

/// Compresses a body.
pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

const FETCH: &str = "/alice/tools.git/git-upload-pack";
const PUSH: &str = "/alice/tools.git/git-receive-pack";
const UPLOAD: &str = "content-type: application/x-git-upload-pack-request\r\ngit-protocol: version=2\r\n";
const RECEIVE: &str = "authorization: Basic YWxpY2U6c2VjcmV0LXdvcmQ=\r\ncontent-type: application/x-git-receive-pack-request\r\n";

/// Sends one request, which is to be refused: by a 4xx, in band as git does it, or by a close.
async fn is_refused(fixture: &Fixture, request: &[u8]) -> Result<(), String> {
    let name = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    match send_and_end(fixture.address, request).await {
        None => Ok(()),
        Some(reply) if (400..500).contains(&reply.status) => Ok(()),
        Some(reply) if reply.status == 200 && reply.text().get(4..8) == Some("ERR ") => Ok(()),
        Some(reply) => Err(format!("{} for {name:?}: {}", reply.status, reply.text())),
    }
}

async fn all_refused(fixture: &Fixture, requests: Vec<Vec<u8>>) {
    let mut wrong = Vec::new();
    for request in &requests {
        if let Err(answer) = is_refused(fixture, request).await {
            wrong.push(answer);
        }
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
    let target = "/alice/tools.git/info/refs?service=git-upload-pack";
    assert_eq!(get(fixture.address, target, "").await.status, 200, "the server serves on");
}

/// Names that are no names.
const NAMES: [&str; 42] = [
    "..",
    "%2e%2e",
    ".",
    "%2e",
    "%00",
    "tools%00",
    "to%2Fols",
    "to%5Cols",
    "to%0aols",
    "to%0dols",
    "%2Fetc",
    "-c",
    "--upload-pack=id",
    "%2d%2dx",
    "tools.lock",
    ".git",
    "tools.git.git",
    "tools%2egit%2egit",
    "%ff",
    "%C3%A9",
    "%",
    "%4",
    "%zz",
    "a%",
    "to%20ols",
    "~root",
    "$(id)",
    "`id`",
    "tools;id",
    "tools|id",
    "tools%0a%0a",
    "%252e%252e",
    "tools.git%20",
    "tools.git.",
    "tools:",
    "CON:",
    "@",
    "tools@{0}",
    "HEAD^",
    "*",
    "%2a",
    "{tools}",
];

/// Paths and queries that are not git's, or almost.
const TARGETS: [&str; 22] = [
    "//alice/tools/info/refs?service=git-upload-pack",
    "/alice//tools/info/refs?service=git-upload-pack",
    "/alice/tools//info/refs?service=git-upload-pack",
    "/alice/tools/./info/refs?service=git-upload-pack",
    "/alice/tools/../tools/info/refs?service=git-upload-pack",
    "/alice/../alice/tools/info/refs?service=git-upload-pack",
    "/alice/tools/info%2Frefs?service=git-upload-pack",
    "/alice/tools/info/refs/?service=git-upload-pack",
    "/alice/tools/info/refs;x?service=git-upload-pack",
    "/alice/tools/info/refs",
    "/alice/tools/info/refs?",
    "/alice/tools/info/refs?service",
    "/alice/tools/info/refs?service=",
    "/alice/tools/info/refs?service=git-upload-pack%00",
    "/alice/tools/info/refs?service=git-upload-archive",
    "/alice/tools/info/refs?service=git-upload-pack&service=git-upload-pack",
    "/alice/tools.git/config",
    "/alice/tools.git/objects/info/alternates",
    "/alice/tools.git/objects/../config",
    "/alice/tools.git/HEAD",
    "alice/tools.git/HEAD",
    "*",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_lead_elsewhere() {
    let fixture = Fixture::start().await;
    let mut requests: Vec<Vec<u8>> = Vec::new();
    let long = "a".repeat(60_000);
    for name in NAMES.into_iter().chain([long.as_str()]) {
        requests.push(head("GET", &format!("/alice/{name}/info/refs?service=git-upload-pack"), ""));
        requests.push(head("GET", &format!("/{name}/tools/info/refs?service=git-upload-pack"), ""));
    }
    for target in TARGETS {
        requests.push(head("GET", target, ""));
    }
    assert!(requests.len() >= 100, "{}", requests.len());
    all_refused(&fixture, requests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_and_heads_that_make_no_sense() {
    let fixture = Fixture::start().await;
    let info = "/alice/tools.git/info/refs?service=git-upload-pack";
    let mut requests: Vec<Vec<u8>> = Vec::new();
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "G\u{7f}T"] {
        requests.push(head(method, info, ""));
        requests.push(head(method, FETCH, UPLOAD));
    }
    for fields in [
        "authorization: \r\n",
        "authorization: Basic\r\n",
        "authorization: Basic =\r\n",
        "authorization: Basic YWxpY2U=\r\n",
        "authorization: Basic AAAAAA==\r\n",
        "authorization: Basic YWxpY2U6c2VjcmV0LXdvcmQ=\r\nauthorization: Basic YWxpY2U6c2VjcmV0LXdvcmQ=\r\n",
        "authorization: Negotiate abc\r\n",
        "authorization: Bearer hkt_\r\n",
        "authorization: Bearer \u{80}\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: -1\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "host: other\r\n",
        "a b: c\r\n",
        "folded: a\r\n b\r\n",
        ": empty\r\n",
        "nul: \0\r\n",
    ] {
        requests.push(head("GET", info, fields));
    }
    requests.push(head("GET", info, &format!("authorization: Bearer {}\r\n", "a".repeat(5_000))));
    requests.push(head("GET", info, &format!("x: {}\r\n", "a".repeat(100_000))));
    requests.push(head("GET", info, &"x: y\r\n".repeat(2_000)));
    requests.push(b"GET / HTTP/9.9\r\n\r\n".to_vec());
    requests.push(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec());
    requests.push(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    requests.push(b"003egit-upload-pack /alice/tools.git\0host=hakata\0".to_vec());
    requests.push(vec![0; 1000]);
    all_refused(&fixture, requests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_not_what_they_should_be() {
    let fixture = Fixture::start().await;
    let mut requests: Vec<Vec<u8>> = Vec::new();
    let mut post = |target: &str, fields: &str, body: &[u8]| {
        let mut request = head("POST", target, &format!("{fields}content-length: {}\r\n", body.len()));
        request.extend_from_slice(body);
        requests.push(request);
    };
    let whole = gzip(b"0014command=ls-refs\n0016object-format=sha100010009peel\n0000");
    let bomb = gzip(&b"0004".repeat(16 << 20));
    let (zipped, pushed) =
        (format!("{UPLOAD}content-encoding: gzip\r\n"), format!("{RECEIVE}content-encoding: gzip\r\n"));
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x55;
    for body in [
        &b""[..],
        b"\x1f",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00",
        b"PK\x03\x04",
        b"0000",
        &whole[..20],
        &whole[..whole.len() - 1],
        &changed,
        &[&whole[..], b"x"].concat(),
        &[&whole[..], &whole].concat(),
        &gzip(&whole),
        &bomb,
    ] {
        post(FETCH, &zipped, body);
        post(PUSH, &pushed, body);
    }
    for body in [
        &b""[..],
        b"0",
        b"00",
        b"000",
        b"0003",
        b"0005",
        b"fff1",
        b"ffff",
        b"zzzz",
        b"-001",
        b"GET ",
        b"\0\0\0\0",
        b"0009wan",
        b"0032want 0000000000000000000000000000000000000000\n",
        b"{\"a\":1}",
        b"<?xml?>",
        b"\xff\xff\xff\xff",
        b" 0000",
    ] {
        post(FETCH, UPLOAD, body);
        post(PUSH, RECEIVE, body);
    }
    post(FETCH, UPLOAD, &b"0004".repeat(3 << 20));
    all_refused(&fixture, requests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_framed_as_they_should_not_be() {
    let fixture = Fixture::start().await;
    let whole = gzip(b"0000");
    let mut requests: Vec<Vec<u8>> = Vec::new();
    let mut post = |target: &str, fields: &str, body: &[u8]| {
        let mut request = head("POST", target, &format!("{fields}content-length: {}\r\n", body.len()));
        request.extend_from_slice(body);
        requests.push(request);
    };
    for encoding in [
        "deflate",
        "br",
        "zstd",
        "compress",
        "gzip, gzip",
        "gzip,identity",
        "",
        "\u{80}",
        "gzip\r\ncontent-encoding: gzip",
    ] {
        post(FETCH, &format!("{UPLOAD}content-encoding: {encoding}\r\n"), &whole);
    }
    for media_type in [
        "",
        "text/plain",
        "application/x-git-receive-pack-request",
        "application/x-git-upload-pack-request; a=b",
        "*/*",
    ] {
        post(FETCH, &format!("content-type: {media_type}\r\n"), b"0000");
    }
    for chunks in [
        "",
        "z\r\n",
        "5\r\n0000",
        "4\r\n0000\r\n",
        "4\r\n0000x\r\n0\r\n\r\n",
        "-4\r\n0000\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "4;",
        "4 4\r\n",
        "0\r\n\r\n",
        "3\r\n000\r\n0\r\n\r\n",
    ] {
        for (target, fields) in [(FETCH, UPLOAD), (PUSH, RECEIVE)] {
            let mut request = head("POST", target, &format!("{fields}transfer-encoding: chunked\r\n"));
            request.extend_from_slice(chunks.as_bytes());
            requests.push(request);
        }
    }
    for (target, fields) in [(FETCH, UPLOAD), (PUSH, RECEIVE)] {
        let mut short = head("POST", target, &format!("{fields}content-length: 100\r\n"));
        short.extend_from_slice(b"0014command=ls-refs\n");
        requests.push(short);
        requests.push(head("POST", target, fields));
    }
    all_refused(&fixture, requests).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_of_a_body_has_its_status() {
    let fixture = Fixture::start().await;
    let zipped = format!("{UPLOAD}content-encoding: gzip\r\n");
    let (large, bomb) = (listing(200), gzip(&listing(4_000)));
    for (fields, body) in [(UPLOAD, &large), (&zipped, &bomb)] {
        let mut request = head("POST", FETCH, &format!("{fields}content-length: {}\r\n", body.len()));
        request.extend_from_slice(body);
        let reply = send(fixture.address, &request).await.expect("an answer");
        assert_eq!(reply.status, 413, "{}", reply.text());
    }
}

/// A request for refs with many long prefixes: nothing is wrong with it but its size.
fn listing(n_prefixes: usize) -> Vec<u8> {
    let mut request = b"0014command=ls-refs\n0016object-format=sha10001".to_vec();
    let prefix = format!("ref-prefix refs/heads/{}\n", "a".repeat(60_000));
    for _ in 0..n_prefixes {
        hakata_pkt_line::encode(prefix.as_bytes(), &mut request);
    }
    request.extend_from_slice(b"0000");
    request
}
