//! Clients that leave: what was done for them ends.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::Fixture;
use crate::raw::{get, head};

const UPLOAD: &str = "content-type: application/x-git-upload-pack-request\r\ngit-protocol: version=2\r\n";

/// Waits until no git runs for the fixture.
async fn no_children(fixture: &Fixture) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while fixture.n_children() > 0 {
        assert!(Instant::now() < deadline, "{} children outlive their clients", fixture.n_children());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn fetch_request(tip: &str) -> Vec<u8> {
    let mut body = Vec::new();
    hakata_pkt_line::encode(b"command=fetch", &mut body);
    hakata_pkt_line::encode(b"object-format=sha1", &mut body);
    body.extend_from_slice(hakata_pkt_line::DELIM);
    hakata_pkt_line::encode(format!("want {tip}\n").as_bytes(), &mut body);
    hakata_pkt_line::encode(b"done\n", &mut body);
    body.extend_from_slice(hakata_pkt_line::FLUSH);
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_ends_its_git() {
    let fixture = Fixture::start().await;
    let tip = crate::clients::fill_large(&fixture, "alice/tools");
    let body = fetch_request(&tip);
    let target = "/alice/tools.git/git-upload-pack";
    for framing in ["length", "chunks"] {
        let mut request = match framing {
            "length" => head("POST", target, &format!("{UPLOAD}content-length: {}\r\n", body.len())),
            _ => head("POST", target, &format!("{UPLOAD}transfer-encoding: chunked\r\n")),
        };
        if framing == "chunks" {
            request.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        }
        request.extend_from_slice(&body);
        if framing == "chunks" {
            request.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let mut begun = vec![0; 100_000];
        stream.read_exact(&mut begun).await.unwrap();
        assert!(begun.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&begun[..200]));
        assert!(fixture.n_children() > 0, "a client that does not read keeps its git waiting");
        drop(stream);
        no_children(&fixture).await;
    }
    let info = get(fixture.address, "/alice/tools.git/info/refs?service=git-upload-pack", "").await;
    assert_eq!(info.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_breaks_off_leaves_nothing() {
    let fixture = Fixture::start().await;
    let target = "/alice/tools.git/git-receive-pack";
    let fields = "authorization: Basic YWxpY2U6c2VjcmV0LXdvcmQ=\r\ncontent-type: application/x-git-receive-pack-request\r\n";
    let mut request = head("POST", target, &format!("{fields}content-length: 1000000\r\n"));
    let update =
        format!("{} {} refs/heads/new\0 report-status side-band-64k\n", "0".repeat(40), "1".repeat(40));
    hakata_pkt_line::encode(update.as_bytes(), &mut request);
    request.extend_from_slice(b"0000PACK\0\0\0\x02\0\0\0\x01");
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(&request).await.unwrap();
    drop(stream);
    no_children(&fixture).await;
    let info = get(fixture.address, "/alice/tools.git/info/refs?service=git-upload-pack", "").await;
    assert!(!info.text().contains("refs/heads/new"));
}
