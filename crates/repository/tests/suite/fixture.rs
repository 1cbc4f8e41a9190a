//! What most tests start from: an engine on a database and a directory of its own, and a client with commits.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hakata_blob::Blobs;
use hakata_git::Git;
use hakata_names::{ObjectFormat, Oid, OwnerName, RefName, RefUpdate, RepositoryId, RepositoryName, UserId};
use hakata_repository::{
    Atomicity, CommitError, Committed, Intent, Parts, Push, Reason, ReceiveLimits, Received, Repositories,
    Repository, Settings, no_rows,
};
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_store::repositories::{self, NewRepository};
use hakata_store::testing::TestDatabase;
use hakata_store::users::{self, NewUser};
use hakata_store::{Db, RepositoryState, Visibility};

/// One node with one user, and a client's directory.
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) data: tempfile::TempDir,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) node: Node,
    pub(crate) alice: UserId,
    // Last: the database goes after everything that uses it.
    database: TestDatabase,
}

/// One engine; a test that restarts makes another on the same directory.
pub(crate) struct Node {
    pub(crate) repositories: Repositories,
    pub(crate) blobs: Blobs,
    pub(crate) tasks: Tasks,
}

impl World {
    pub(crate) async fn new(database: TestDatabase) -> Self {
        Self::with(database, |_| {}).await
    }

    pub(crate) async fn with(database: TestDatabase, change: impl Fn(&mut Settings)) -> Self {
        let db = database.migrated().await;
        Self::on(database, db, change).await
    }

    /// Starts a node that reaches its database by another way.
    pub(crate) async fn on(database: TestDatabase, db: Db, change: impl Fn(&mut Settings)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_700_000_000_000);
        let node = node(&db, data.path(), &clock, change).await;
        let alice = user(&db, &node.repositories).await;
        Self { db, data, client: Client::new(ObjectFormat::Sha1), clock, node, alice, database }
    }

    /// Makes every row of a table refused from now on, on SQLite.
    pub(crate) async fn refuse_rows(&self, table: &str, when: &str) {
        let refuse = format!(
            "CREATE TRIGGER refused BEFORE INSERT ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'refused'); END"
        );
        self.database.execute(&refuse).await;
    }

    /// Runs a statement that is not ours.
    pub(crate) async fn execute(&self, text: &str) {
        self.database.execute(text).await;
    }

    /// Starts another engine on the same rows and directory, after the present one was cut off.
    pub(crate) async fn restart(&mut self) {
        self.node.tasks.cut().await;
        self.node = node(&self.db, self.data.path(), &self.clock, |_| {}).await;
    }

    pub(crate) async fn create(&self, name: &str) -> RepositoryId {
        self.create_as(name, self.client.format, RepositoryState::Active).await
    }

    pub(crate) async fn create_as(
        &self,
        name: &str,
        format: ObjectFormat,
        state: RepositoryState,
    ) -> RepositoryId {
        let id: RepositoryId = self.node.repositories.ids().next().await.unwrap();
        let name = RepositoryName::parse(name).unwrap();
        let main = branch("main");
        let new = NewRepository {
            id,
            owner_id: self.alice.owner(),
            name: &name,
            object_format: format,
            default_ref: &main,
            state,
            visibility: Visibility::Private,
            description: "",
            created_at: self.clock.now_ms(),
        };
        repositories::insert(&mut self.db.write().await.unwrap(), &new).await.unwrap().unwrap();
        id
    }

    pub(crate) async fn open(&self, id: RepositoryId) -> Repository {
        self.node.repositories.open(id).await.unwrap()
    }

    /// Receives a push of the client's objects.
    pub(crate) async fn receive(&self, id: RepositoryId, updates: Vec<RefUpdate>) -> Received {
        let repository = self.open(id).await;
        let known: Vec<Oid> = repository.snapshot().iter().map(|at| at.oid).collect();
        let wanted: Vec<Oid> = updates.iter().filter_map(|update| update.new).collect();
        let pack = self.client.pack(&wanted, &known);
        let push = Push { updates, shallow: Vec::new() };
        repository.receive(push, Some(&mut &pack[..]), &ReceiveLimits::default()).await.unwrap()
    }

    /// Pushes as the server does, without policy.
    pub(crate) async fn push(
        &self,
        id: RepositoryId,
        updates: Vec<RefUpdate>,
        atomicity: Atomicity,
    ) -> Result<Committed, CommitError> {
        let received = self.receive(id, updates).await;
        let prepared = received.prepare(Intent { atomicity, ..self.intent() });
        self.open(id).await.commit(prepared, no_rows).await
    }

    /// Pushes updates that must all be accepted.
    pub(crate) async fn push_ok(&self, id: RepositoryId, updates: Vec<RefUpdate>) -> Committed {
        let committed = self.push(id, updates, Atomicity::Each).await.unwrap();
        assert!(committed.is_complete(), "{committed:?}");
        committed
    }

    pub(crate) fn intent(&self) -> Intent {
        Intent {
            actor: Some(self.alice),
            reason: Reason::Push,
            atomicity: Atomicity::Each,
            policy_version: 0,
            default_ref: None,
            idempotency_key: None,
        }
    }

    /// Lists refs as git reads them from the cache directory: `<oid> <name>`.
    pub(crate) async fn listed(&self, id: RepositoryId) -> Vec<String> {
        let cache = self.open(id).await.cache().await.unwrap();
        listed(cache.dir().path())
    }

    /// Holds the invariant of every test: rows, bytes and directory agree and git finds nothing wrong.
    pub(crate) async fn assert_sound(&self, id: RepositoryId) {
        assert_eq!(self.open(id).await.verify().await.unwrap(), [], "rows, bytes and directory agree");
    }

    pub(crate) async fn row(&self, id: RepositoryId) -> repositories::Repository {
        repositories::find(&mut self.db.read().await.unwrap(), id).await.unwrap().unwrap()
    }
}

