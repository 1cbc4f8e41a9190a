//! Uploads over several requests, and URLs that write without us: what is particular to one engine.

use std::time::Duration;

use bytes::Bytes;
use hakata_blob::{BlobKey, MIN_PART, PackPart, Presign, UploadId};
use hakata_names::PackId;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::engine::{BUCKET, Engine, Fault, KEY, directory};

#[tokio::test]
async fn an_id_out_of_a_row_is_never_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = directory(dir.path()).await;
    blobs.put(KEY, &b"x"[..]).await.unwrap();
    for id in
        ["../packs", "", "..", "/etc", "0123456789abcdef0123456789abcde/", "0123456789abcdef0123456789abcdef"]
    {
        let id = UploadId::new(id);
        assert_eq!(blobs.list_parts(KEY, &id).await.unwrap(), None, "{id:?}");
        assert!(blobs.put_part(KEY, &id, 1, b"x"[..].into()).await.is_err(), "{id:?}");
        blobs.abort_upload(KEY, &id).await.unwrap();
    }
    assert!(blobs.stat(KEY).await.unwrap().is_some());
}

#[tokio::test]
async fn a_directory_keeps_an_upload_for_the_next_process_and_completes_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let (blobs, id) = {
        let blobs = directory(dir.path()).await;
        let id = blobs.begin_upload(KEY).await.unwrap();
        blobs.put_part(KEY, &id, 1, vec![1; 100].into()).await.unwrap();
        (directory(dir.path()).await, id)
    };
    // What a crash left of a part that was being marked.
    std::fs::write(dir.path().join("blobs/uploads").join(id.as_str()).join("2"), "").unwrap();
    let parts = blobs.list_parts(KEY, &id).await.unwrap().unwrap();
    assert_eq!(parts.len(), 1, "{parts:?}");
    for _ in 0..2 {
        assert_eq!(
            blobs.complete_upload(KEY, &id, &parts).await.unwrap().size_bytes,
            100,
            "also if it is asked twice"
        );
    }
    assert_eq!(blobs.list_parts(KEY, &id).await.unwrap(), None);
    let short = blobs.begin_upload(KEY).await.unwrap();
    let parts = [
        blobs.put_part(KEY, &short, 1, b"x"[..].into()).await.unwrap(),
        blobs.put_part(KEY, &short, 2, b"y"[..].into()).await.unwrap(),
    ];
    assert!(blobs.complete_upload(KEY, &short, &parts).await.is_err(), "a part before the last is short");
}

#[tokio::test]
async fn an_engine_that_cannot_list_uploads_is_asked_once() {
    let engine = Engine::start().await;
    let blobs = engine.open().await;
    for _ in 0..3 {
        assert_eq!(
            blobs.sweep_uploads(hakata_blob::Family::Packs, Duration::from_secs(3_600)).await.unwrap(),
            0
        );
    }
    assert_eq!(engine.n_asked(&format!("GET /{BUCKET}/?prefix=")), 1, "{:?}", engine.log());
}

