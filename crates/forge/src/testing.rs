//! A whole forge for one test: a database of its own, a directory of its own, the real git.

use std::path::{Path, PathBuf};

use hakata_blob::Blobs;
use hakata_git::Git;
use hakata_names::{OwnerName, RepositoryPath};
use hakata_repository::Repositories;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_store::testing::TestDatabase;

use crate::admin::{Command, Outcome, run};
use crate::{Actor, Error, Forge, Parts, Settings, Via};

/// A forge and what it stands on; the directory goes with it.
pub(crate) struct World {
    pub(crate) forge: Forge,
    pub(crate) clock: Clock,
    directory: tempfile::TempDir,
    pub(crate) database: TestDatabase,
}

impl World {
    /// Starts a forge on a database.
    pub(crate) async fn start(database: TestDatabase, settings: Settings) -> Self {
        let directory = tempfile::Builder::new().prefix("hakata_test_").tempdir().unwrap();
        let (clock, tasks, blocking) = (Clock::manual(1_700_000_000_000), Tasks::new(), Blocking::new(4));
        let data = directory.path().to_path_buf();
        let db = database.migrated().await;
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
        let parts = Parts { db, repositories, git, blocking, clock: clock.clone(), tasks };
        Self { forge: Forge::new(parts, settings), clock, directory, database }
    }

    /// Starts a forge on SQLite with the defaults.
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::create(hakata_store::Engine::Sqlite).await;
        Self::start(database, Settings::default()).await
    }

    /// Runs an administrative command written as its JSON.
    pub(crate) async fn admin(&self, command: serde_json::Value) -> Result<Outcome, Error> {
        let command: Command = serde_json::from_value(command).unwrap();
        run(&self.forge, command, &mut |_| {}).await
    }

    /// Adds a user and signs in as it.
    pub(crate) async fn user(&self, user: &str) -> Actor {
        self.admin(serde_json::json!({ "command": "user", "action": "add", "name": user })).await.unwrap();
        let row = self.forge.get_user(&name(user)).await.unwrap();
        Actor::User { id: row.id, name: row.owner.name, is_admin: false, via: Via::Password }
    }

    /// A directory for clones.
    pub(crate) fn path(&self, tail: &str) -> PathBuf {
        self.directory.path().join(tail)
    }

    /// Runs git in a directory and gives its output; fails the test with git's own words.
    pub(crate) fn git(&self, dir: &Path, args: &[&str]) -> String {
        let output = git_command(dir).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes a work tree with one commit on `main`.
    pub(crate) fn work_tree(&self, tail: &str) -> PathBuf {
        let dir = self.path(tail);
        std::fs::create_dir_all(&dir).unwrap();
        self.git(&dir, &["init", "-q", "-b", "main", "."]);
        self.commit(&dir, "one");
        dir
    }

    /// Commits a file named after its message.
    pub(crate) fn commit(&self, dir: &Path, message: &str) {
        std::fs::write(dir.join(message), message).unwrap();
        self.git(dir, &["add", "-A"]);
        self.git(dir, &["commit", "-q", "-m", message]);
    }
}

/// git without anybody's configuration, at a fixed date.
pub(crate) fn git_command(dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new("git");
    command.current_dir(dir).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    for (key, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "Test"),
        ("GIT_AUTHOR_EMAIL", "test@example.org"),
        ("GIT_COMMITTER_NAME", "Test"),
        ("GIT_COMMITTER_EMAIL", "test@example.org"),
        ("GIT_AUTHOR_DATE", "1700000000 +0000"),
        ("GIT_COMMITTER_DATE", "1700000000 +0000"),
        ("LC_ALL", "C"),
    ] {
        command.env(key, value);
    }
    command
}

/// Parses an owner's name.
pub(crate) fn name(text: &str) -> OwnerName {
    OwnerName::parse(text).unwrap()
}

/// Parses a repository's path.
pub(crate) fn path(text: &str) -> RepositoryPath {
    RepositoryPath::parse(text).unwrap()
}
