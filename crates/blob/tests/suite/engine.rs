//! An engine of buckets in this process, which can be told to misbehave.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use hakata_blob::{BlobKey, Blobs, CredentialSource, OpenBlobsError, PackPart, S3Settings};
use hakata_names::PackId;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::tasks::Tasks;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The key that most tests write.
pub(crate) const KEY: BlobKey = BlobKey::pack(PackId::new(300), PackPart::Pack);

/// The bucket.
pub(crate) const BUCKET: &str = "packs";

/// The least part, so that little makes an upload of many.
pub(crate) const PART: usize = 5 << 20;

/// What the engine does instead of what it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers so with such a word.
    Answer(u16, &'static str),
    /// Does it, and then closes the connection without an answer.
    LoseAnswer,
    /// Begins the answer and closes the connection after so many bytes of its body.
    Cut(usize),
    /// Answers when it is told to.
    Hold,
    /// Answers yes, with an error in the body.
    ErrorInside(&'static str),
    /// Takes another byte than was sent.
    Damage,
    /// Does it, and answers with so many blanks in front, each after such a pause.
    Blanks(usize, Duration),
}

/// A rule: which requests, how many of them, what becomes of them.
#[derive(Clone, Debug)]
struct Rule {
    method: Method,
    query: &'static str,
    n: usize,
    fault: Fault,
}

/// The engine; it ends with the test.
pub(crate) struct Engine {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) tasks: Tasks,
    state: Arc<State>,
    port: u16,
    served: Tasks,
}

struct State {
    service: S3Service,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<String>>,
    n_held: watch::Sender<usize>,
    released: watch::Sender<bool>,
    n_connections: AtomicUsize,
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("test", "testsecret"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            service: builder.build(),
            rules: Mutex::default(),
            log: Mutex::default(),
            n_held: watch::Sender::new(0),
            released: watch::Sender::new(false),
            n_connections: AtomicUsize::new(0),
        });
        let served = Tasks::new();
        let (tasks, at) = (served.clone(), state.clone());
        drop(served.spawn("engine", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                at.n_connections.fetch_add(1, Ordering::Relaxed);
                let at = at.clone();
                drop(tasks.spawn("connection", async move {
                    let serve = hyper::service::service_fn(move |request| serve(at.clone(), request));
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), serve).await;
                }));
            }
        }));
        Self { dir, tasks: Tasks::new(), state, port, served }
    }

    pub(crate) fn settings(&self) -> S3Settings {
        S3Settings {
            bucket: BUCKET.to_owned(),
            prefix: "a/b".to_owned(),
            endpoint: format!("http://127.0.0.1:{}", self.port),
            credentials: CredentialSource::Keys {
                access_key: "test".to_owned(),
                secret_key: "testsecret".to_owned().into(),
                session_token: None,
            },
            part: hakata_blob::MIN_PART,
            parts: 3,
            ..S3Settings::default()
        }
    }

    pub(crate) async fn open(&self) -> Blobs {
        self.open_with(|_| {}).await.unwrap()
    }

    pub(crate) async fn open_with(
        &self,
        change: impl FnOnce(&mut S3Settings),
    ) -> Result<Blobs, OpenBlobsError> {
        let mut settings = self.settings();
        change(&mut settings);
        Blobs::open_s3(settings, self.tasks.child()).await
    }

    /// Meets the next `n` requests of that method with that in their query with a fault.
    pub(crate) fn fault(&self, method: Method, query: &'static str, n: usize, fault: Fault) {
        self.state.rules.lock().unwrap().push(Rule { method, query, n, fault });
    }

    /// Lists requests as `PUT a/b?partNumber=1`, without what signs them.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.log.lock().unwrap().clone()
    }

    pub(crate) fn n_asked(&self, beginning: &str) -> usize {
        self.log().iter().filter(|line| line.starts_with(beginning)).count()
    }

    pub(crate) fn n_connections(&self) -> usize {
        self.state.n_connections.load(Ordering::Relaxed)
    }

    /// Waits until so many requests are held.
    pub(crate) async fn held(&self, n: usize) {
        let mut held = self.state.n_held.subscribe();
        let waiting = held.wait_for(|held| *held >= n);
        tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    }

    /// Lets held requests go on.
    pub(crate) fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// Lists the names of files in the bucket.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.dir.path().join(BUCKET), &mut found);
        found.sort();
        found
    }

    /// Counts what uploads have left.
    pub(crate) fn n_upload_files(&self) -> usize {
        let names = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with(".upload")).count()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.served.cancel();
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Why a connection ends.
type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn serve(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let plain: Vec<&str> = query.split('&').filter(|part| !part.starts_with("X-Amz-")).collect();
    let line = format!("{} {}?{}", request.method(), request.uri().path(), plain.join("&"));
    state.log.lock().unwrap().push(line.clone());
    let fault = {
        let mut rules = state.rules.lock().unwrap();
        let is_meant = |rule: &Rule| {
            rule.n > 0 && rule.method == *request.method() && plain.join("&").contains(rule.query)
        };
        rules.iter_mut().find(|rule| is_meant(rule)).map(|rule| {
            rule.n -= 1;
            rule.fault.clone()
        })
    };
    let cut = || -> Broken { "the connection is cut".into() };
    match fault {
        None => Ok(call(&state.service, request.map(Body::from)).await),
        Some(Fault::Answer(status, code)) => {
            // Whoever sends is heard to the end, so that the answer is seen.
            let _ = http_body_util::BodyExt::collect(request.into_body()).await?;
            Ok(answer(status, code))
        }
        Some(Fault::LoseAnswer) => {
            call(&state.service, request.map(Body::from)).await;
            Err(cut())
        }
        Some(Fault::ErrorInside(code)) => {
            let _ = http_body_util::BodyExt::collect(request.into_body()).await?;
            Ok(answer(200, code))
        }
        Some(Fault::Hold) => {
            let (parts, body) = request.into_parts();
            let body = http_body_util::BodyExt::collect(body).await?.to_bytes();
            state.n_held.send_modify(|held| *held += 1);
            state.released.subscribe().wait_for(|released| *released).await?;
            Ok(call(&state.service, Request::from_parts(parts, Body::from(body))).await)
        }
        Some(Fault::Damage) => {
            let (parts, body) = request.into_parts();
            let mut body = http_body_util::BodyExt::collect(body).await?.to_bytes().to_vec();
            body[0] ^= 1;
            Ok(call(&state.service, Request::from_parts(parts, Body::from(body))).await)
        }
        Some(Fault::Blanks(n, pause)) => {
            behind_blanks(call(&state.service, request.map(Body::from)).await, n, pause).await
        }
        Some(Fault::Cut(n_bytes)) => {
            let response = call(&state.service, request.map(Body::from)).await;
            if !response.status().is_success() {
                return Ok(response);
            }
            cut_off(response, n_bytes).await
        }
    }
}

