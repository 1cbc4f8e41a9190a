//! A whole forge behind the face: a database, a directory and a port of its own, and the real git.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hakata_blob::Blobs;
use hakata_forge::admin::{self, Command, RepoCommand, UserCommand};
use hakata_forge::{Forge, Parts, Visibility};
use hakata_git::Git;
use hakata_names::{OwnerName, RepositoryPath};
use hakata_repository::Repositories;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_service::http::{Body, Server};
use hakata_service::listener::{self, Address, Connections, Listener};
use hakata_smart_http::{Settings, SmartHttp};
use hakata_store::Db;
use http::{Response, StatusCode};
use tempfile::TempDir;

/// A server for one test. `alice`, whose password is `secret-word`, owns the public `alice/tools` and the
/// private `alice/private`, with a commit in each.
pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    forge: Forge,
    git: Git,
    directory: TempDir,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("hakata_test_").tempdir().unwrap();
        let tasks = Tasks::new();
        let (forge, git) = forge(&directory, &tasks).await;
        let address = serve(forge.clone(), &tasks);
        let fixture = Self { address, forge, git, directory };
        let alice = OwnerName::parse("alice").unwrap();
        let password = Some("secret-word".to_owned());
        let add = UserCommand::Add { name: alice, admin: false, email: None, password, keys: Vec::new() };
        fixture.run(Command::User(add)).await;
        fixture.create("alice/tools", Visibility::Public, "sha1").await;
        fixture.create("alice/private", Visibility::Private, "sha1").await;
        crate::clients::fill(&fixture, "alice/tools");
        crate::clients::fill(&fixture, "alice/private");
        fixture
    }

    /// A path below the fixture's own directory.
    pub(crate) fn path(&self, tail: &str) -> PathBuf {
        self.directory.path().join("clients").join(tail)
    }

    /// The URL of a repository, with alice's password in it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://alice:secret-word@{}/{path}.git", self.address)
    }

    pub(crate) async fn create(&self, path: &str, visibility: Visibility, format: &str) {
        let path = RepositoryPath::parse(path).unwrap();
        let object_format = Some(format.to_owned());
        self.run(Command::Repo(RepoCommand::Create { path, visibility, object_format, description: None }))
            .await;
    }

    async fn run(&self, command: Command) {
        admin::run(&self.forge, command, &mut |_| {}).await.unwrap();
    }

    /// Counts the git processes that run for this server.
    pub(crate) fn n_children(&self) -> usize {
        self.git.children()
    }
}

async fn forge(directory: &TempDir, tasks: &Tasks) -> (Forge, Git) {
    let data = directory.path().join("data");
    std::fs::create_dir_all(directory.path().join("clients")).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    let (clock, blocking) = (Clock::System, Blocking::new(4));
    let url = format!("sqlite://{}", data.join("hakata.db").display());
    let db = Db::open(&hakata_store::Settings::new(url)).await.unwrap();
    db.migrate().await.unwrap();
    let git =
        Git::find(hakata_git::Settings::new(data.join("scratch")), tasks, blocking.clone()).await.unwrap();
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
    let parts = Parts { db, repositories, git: git.clone(), blocking, clock, tasks: tasks.clone() };
    (Forge::new(parts, hakata_forge::Settings::default()), git)
}

fn serve(forge: Forge, tasks: &Tasks) -> SocketAddr {
    let face = Arc::new(SmartHttp::new(forge, Settings::default()));
    let answer = move |request, facts| {
        let face = Arc::clone(&face);
        async move { face.respond(request, &facts).await.unwrap_or_else(not_found) }
    };
    let server = Arc::new(Server::new("http", hakata_service::http::Settings::default(), answer));
    let address: Address = "127.0.0.1:0".parse().unwrap();
    let (settings, connections) = (listener::Settings::default(), Connections::default());
    let listener = Listener::bind("http", &address, &settings, connections).unwrap();
    let address = listener.local_address().to_string().parse().unwrap();
    let (group, streams) = (tasks.clone(), tasks.clone());
    let accepting = async move {
        listener.serve(&group, move |connection| server.clone().serve(connection, streams.clone())).await;
    };
    tasks.spawn("accept", accepting);
    address
}

fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::full("not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
