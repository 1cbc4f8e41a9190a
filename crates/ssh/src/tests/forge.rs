//! The face over a real forge: SQLite, real repositories, OpenSSH's client and git.

use super::harness::{Harness, finish, text, until};
use hakata_blob::Blobs;
use hakata_forge::{Forge, Parts, admin};
use hakata_git::Git;
use hakata_repository::Repositories;
use hakata_runtime::blocking::Blocking;
use hakata_runtime::clock::Clock;
use hakata_runtime::tasks::Tasks;
use hakata_store::testing::TestDatabase;
use std::path::PathBuf;
use std::process::Stdio;

struct World {
    harness: Harness,
    forge: Forge,
    _data: tempfile::TempDir,
    _database: TestDatabase,
}

impl World {
    /// A forge with the users alice and bob, each with a key of that name.
    async fn start() -> Self {
        let database = TestDatabase::create(hakata_store::Engine::Sqlite).await;
        let data = tempfile::tempdir().unwrap();
        let (clock, tasks, blocking) = (Clock::System, Tasks::new(), Blocking::new(4));
        let db = database.migrated().await;
        let git = hakata_git::Settings::new(data.path().join("scratch"));
        let git = Git::find(git, &tasks, blocking.clone()).await.unwrap();
        let repositories = Repositories::open_engine(hakata_repository::Parts {
            db: db.clone(),
            blobs: Blobs::open_fs(data.path().join("blobs"), blocking.clone()).await.unwrap(),
            git: git.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            blocking: blocking.clone(),
            settings: hakata_repository::Settings::new(data.path()),
        });
        let repositories = repositories.await.unwrap();
        let parts = Parts { db, repositories, git, blocking, clock, tasks };
        let forge = Forge::new(parts, hakata_forge::Settings::default());
        let harness = Harness::start_forge(forge.clone());
        let world = Self { harness, forge, _data: data, _database: database };
        for name in ["alice", "bob"] {
            world.harness.make_key(name, &["-t", "ed25519"]).await;
            let line = world.public_key(name);
            world
                .admin(
                    serde_json::json!({ "command": "user", "action": "add", "name": name, "keys": [line] }),
                )
                .await;
        }
        world
    }