/// Answers with so many blanks in front, one after another.
async fn behind_blanks(
    response: Response<Body>,
    n: usize,
    pause: Duration,
) -> Result<Response<Body>, Broken> {
    let (parts, body) = response.into_parts();
    let body = http_body_util::BodyExt::collect(body).await?.to_bytes();
    let blanks = futures_util::stream::unfold(n, move |left| async move {
        tokio::time::sleep(pause).await;
        (left > 0).then(|| (bytes::Bytes::from_static(b" "), left - 1))
    });
    let all = blanks.chain(futures_util::stream::iter([body]));
    let frames = all.map(|bytes| Ok::<_, std::io::Error>(hyper::body::Frame::data(bytes)));
    let mut response = Response::new(Body::http_body_unsync(http_body_util::StreamBody::new(frames)));
    *response.status_mut() = parts.status;
    Ok(response)
}

/// Answers with the beginning of what it would have been.
async fn cut_off(response: Response<Body>, n_bytes: usize) -> Result<Response<Body>, Broken> {
    let (parts, body) = response.into_parts();
    let body = http_body_util::BodyExt::collect(body).await?.to_bytes();
    let given = body.slice(..n_bytes.min(body.len()));
    let stream = futures_util::stream::iter([
        Ok(hyper::body::Frame::data(given)),
        Err(std::io::Error::other("the connection is cut")),
    ]);
    let body = Body::http_body_unsync(http_body_util::StreamBody::new(stream));
    Ok(Response::from_parts(parts, body))
}

async fn call(service: &S3Service, request: Request<Body>) -> Response<Body> {
    match service.call(request).await {
        Ok(response) => response,
        Err(_) => answer(500, "InternalError"),
    }
}

fn answer(status: u16, code: &str) -> Response<Body> {
    let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told to</Message></Error>");
    let body = if code.is_empty() { Body::empty() } else { Body::from(xml) };
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body).unwrap()
}

/// A directory of blobs.
pub(crate) async fn directory(dir: &Path) -> Blobs {
    Blobs::open_fs(dir.join("blobs"), Blocking::new(2)).await.unwrap()
}
