//! A node with one repository, served in all three ways.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use hakata_blob::Blobs;
use hakata_git::Git;
use hakata_git::quarantine::Fsck;
use hakata_names::{ObjectFormat, Oid, OwnerName, RefName, RefUpdate, RepositoryId, RepositoryName, UserId};
use hakata_repository::{
    Atomicity, Import, Intent, Parts, Push, Reason, ReceiveLimits, Repositories, no_rows,
};
use hakata_rpc::{Endpoint, Operations, grpc, msgpack};
use hakata_rpc_server::{Local, Settings, Spool, Tokens};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::secret::Secret;
use hakata_runtime::tasks::Tasks;
use hakata_service::http::{self, Server};
use hakata_service::listener::{self, Address, ConnectionLimits, Connections, Listener};
use hakata_service::tls::Tls;
use hakata_store::repositories::{self, NewRepository};
use hakata_store::testing::TestDatabase;
use hakata_store::users::{self, NewUser};
use hakata_store::{Db, Engine, RepositoryState, Visibility};

pub(crate) const TOKEN: &str = "a token of the service";

/// Everything a test needs.
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) repositories: Repositories,
    pub(crate) local: Arc<dyn Operations>,
    pub(crate) grpc_at: SocketAddr,
    pub(crate) msgpack_at: SocketAddr,
    pub(crate) tasks: Tasks,
    pub(crate) alice: UserId,
    /// A client's repository.
    pub(crate) client: tempfile::TempDir,
    data: tempfile::TempDir,
    _database: TestDatabase,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(mut settings: Settings) -> Self {
        let database = TestDatabase::create(Engine::Sqlite).await;
        let db = database.migrated().await;
        let data = tempfile::tempdir().unwrap();
        settings.spool.dir = data.path().join("spool");
        let (tasks, blocking) = (Tasks::new(), Blocking::new(8));
        // One thread, so that the same question gets the same pack.
        let settings_of_git = hakata_git::Settings {
            pack_threads: 1,
            ..hakata_git::Settings::new(data.path().join("scratch"))
        };
        let git = Git::find(settings_of_git, &tasks, blocking.clone()).await.unwrap();
        let version = git.version().to_string();
        let parts = Parts {
            db: db.clone(),
            blobs: Blobs::open_fs(data.path().join("blobs"), blocking.clone()).await.unwrap(),
            git,
            clock: Clock::System,
            tasks: tasks.clone(),
            blocking,
            settings: hakata_repository::Settings::new(data.path()),
        };
        let repositories = Repositories::open_engine(parts).await.unwrap();
        let local: Arc<dyn Operations> =
            Arc::new(Local::new(repositories.clone(), version, settings.clone()));
        let tokens =
            Tokens::new(vec![Secret::new("another token".to_owned()), Secret::new(TOKEN.to_owned())]);
        let (grpc_at, msgpack_at) = serve(local.clone(), tokens, settings, None, &tasks);
        let alice = user(&db, &repositories).await;
        let client = tempfile::tempdir().unwrap();
        Self { db, repositories, local, grpc_at, msgpack_at, tasks, alice, client, data, _database: database }
    }

    pub(crate) fn grpc(&self) -> grpc::Grpc {
        grpc::Grpc::lazy(&endpoint(self.grpc_at)).unwrap()
    }

    pub(crate) fn msgpack(&self) -> msgpack::Msgpack {
        msgpack::Msgpack::lazy(endpoint(self.msgpack_at), self.tasks.clone())
    }

    /// Checks that nothing is left of objects on their way.
    pub(crate) fn has_no_quarantine(&self) {
        assert_eq!(std::fs::read_dir(self.data.path().join("quarantine")).unwrap().count(), 0);
    }

    /// Makes a repository with what the client's refs point to.
    pub(crate) async fn create(&self, name: &str, format: ObjectFormat) -> RepositoryId {
        let id = self.insert(name, format).await;
        self.push(id).await;
        id
    }

    /// Makes a repository without refs.
    async fn insert(&self, name: &str, format: ObjectFormat) -> RepositoryId {
        let id: RepositoryId = self.repositories.ids().next().await.unwrap();
        let name = RepositoryName::parse(name).unwrap();
        let main = RefName::parse(b"refs/heads/main").unwrap();
        let new = NewRepository {
            id,
            owner_id: self.alice.owner(),
            name: &name,
            object_format: format,
            default_ref: &main,
            state: RepositoryState::Active,
            visibility: Visibility::Private,
            description: "",
            created_at: 1,
        };
        repositories::insert(&mut self.db.write().await.unwrap(), &new).await.unwrap().unwrap();
        id
    }

    /// Makes a repository of everything that a bare one holds, even where it breaks git's rules.
    pub(crate) async fn import_whole(&self, name: &str, source: &Path) {
        let format = run(source, &["-c", "safe.directory=*", "rev-parse", "--show-object-format"], b"");
        let format = ObjectFormat::from_name(String::from_utf8(format).unwrap().trim()).unwrap();
        let id = self.insert(name, format).await;
        let repository = self.repositories.open(id).await.unwrap();
        let import = Import { fsck: Fsck::Hashes, ..Import::new(source) };
        let imported = repository.import(&import, no_rows, |_| ()).await.unwrap();
        assert!(imported.committed.is_complete(), "{:?}", imported.committed);
    }

    /// Pushes all refs of the client.
    async fn push(&self, id: RepositoryId) {
        let listed = self.git(&["for-each-ref", "--format=%(objectname) %(refname)"]);
        let updates: Vec<RefUpdate> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(oid, name)| RefUpdate {
                name: RefName::parse(name.as_bytes()).unwrap(),
                old: None,
                new: Some(Oid::parse_hex(oid.as_bytes()).unwrap()),
            })
            .collect();
        if updates.is_empty() {
            return;
        }
        let pack = run(self.client.path(), &["pack-objects", "--all", "--stdout", "-q"], b"");
        let repository = self.repositories.open(id).await.unwrap();
        let push = Push { updates, shallow: Vec::new() };
        let received =
            repository.receive(push, Some(&mut &pack[..]), &ReceiveLimits::default()).await.unwrap();
        let intent = Intent {
            actor: Some(self.alice),
            reason: Reason::Push,
            atomicity: Atomicity::Whole,
            policy_version: 0,
            default_ref: None,
            idempotency_key: None,
        };
        assert!(repository.commit(received.prepare(intent), no_rows).await.unwrap().is_complete());
    }

    /// Runs git in the client's repository.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        String::from_utf8(run(self.client.path(), args, b"")).unwrap()
    }

    /// Makes the client's repository of a script for git-fast-import(1).
    pub(crate) fn import(&self, format: ObjectFormat, script: &[u8]) {
        let format = format!("--object-format={format}");
        run(self.client.path(), &["init", "-q", "--bare", &format, "-b", "main", "."], b"");
        run(self.client.path(), &["fast-import", "--quiet", "--force"], script);
    }
}