/// Sends a request as a stranger would who was given a URL.
async fn send(
    method: Method,
    url: &str,
    headers: &[(String, String)],
    body: &'static [u8],
) -> (StatusCode, Bytes) {
    let url: http::Uri = url.parse().unwrap();
    let stream = TcpStream::connect(url.authority().unwrap().as_str()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(url.path_and_query().unwrap().as_str())
        .header("host", url.authority().unwrap().as_str());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from_static(body))).unwrap();
    let answering = async {
        let answer = sender.send_request(request).await.unwrap();
        (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
    };
    tokio::select! {
        answer = answering => answer,
        ended = connection => panic!("no answer: {ended:?}"),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

#[tokio::test]
async fn a_signed_url_reads_and_writes_one_blob_and_nothing_else() {
    let engine = Engine::start().await;
    let blobs = engine.open_with(|at| at.presign = Presign::GetAndPut).await.unwrap();
    let ttl = Duration::from_secs(60);
    let put = blobs.presign_put(KEY, 5, &sha256(b"right"), ttl).await.unwrap().unwrap();
    let (status, _) = send(Method::PUT, put.url.expose(), &put.headers, b"wrong").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "bytes of another checksum are refused");
    let sum_of_wrong = [("content-length".to_owned(), "5".to_owned()), put.headers[1].clone()];
    let mut forged = sum_of_wrong.clone();
    forged[1].1 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    let (status, _) = send(Method::PUT, put.url.expose(), &forged, b"wrong").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the checksum is signed");
    let (status, _) = send(Method::PUT, put.url.expose(), &put.headers, b"right").await;
    assert_eq!(status, StatusCode::OK);

    let get = blobs.presign_get(KEY, ttl).await.unwrap().unwrap();
    assert!(get.url.expose().starts_with(&engine.url()));
    let (status, body) = send(Method::GET, get.url.expose(), &[], b"").await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"right"[..]));
    let other = get.url.expose().replace("0000000000012c", "0000000000012d");
    assert_eq!(send(Method::GET, &other, &[], b"").await.0, StatusCode::FORBIDDEN);
    assert!(!format!("{get:?}").contains("Signature"), "a URL is not logged by accident");
}

#[tokio::test]
async fn no_url_is_handed_out_that_is_off_or_unsafe() {
    let engine = Engine::start().await;
    let (ttl, sum) = (Duration::from_secs(60), sha256(b"x"));
    let off = engine.open().await;
    assert_eq!(off.presign_get(KEY, ttl).await.unwrap(), None);
    assert_eq!(off.presign_put(KEY, 1, &sum, ttl).await.unwrap(), None);
    let get = engine.open_with(|at| at.presign = Presign::Get).await.unwrap();
    assert!(get.presign_get(KEY, ttl).await.unwrap().is_some());
    assert_eq!(get.presign_put(KEY, 1, &sum, ttl).await.unwrap(), None);
    let all = engine.open_with(|at| at.presign = Presign::GetAndPut).await.unwrap();
    assert!(all.presign_put(KEY, 5 << 30, &sum, ttl).await.unwrap().is_some());
    assert_eq!(
        all.presign_put(KEY, (5 << 30) + 1, &sum, ttl).await.unwrap(),
        None,
        "too much for one request"
    );
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(directory(dir.path()).await.presign_get(KEY, ttl).await.unwrap(), None);
}

#[tokio::test]
async fn an_engine_that_takes_wrong_checksums_gets_nothing_from_clients() {
    let engine = Engine::start().await;
    // The second of the start's requests is the one with a wrong checksum.
    engine.fault(Method::PUT, "", 2, Fault::Answer(200, ""));
    let blobs = engine.open_with(|at| at.presign = Presign::GetAndPut).await.unwrap();
    let ttl = Duration::from_secs(60);
    assert_eq!(blobs.presign_put(KEY, 1, &sha256(b"x"), ttl).await.unwrap(), None);
    assert!(blobs.presign_get(KEY, ttl).await.unwrap().is_some());
}

#[tokio::test]
async fn urls_name_the_engine_as_clients_know_it() {
    let engine = Engine::start().await;
    let change = |at: &mut hakata_blob::S3Settings| {
        at.presign = Presign::Get;
        at.public_endpoint = "https://files.example.org".to_owned();
    };
    let blobs = engine.open_with(change).await.unwrap();
    let key = BlobKey::pack(PackId::new(1), PackPart::Idx);
    let url = blobs.presign_get(key, Duration::from_secs(60)).await.unwrap().unwrap().url;
    let wanted = "https://files.example.org/packs/a/b/packs/01/00000000000001.idx?X-Amz-Algorithm=";
    assert!(url.expose().starts_with(wanted), "{}", url.expose());
    assert_eq!(blobs.part_bytes(), MIN_PART.bytes());
}