    fn public_key(&self, name: &str) -> String {
        std::fs::read_to_string(self.harness.path(&format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    async fn admin(&self, command: serde_json::Value) {
        let command: admin::Command = serde_json::from_value(command).unwrap();
        admin::run(&self.forge, command, &mut |_| {}).await.unwrap();
    }

    /// Makes a work tree of alice's with one commit.
    async fn work(&self) -> PathBuf {
        let work = self.harness.path("work");
        std::fs::create_dir_all(&work).unwrap();
        self.harness.git_ok(&work, &["init", "-q", "-b", "main", "."]).await;
        std::fs::write(work.join("one"), "one").unwrap();
        self.harness.git_ok(&work, &["add", "."]).await;
        self.harness.git_ok(&work, &["commit", "-q", "-m", "one"]).await;
        work
    }

    async fn run_as(&self, key: &str, line: &str) -> (Option<i32>, String, String) {
        let output = finish(self.harness.ssh_as(&[key], &[]).arg(line)).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_creates_and_every_protocol_version_reads_and_writes() {
    let world = World::start().await;
    let harness = &world.harness;
    let work = world.work().await;
    let url = harness.url("alice/tools.git");
    let push = finish(&mut harness.git(&work, &["push", &url, "main"])).await;
    assert!(push.status.success(), "{}", text(&push.stderr));
    assert!(text(&push.stderr).contains("remote: Created private repository"), "{}", text(&push.stderr));
    for version in ["0", "1", "2"] {
        let protocol = format!("protocol.version={version}");
        let clone = harness.path(&format!("clone{version}"));
        let directory = harness.directory.path();
        harness.git_ok(directory, &["-c", &protocol, "clone", "-q", &url, clone.to_str().unwrap()]).await;
        std::fs::write(clone.join(version), version).unwrap();
        harness.git_ok(&clone, &["add", "."]).await;
        harness.git_ok(&clone, &["commit", "-q", "-m", version]).await;
        harness.git_ok(&clone, &["-c", &protocol, "push", "-q", "origin", "HEAD"]).await;
        harness.git_ok(&work, &["-c", &protocol, "fetch", "-q", &url, "main"]).await;
        let ours = harness.git_ok(&clone, &["rev-parse", "HEAD"]).await;
        assert_eq!(harness.git_ok(&work, &["rev-parse", "FETCH_HEAD"]).await, ours, "version {version}");
    }
    let remote = format!("--remote={url}");
    let archive = finish(&mut harness.git(&work, &["archive", &remote, "main"])).await;
    assert!(archive.stdout.windows(5).any(|bytes| bytes == b"ustar"), "{}", text(&archive.stderr));
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_may_not_see_does_not_exist_for_it() {
    let world = World::start().await;
    let harness = &world.harness;
    let work = world.work().await;
    let url = harness.url("alice/tools");
    harness.git_ok(&work, &["push", "-q", &url, "main"]).await;
    for path in ["alice/tools", "alice/absent"] {
        for arguments in [["ls-remote", "URL"], ["push", "URL"]] {
            let url = harness.url(path);
            let tail = if arguments[0] == "push" { "main" } else { "HEAD" };
            let output = finish(&mut harness.git_as("bob", &work, &[arguments[0], &url, tail])).await;
            let stderr = text(&output.stderr);
            assert!(!output.status.success(), "{path} {arguments:?}");
            assert!(stderr.contains("repository not found"), "{path} {arguments:?}: {stderr}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_key_reads_one_repository_and_pushes_only_if_it_may() {
    let world = World::start().await;
    let harness = &world.harness;
    let work = world.work().await;
    let url = harness.url("alice/tools");
    harness.git_ok(&work, &["push", "-q", &url, "main"]).await;
    harness.make_key("deploy", &["-t", "ecdsa"]).await;
    let line = world.public_key("deploy");
    world
        .admin(serde_json::json!({
            "command": "key", "action": "add", "owner": { "repository": "alice/tools" }, "line": line
        }))
        .await;
    let read = finish(&mut harness.git_as("deploy", &work, &["ls-remote", &url])).await;
    assert!(text(&read.stdout).contains("refs/heads/main"), "{}", text(&read.stderr));
    let write = finish(&mut harness.git_as("deploy", &work, &["push", &url, "main:other"])).await;
    assert!(!write.status.success(), "a key for reading pushed");
    let (status, _, stderr) = world.run_as("deploy", "key list").await;
    assert!(status == Some(1) && !stderr.is_empty(), "a deploy key is no person: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_look_after_their_own_things() {
    let world = World::start().await;
    let alice = |line: &'static str| world.run_as("alice", line);
    let (status, stdout, _) = alice("whoami").await;
    assert!(status == Some(0) && stdout.contains("alice"), "{stdout}");
    let (status, _, stderr) = alice("repo create alice/new --public").await;
    assert_eq!(status, Some(0), "{stderr}");
    let (status, _, stderr) = alice("repo create bob/mine").await;
    assert!(status == Some(1) && stderr.starts_with("hakata: "), "{stderr}");
    for (key, line, shown) in [
        ("alice", "repo list", "new"),
        ("bob", "repo info alice/new", "public"),
        ("alice", "key list", "ed25519"),
        ("alice", "token new ci repo:read", "hkt_"),
        ("alice", "token list", "ci"),
    ] {
        let (status, stdout, stderr) = world.run_as(key, line).await;
        assert!(status == Some(0) && stdout.contains(shown), "{line}: {stdout} {stderr}");
    }
    world.harness.make_key("second", &["-t", "ed25519"]).await;
    let key = std::fs::File::open(world.harness.path("second.pub")).unwrap();
    let mut add = world.harness.ssh_as(&["alice"], &[]);
    let output = finish(add.arg("key add laptop").stdin(Stdio::from(key))).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (_, stdout, _) = world.run_as("second", "whoami").await;
    assert!(stdout.contains("alice"), "the new key signs in: {stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_is_a_stranger() {
    let world = World::start().await;
    world.admin(serde_json::json!({ "command": "user", "action": "disable", "name": "bob" })).await;
    let (status, _, stderr) = world.run_as("bob", "whoami").await;
    assert!(status == Some(255) && stderr.contains("Permission denied (publickey)"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_leaves_no_child_of_git() {
    let world = World::start().await;
    let work = world.work().await;
    let url = world.harness.url("alice/tools");
    world.harness.git_ok(&work, &["push", "-q", &url, "main"]).await;
    for line in ["git-upload-pack '/alice/tools'", "git-receive-pack '/alice/tools'"] {
        let mut client = world.harness.ssh(&[]);
        client.arg(line).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = client.spawn().unwrap();
        let mut first = [0];
        let stdout = client.stdout.as_mut().unwrap();
        tokio::io::AsyncReadExt::read_exact(stdout, &mut first).await.unwrap();
        client.kill().await.unwrap();
        world.harness.wait_for_rest().await;
        until("no git is left", || git_children() == 0).await;
    }
}

/// Counts processes called git below this one that still run.
fn git_children() -> usize {
    let own = std::process::id().to_string();
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let is_ours = |stat: &String| {
        let Some((name, rest)) = stat.rsplit_once(") ") else { return false };
        let mut fields = rest.split(' ');
        let state = fields.next();
        name.ends_with("(git") && state != Some("Z") && fields.next() == Some(own.as_str())
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(stat).filter(is_ours).count()
}