/// Names a server that is served here.
pub(crate) fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint::new(at.to_string()).with_token(TOKEN)
}

/// Runs git with fixed people and dates.
pub(crate) fn run(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .current_dir(dir)
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    assert!(output.status.success(), "git {args:?}");
    output.stdout
}

fn listen(name: &'static str) -> (Listener, SocketAddr) {
    let limits =
        ConnectionLimits { all: 100, strangers_per_address: 100, per_address: 100, exempt: Vec::new() };
    let address = Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener =
        Listener::bind(name, &address, &listener::Settings::default(), Connections::new(limits)).unwrap();
    let Address::Tcp(at) = listener.local_address().clone() else { unreachable!("it was bound to TCP") };
    (listener, at)
}

/// Serves operations over gRPC and over MessagePack-RPC.
pub(crate) fn serve(
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    settings: Settings,
    tls: Option<Tls>,
    tasks: &Tasks,
) -> (SocketAddr, SocketAddr) {
    let grpc = serve_grpc(operations.clone(), tokens.clone(), settings.clone(), tls.clone(), tasks);
    (grpc, serve_msgpack(operations, tokens, settings, tls, tasks))
}

fn serve_grpc(
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    settings: Settings,
    tls: Option<Tls>,
    tasks: &Tasks,
) -> SocketAddr {
    let (listener, at) = listen("rpc_grpc");
    let header = settings.login;
    let grpc = hakata_rpc_server::Grpc::new(operations, tokens, settings, tasks.cancel_token());
    let handler = move |request, _facts| {
        let grpc = grpc.clone();
        async move { grpc.respond(request).await }
    };
    let web =
        http::Settings { header: header.min(http::Settings::default().header), ..http::Settings::default() };
    let server = Server::new("rpc_grpc", web, handler);
    let server = Arc::new(match tls {
        Some(tls) => server.with_tls(tls),
        None => server,
    });
    let (group, serving) = (tasks.clone(), tasks.clone());
    tasks.spawn("rpc_grpc_accept", async move {
        listener.serve(&serving, move |connection| server.clone().serve(connection, group.clone())).await;
    });
    at
}

fn serve_msgpack(
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    settings: Settings,
    tls: Option<Tls>,
    tasks: &Tasks,
) -> SocketAddr {
    let (listener, at) = listen("rpc_msgpack");
    let spool = Spool::new(settings.spool.clone(), tasks.clone(), Blocking::new(2));
    let server = hakata_rpc_server::Msgpack::new(operations, tokens, settings, spool, tasks.cancel_token());
    let server = match tls {
        Some(tls) => server.with_tls(tls),
        None => server,
    };
    let serving = tasks.clone();
    tasks.spawn("rpc_msgpack_accept", async move {
        listener.serve(&serving, move |connection| server.clone().serve(connection)).await;
    });
    at
}

async fn user(db: &Db, engine: &Repositories) -> UserId {
    let id: UserId = engine.ids().next().await.unwrap();
    let name = OwnerName::parse("alice").unwrap();
    let new = &NewUser {
        id,
        name: &name,
        display_name: "",
        email: "a@example.org",
        password_hash: None,
        is_admin: false,
        is_external: false,
        created_at: 1,
    };
    db.transaction(|tx| Box::pin(async move { users::insert(tx, new).await })).await.unwrap().unwrap();
    id
}
