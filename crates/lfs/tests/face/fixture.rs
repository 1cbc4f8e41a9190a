//! A forge of its own behind the face; requests are handed to it as the server would.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hakata_blob::Blobs;
use hakata_forge::admin::{self, Command};
use hakata_forge::{Forge, Parts};
use hakata_git::Git;
use hakata_lfs::{LfsHttp, Settings};
use hakata_repository::Repositories;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_service::http::{Body, RequestFacts, RequestId, Transport};
use hakata_service::stream::Peer;
use hakata_store::Db;
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// A face for one test. `alice`, whose password is `secret-word`, owns the private `alice/tools` and the public
/// `alice/open`; `bob`, with the same password, owns `bob/own`.
pub(crate) struct Fixture {
    face: LfsHttp,
    forge: Forge,
    directory: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], MEDIA_TYPE, "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One request to be made.
pub(crate) struct Ask<'a> {
    fixture: &'a Fixture,
    request: http::request::Builder,
    body: Body,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(hakata_forge::Settings::default(), Settings::default()).await
    }

    pub(crate) async fn with(policy: hakata_forge::Settings, settings: Settings) -> Self {
        let directory = tempfile::Builder::new().prefix("hakata_test_").tempdir().unwrap();
        let forge = forge(&directory, policy).await;
        let face = LfsHttp::new(forge.clone(), settings);
        let fixture = Self { face, forge, directory };
        for name in ["alice", "bob"] {
            fixture
                .run(json!({ "command": "user", "action": "add", "name": name, "password": "secret-word" }))
                .await;
        }
        for (path, visibility) in
            [("alice/tools", "private"), ("alice/open", "public"), ("bob/own", "private")]
        {
            let create =
                json!({ "command": "repo", "action": "create", "path": path, "visibility": visibility });
            fixture.run(create).await;
        }
        fixture
    }

    pub(crate) fn forge(&self) -> &Forge {
        &self.forge
    }

    /// Counts the files of LFS objects, finished or not.
    pub(crate) fn n_files(&self) -> usize {
        count(&self.directory.path().join("data/blobs/lfs"))
    }

    /// Counts the files of uploads that go on.
    pub(crate) fn n_uploads(&self) -> usize {
        count(&self.directory.path().join("data/blobs/uploads"))
    }

    pub(crate) async fn run(&self, command: Value) {
        let command: Command = serde_json::from_value(command).unwrap();
        admin::run(&self.forge, command, &mut |_| {}).await.unwrap();
    }

    /// Begins a request about the LFS of a repository.
    pub(crate) fn ask(&self, method: &str, path: &str, tail: &str) -> Ask<'_> {
        let uri = format!("/{path}.git/info/lfs/{tail}");
        let request = Request::builder().method(method).uri(uri).header("host", "git.example.org");
        Ask { fixture: self, request, body: Body::empty() }
    }

    /// Asks a batch as somebody.
    pub(crate) async fn batch(&self, who: &str, path: &str, request: &Value) -> Reply {
        self.ask("POST", path, "objects/batch").by(who).json(request).send().await
    }

    /// Follows an action that a batch answered.
    pub(crate) fn follow(&self, method: &str, action: &Value) -> Ask<'_> {
        let href = action["href"].as_str().unwrap();
        let uri = href.strip_prefix("http://git.example.org").unwrap_or(href);
        let mut request = Request::builder().method(method).uri(uri).header("host", "git.example.org");
        for (name, value) in action["header"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap());
        }
        Ask { fixture: self, request, body: Body::empty() }
    }

    /// Sends an object as a client does, and gives what the batch answered.
    pub(crate) async fn upload(&self, who: &str, path: &str, bytes: &[u8]) -> Value {
        let answer = self.batch(who, path, &upload(&[bytes])).await.json();
        let actions = answer["objects"][0]["actions"].clone();
        if !actions.is_null() {
            let put = self.follow("PUT", &actions["upload"]).body(bytes).send().await;
            assert_eq!(put.status, 200, "{put:?}");
            let size = bytes.len();
            let asked = json!({ "oid": oid(bytes), "size": size });
            let verified = self.follow("POST", &actions["verify"]).json(&asked).send().await;
            assert_eq!(verified.status, 200, "{verified:?}");
        }
        answer
    }
}

impl Ask<'_> {
    /// Signs in with the password; `-` does not.
    pub(crate) fn by(self, who: &str) -> Self {
        let basic = format!("Basic {}", STANDARD.encode(format!("{who}:secret-word")));
        if who == "-" { self } else { self.header("authorization", &basic) }
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value), ..self }
    }

    pub(crate) fn json(self, value: &Value) -> Self {
        self.header("content-type", MEDIA_TYPE)
            .header("accept", MEDIA_TYPE)
            .body(value.to_string().as_bytes())
    }

    pub(crate) fn body(self, bytes: &[u8]) -> Self {
        Self { body: Body::full(bytes.to_vec()), ..self }
    }

    pub(crate) fn with(self, body: Body) -> Self {
        Self { body, ..self }
    }

    pub(crate) fn replace_host(mut self, host: &str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        headers.insert("host", host.parse().unwrap());
        self
    }

    pub(crate) async fn send(self) -> Reply {
        let request = self.request.body(self.body).unwrap();
        let facts = RequestFacts {
            id: RequestId::parse(b"request-1").unwrap(),
            peer: Peer::Tcp("127.0.0.1:9".parse().unwrap()),
            client: Some("127.0.0.1".parse().unwrap()),
            transport: Transport::Plain,
            received: Instant::now(),
        };
        let response = self.fixture.face.respond(request, &facts).await;
        read(response.unwrap_or_else(|request| panic!("{} is of LFS", request.uri()))).await
    }
}

/// Counts the files below a directory; one that does not exist has none.
fn count(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

async fn read(response: Response<Body>) -> Reply {
    let (parts, body) = response.into_parts();
    let body = body.collect(u64::MAX).await.unwrap().to_vec();
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

pub(crate) fn oid(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

pub(crate) fn objects(contents: &[&[u8]]) -> Value {
    contents.iter().map(|bytes| json!({ "oid": oid(bytes), "size": bytes.len() })).collect()
}

pub(crate) fn upload(contents: &[&[u8]]) -> Value {
    json!({ "operation": "upload", "transfers": ["basic"], "objects": objects(contents) })
}

pub(crate) fn download(contents: &[&[u8]]) -> Value {
    json!({ "operation": "download", "transfers": ["lfs-standalone-file", "basic", "ssh"], "objects": objects(contents) })
}

async fn forge(directory: &TempDir, policy: hakata_forge::Settings) -> Forge {
    let data = directory.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let (clock, blocking, tasks) = (Clock::System, Blocking::new(4), Tasks::new());
    let url = format!("sqlite://{}", data.join("hakata.db").display());
    let db = Db::open(&hakata_store::Settings::new(url)).await.unwrap();
    db.migrate().await.unwrap();
    let git = hakata_git::Settings::new(data.join("scratch"));
    let git = Git::find(git, &tasks, blocking.clone()).await.unwrap();
    let blobs = Blobs::open_fs(data.join("blobs"), blocking.clone()).await.unwrap();
    let parts = hakata_repository::Parts {
        db: db.clone(),
        blobs,
        git: git.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        blocking: blocking.clone(),
        settings: hakata_repository::Settings::new(&data),
    };
    let repositories = Repositories::open_engine(parts).await.unwrap();
    Forge::new(Parts { db, repositories, git, blocking, clock, tasks }, policy)
}