/// Lists refs as git reads them: `<oid> <name>`.
pub(crate) fn listed(dir: &Path) -> Vec<String> {
    let listed = git(dir, &["for-each-ref", "--format=%(objectname) %(refname)"]);
    listed.lines().map(str::to_owned).collect()
}

pub(crate) async fn node(db: &Db, data: &Path, clock: &Clock, change: impl Fn(&mut Settings)) -> Node {
    let (tasks, blocking) = (Tasks::new(), Blocking::new(8));
    let git = hakata_git::Settings::new(data.join("scratch"));
    let git = Git::find(git, &tasks, blocking.clone()).await.unwrap();
    let blobs = Blobs::open_fs(data.join("blobs"), blocking.clone()).await.unwrap();
    let mut settings = Settings {
        push_url: "http://localhost:3000/".to_owned(),
        derive_after: Duration::from_secs(600),
        ..Settings::new(data)
    };
    change(&mut settings);
    let parts = Parts {
        db: db.clone(),
        blobs: blobs.clone(),
        git,
        clock: clock.clone(),
        tasks: tasks.clone(),
        blocking,
        settings,
    };
    Node { repositories: Repositories::open_engine(parts).await.unwrap(), blobs, tasks }
}

async fn user(db: &Db, engine: &Repositories) -> UserId {
    let id: UserId = engine.ids().next().await.unwrap();
    let name = OwnerName::parse("alice").unwrap();
    let new = NewUser {
        id,
        name: &name,
        display_name: "",
        email: "a@example.org",
        password_hash: None,
        is_admin: false,
        is_external: false,
        created_at: 1,
    };
    let new = &new;
    db.transaction(|tx| Box::pin(async move { users::insert(tx, new).await })).await.unwrap().unwrap();
    id
}

/// A repository that commits are made in and pushed from.
pub(crate) struct Client {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) format: ObjectFormat,
}

impl Client {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "--bare", &format!("--object-format={format}"), "-b", "main", "."]);
        Self { dir, format }
    }

    /// Makes a commit of one file with that content.
    pub(crate) fn commit(&self, content: &[u8], parents: &[Oid]) -> Oid {
        let blob = oid(&self.pipe(&["hash-object", "-w", "--stdin"], content));
        let tree = oid(&self.pipe(&["mktree"], format!("100644 blob {blob}\tfile\n").as_bytes()));
        let mut args = vec!["commit-tree".to_owned(), tree.to_string()];
        args.extend(parents.iter().flat_map(|parent| ["-p".to_owned(), parent.to_string()]));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        oid(&self.pipe(&args, b"message\n"))
    }

    /// Makes an annotated tag.
    pub(crate) fn tag(&self, name: &str, of: Oid) -> Oid {
        let text =
            format!("object {of}\ntype commit\ntag {name}\ntagger A <a@example.org> 1700000000 +0000\n\nx\n");
        oid(&self.pipe(&["mktag"], text.as_bytes()))
    }

    /// Packs what leads to `wanted` and not to `known`, thin, as a client sends it.
    pub(crate) fn pack(&self, wanted: &[Oid], known: &[Oid]) -> Vec<u8> {
        let has = |oid: &&Oid| {
            self.dir.path().join("objects").join(&oid.to_string()[..2]).join(&oid.to_string()[2..]).exists()
        };
        let mut input: String = wanted.iter().map(|oid| format!("{oid}\n")).collect();
        input.extend(known.iter().filter(has).map(|oid| format!("^{oid}\n")));
        self.pipe(&["pack-objects", "--revs", "--thin", "--stdout", "-q"], input.as_bytes())
    }

    fn pipe(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut child =
            command(self.dir.path(), args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        assert!(output.status.success(), "git {args:?}");
        output.stdout
    }
}

/// Runs the git of this machine with fixed names and dates; the test fails if git does.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = command(dir, args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("HOME", "/nonexistent")])
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
        .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@example.org")])
        .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")]);
    command
}

fn oid(hex: &[u8]) -> Oid {
    Oid::parse_hex(hex.trim_ascii()).unwrap()
}

pub(crate) fn ref_name(name: &str) -> RefName {
    RefName::parse(name.as_bytes()).unwrap()
}

pub(crate) fn branch(short: &str) -> RefName {
    RefName::parse_branch(short.as_bytes()).unwrap()
}

/// Wishes a ref to be made.
pub(crate) fn make(name: &str, new: Oid) -> RefUpdate {
    RefUpdate { name: ref_name(name), old: None, new: Some(new) }
}

/// Wishes a ref to be moved.
pub(crate) fn moved(name: &str, old: Oid, new: Oid) -> RefUpdate {
    RefUpdate { name: ref_name(name), old: Some(old), new: Some(new) }
}

/// Wishes a ref to go.
pub(crate) fn delete(name: &str, old: Oid) -> RefUpdate {
    RefUpdate { name: ref_name(name), old: Some(old), new: None }
}

/// Bytes that do not compress: a pack of them is no small one.
pub(crate) fn noise(n: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(n).collect()
}
