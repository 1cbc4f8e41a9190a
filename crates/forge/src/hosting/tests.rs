//! Pushes and fetches of the real git over a pair of pipes, against a whole forge.

use std::path::Path;
use std::process::Stdio;

use hakata_store::testing::TestDatabase;
use serde_json::json;
use tokio::io::{AsyncReadExt, BufReader};

use super::{Mode, Moved, Output, Protocol, ProtocolVersion, fetch, receive};
use crate::testing::{World, git_command, path};
use crate::{Actor, Error, Kind, Read, Settings};

const STATEFUL: Protocol = Protocol { version: ProtocolVersion::V0, mode: Mode::Stateful };

/// What a client saw.
pub(crate) struct Client {
    is_ok: bool,
    said: String,
    served: Result<Moved, Error>,
}

impl Client {
    /// Asserts that git was content, showing what it said otherwise.
    pub(crate) fn ok(self) -> String {
        assert!(self.is_ok, "git failed: {}\nserver: {:?}", self.said, self.served);
        self.said
    }

    /// Tells whether git was content; what it said otherwise.
    pub(crate) fn result(self) -> Result<(), String> {
        if self.is_ok { Ok(()) } else { Err(self.said) }
    }

    /// Asserts that git failed, and gives what it said.
    fn refused(self) -> String {
        assert!(!self.is_ok, "git succeeded: {}", self.said);
        self.said
    }
}

impl World {
    pub(crate) async fn push(&self, actor: &Actor, to: &str, dir: &Path, args: &[&str]) -> Client {
        let target = self.forge.open_push(actor, &path(to)).await.unwrap();
        let mut child = client(dir, "push", args);
        let input = BufReader::new(child.stdout.take().unwrap());
        let mut output = Output::writer(child.stdin.take().unwrap());
        let served = receive(&self.forge, target, STATEFUL, input, &mut output).await;
        drop(output);
        finish(child, served).await
    }

    async fn fetch(&self, actor: &Actor, from: &str, dir: &Path, args: &[&str]) -> Client {
        let grant = self.forge.grant::<Read>(actor, &path(from)).await.unwrap();
        let mut child = client(dir, "fetch", args);
        let input = BufReader::new(child.stdout.take().unwrap());
        let mut output = Output::writer(child.stdin.take().unwrap());
        let served = fetch(&self.forge, &grant, STATEFUL, input, &mut output).await;
        drop(output);
        finish(child, served).await
    }

    /// Pushes `main` to `alice/tools`, and runs a command when the commands of the push were judged and its pack is
    /// still to come.
    async fn push_interrupted(&self, actor: &Actor, dir: &Path, command: serde_json::Value) -> Client {
        let target = self.forge.open_push(actor, &path("alice/tools")).await.unwrap();
        let mut child = client(dir, "push", &["main"]);
        let mut from_git = BufReader::new(child.stdout.take().unwrap());
        let (mut to_server, input) = tokio::io::duplex(1 << 20);
        let mut output = Output::writer(child.stdin.take().unwrap());
        let push = receive(&self.forge, target, STATEFUL, BufReader::new(input), &mut output);
        let gate = async {
            tokio::io::AsyncWriteExt::write_all(&mut to_server, &commands(&mut from_git).await)
                .await
                .unwrap();
            // A child that waits for the pack means that the rules were read and allowed the push.
            tokio::time::timeout(std::time::Duration::from_secs(20), async {
                while self.forge.git().children() == 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .unwrap();
            self.admin(command).await.unwrap();
            tokio::io::copy(&mut from_git, &mut to_server).await.unwrap();
            // The client ends only when the server's side is closed, so the gate never does by itself.
            std::future::pending::<()>().await;
        };
        let served = tokio::select! {
            served = push => served,
            () = gate => unreachable!("the gate stays open"),
        };
        drop(output);
        finish(child, served).await
    }

    async fn tip(&self, of: &str, name: &str) -> Option<String> {
        let grant = self.forge.grant::<Read>(&Actor::System, &path(of)).await.unwrap();
        let repository = self.forge.repositories().open(grant.repository()).await.unwrap();
        let name = hakata_names::RefName::parse(name.as_bytes()).unwrap();
        repository.snapshot().find(&name).map(|at| at.oid.to_string())
    }
}

/// Starts git with its remote on descriptors 7 and 8, which are the child's own standard input and output.
fn client(dir: &Path, verb: &str, args: &[&str]) -> tokio::process::Child {
    let mut command = git_command(dir);
    let script = r#"verb=$1; shift; exec git -c protocol.fd.allow=always "$verb" fd::7,8/x "$@" 7<&0 8>&1 0</dev/null 1>&2"#;
    // The remote stands before the refspecs; options may follow it.
    command.arg("-c").arg(script).arg("sh").arg(verb).args(args);
    let mut shell = std::process::Command::new("sh");
    shell.args(command.get_args()).current_dir(dir).env_clear();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(key, value);
        }
    }
    let mut shell = tokio::process::Command::from(shell);
    shell
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn finish(mut child: tokio::process::Child, served: Result<Moved, Error>) -> Client {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    Client { is_ok: child.wait().await.unwrap().success(), said, served }
}

hakata_store::on_every_engine! {
    /// A push to an absent repository in one's own namespace makes it, and a clone has what was pushed.
    async fn a_push_creates_and_a_fetch_returns_it(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let dir = world.work_tree("w");
        let pushed = world.push(&alice, "alice/tools", &dir, &["main"]).await;
        let said = pushed.ok();
        assert!(said.contains("remote: Created private repository alice/tools"), "{said}");
        let head = world.git(&dir, &["rev-parse", "HEAD"]);
        assert_eq!(world.tip("alice/tools", "refs/heads/main").await, Some(head.clone()));
        world.commit(&dir, "two");
        let said = world.push(&alice, "alice/tools", &dir, &["main", "HEAD:refs/tags/v1"]).await.ok();
        assert!(!said.contains("Created"), "only the first push creates: {said}");
        let copy = world.path("copy");
        std::fs::create_dir(&copy).unwrap();
        world.git(&copy, &["init", "-q", "."]);
        world.fetch(&alice, "alice/tools", &copy, &["refs/heads/*:refs/heads/*"]).await.ok();
        assert_eq!(world.git(&copy, &["rev-parse", "main"]), world.git(&dir, &["rev-parse", "main"]));
        world.git(&copy, &["fsck", "--strict"]);
    }

    /// A protected branch refuses a forced push and a deletion, says why, and keeps its tip.
    async fn a_protected_branch_keeps_its_tip(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let dir = world.work_tree("w");
        world.push(&alice, "alice/tools", &dir, &["main", "main:refs/heads/other"]).await.ok();
        let protect = json!({ "command": "repo", "action": "protect", "path": "alice/tools", "pattern": "*", "push": "developer" });
        world.admin(protect).await.unwrap();
        let before = world.tip("alice/tools", "refs/heads/main").await;
        world.git(&dir, &["commit", "-q", "--amend", "-m", "uno"]);
        let said = world.push(&alice, "alice/tools", &dir, &["--force", "main"]).await.refused();
        assert!(said.contains("main is protected: force-push refused") && said.contains("remote: hint: "), "{said}");
        let said = world.push(&alice, "alice/tools", &dir, &[":other"]).await.refused();
        assert!(said.contains("other is protected: deletion refused"), "{said}");
        assert_eq!(world.tip("alice/tools", "refs/heads/main").await, before);
        world.git(&dir, &["reset", "-q", "--hard", before.as_deref().unwrap()]);
        world.commit(&dir, "two");
        world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
    }

    /// An atomic push with one refused ref changes nothing.
    async fn an_atomic_push_is_all_or_nothing(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let dir = world.work_tree("w");
        world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
        let args = ["--atomic", "main:refs/heads/a", "main:refs/hakata/x"];
        let said = world.push(&alice, "alice/tools", &dir, &args).await.refused();
        assert!(said.contains("server's own"), "{said}");
        assert_eq!(world.tip("alice/tools", "refs/heads/a").await, None);
        let said = world.push(&alice, "alice/tools", &dir, &args[1..]).await.refused();
        assert!(said.contains("server's own"), "{said}");
        assert!(world.tip("alice/tools", "refs/heads/a").await.is_some(), "without --atomic the good ref moves");
    }

    /// A role taken away while a push is under way counts: the rules are judged again at the commit.
    async fn a_role_taken_away_stops_the_next_push(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let (alice, bob) = (world.user("alice").await, world.user("bob").await);
        let dir = world.work_tree("w");
        world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
        let role = |role: Option<&str>| json!({ "command": "repo", "action": "collaborator", "path": "alice/tools", "user": "bob", "role": role });
        assert_eq!(world.forge.open_push(&bob, &path("alice/tools")).await.unwrap_err().kind(), Kind::NotFound);
        world.admin(role(Some("reporter"))).await.unwrap();
        assert_eq!(world.forge.open_push(&bob, &path("alice/tools")).await.unwrap_err().kind(), Kind::Forbidden);
        world.admin(role(Some("developer"))).await.unwrap();
        world.push(&bob, "alice/tools", &dir, &["main:refs/heads/bob"]).await.ok();
        // The grant is from before, the refusal from the rows: as in a push that takes long.
        let target = world.forge.open_push(&bob, &path("alice/tools")).await.unwrap();
        world.admin(role(None)).await.unwrap();
        let mut child = client(&dir, "push", &["main:refs/heads/late"]);
        let input = BufReader::new(child.stdout.take().unwrap());
        let mut output = Output::writer(child.stdin.take().unwrap());
        let served = receive(&world.forge, target, STATEFUL, input, &mut output).await;
        drop(output);
        assert_eq!(finish(child, served).await.served.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(world.tip("alice/tools", "refs/heads/late").await, None);
    }
}

hakata_store::on_every_engine! {
    /// A rule made after a push was judged, and before it is committed, refuses it.
    async fn rules_made_during_a_push_count(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let dir = world.work_tree("w");
        world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
        let before = world.tip("alice/tools", "refs/heads/main").await;
        world.commit(&dir, "two");
        let protect = json!({ "command": "repo", "action": "protect", "path": "alice/tools", "pattern": "main", "push": null });
        let said = world.push_interrupted(&alice, &dir, protect).await.refused();
        assert!(said.contains("main is protected: push refused"), "{said}");
        assert_eq!(world.tip("alice/tools", "refs/heads/main").await, before);
    }

    /// Somebody who is shut out while the pack is on its way changes nothing any more.
    async fn an_account_disabled_during_a_push_counts(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let dir = world.work_tree("w");
        world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
        let before = world.tip("alice/tools", "refs/heads/main").await;
        world.commit(&dir, "two");
        let disable = json!({ "command": "user", "action": "disable", "name": "alice" });
        let pushed = world.push_interrupted(&alice, &dir, disable).await;
        assert_eq!(pushed.served.as_ref().unwrap_err().kind(), Kind::Unauthenticated);
        pushed.refused();
        assert_eq!(world.tip("alice/tools", "refs/heads/main").await, before);
    }

    /// Two first pushes at one time make one repository, and both branches arrive.
    async fn two_first_pushes_make_one_repository(database: TestDatabase) {
        let world = World::start(database, Settings::default()).await;
        let alice = world.user("alice").await;
        let dir = world.work_tree("w");
        let (one, two) = tokio::join!(
            world.push(&alice, "alice/tools", &dir, &["main:refs/heads/one"]),
            world.push(&alice, "alice/tools", &dir, &["main:refs/heads/two"]),
        );
        let said = one.ok() + &two.ok();
        assert_eq!(said.matches("Created private repository").count(), 1, "{said}");
        for name in ["refs/heads/one", "refs/heads/two"] {
            assert!(world.tip("alice/tools", name).await.is_some(), "{name}");
        }
    }
}

/// Reads what git sends before its pack: pkt-lines up to a flush.
async fn commands(from_git: &mut BufReader<tokio::process::ChildStdout>) -> Vec<u8> {
    let mut wire = Vec::new();
    loop {
        let mut len = [0; 4];
        from_git.read_exact(&mut len).await.unwrap();
        wire.extend_from_slice(&len);
        let len = usize::from_str_radix(std::str::from_utf8(&len).unwrap(), 16).unwrap();
        if len == 0 {
            return wire;
        }
        let mut line = vec![0; len - 4];
        from_git.read_exact(&mut line).await.unwrap();
        wire.extend_from_slice(&line);
    }
}

#[tokio::test]
async fn a_refused_push_creates_nothing() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let dir = world.work_tree("w");
    world.push(&alice, "alice/tools", &dir, &["main:refs/pull/1/head"]).await.refused();
    let error = world.forge.grant::<Read>(&alice, &path("alice/tools")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "the row of a repository that got no ref is gone");
    for (actor, to) in [(&alice, "bob/tools"), (&alice, "nobody/tools"), (&Actor::System, "nobody/tools")] {
        let kind = world.forge.open_push(actor, &path(to)).await.unwrap_err().kind();
        assert_eq!(kind, Kind::NotFound, "{to}");
    }
    let anonymous = world.forge.open_push(&Actor::Anonymous, &path("alice/tools")).await.unwrap_err();
    assert_eq!(anonymous.kind(), Kind::Unauthenticated);
}

#[tokio::test]
async fn head_follows_the_first_branch_when_there_is_no_default() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let dir = world.work_tree("w");
    world.push(&alice, "alice/tools", &dir, &["-o", "public", "main:refs/heads/trunk"]).await.ok();
    let grant = world.forge.grant::<Read>(&Actor::Anonymous, &path("alice/tools")).await.unwrap();
    let repository = world.forge.repositories().open(grant.repository()).await.unwrap();
    assert_eq!(repository.default_ref().to_string(), "refs/heads/trunk");
    let said = world.push(&alice, "alice/tools", &dir, &[":trunk"]).await.refused();
    assert!(said.contains("deletion of the current branch prohibited"), "{said}");
}

#[tokio::test]
async fn a_stale_push_is_refused_and_the_next_one_works() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let (dir, other) = (world.work_tree("w"), world.path("other"));
    world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
    world.git(&dir, &["clone", "-q", ".", other.to_str().unwrap()]);
    world.commit(&dir, "two");
    world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
    world.commit(&other, "three");
    let said = world.push(&alice, "alice/tools", &other, &["main"]).await.refused();
    assert!(said.contains("rejected"), "{said}");
}

#[tokio::test]
async fn limits_name_themselves() {
    let max_object = hakata_runtime::units::ByteSize::new(100_000);
    let repository_quota = hakata_runtime::units::ByteSize::new(400_000);
    let settings = Settings { max_object, repository_quota, max_refs_per_push: 3, ..Settings::default() };
    let database = TestDatabase::create(hakata_store::Engine::Sqlite).await;
    let world = World::start(database, settings).await;
    let alice = world.user("alice").await;
    let dir = world.work_tree("w");
    world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
    std::fs::create_dir(dir.join("media")).unwrap();
    std::fs::write(dir.join("media/film.bin"), noise(200_000)).unwrap();
    world.commit(&dir, "large");
    let said = world.push(&alice, "alice/tools", &dir, &["main"]).await.refused();
    assert!(said.contains("file 'media/film.bin' of 195.3 KiB is over the limit of 97.7 KiB"), "{said}");
    assert!(said.contains("hint: keep large files in Git LFS"), "{said}");
    world.git(&dir, &["reset", "-q", "--hard", "HEAD~1"]);
    let mut warned = String::new();
    for n in 0..4 {
        std::fs::write(dir.join(format!("part{n}")), noise(85_000 + n)).unwrap();
        world.commit(&dir, &format!("part {n}"));
        warned = world.push(&alice, "alice/tools", &dir, &["main"]).await.ok();
    }
    assert!(warned.contains("warning: filling up: this repository uses"), "{warned}");
    std::fs::write(dir.join("last"), noise(90_000)).unwrap();
    world.commit(&dir, "the last straw");
    let said = world.push(&alice, "alice/tools", &dir, &["main"]).await.refused();
    assert!(said.contains("left of the quota"), "{said}");
    let names: Vec<String> = (0..4).map(|n| format!("HEAD~1:refs/heads/b{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let said = world.push(&alice, "alice/tools", &dir, &names).await.refused();
    assert!(said.contains("too many ref updates in one push (limit 3)"), "{said}");
}

/// HTTP's clients show words in band to the person, and no status: a refusal that a person can act on is a reply.
#[tokio::test]
async fn a_request_over_a_limit_is_told_in_band() {
    let settings = Settings { max_refs_per_push: 3, ..Settings::default() };
    let database = TestDatabase::create(hakata_store::Engine::Sqlite).await;
    let world = World::start(database, settings).await;
    let alice = world.user("alice").await;
    let stateless = Protocol { mode: Mode::Stateless, ..STATEFUL };
    let request = |n_refs: usize| {
        let mut wire = Vec::new();
        for n in 0..n_refs {
            let (zero, one) = ("0".repeat(40), "1".repeat(40));
            let line = format!("{zero} {one} refs/heads/b{n}\0 report-status side-band-64k");
            let end = if n == 0 { line.len() } else { line.find('\0').unwrap() };
            hakata_pkt_line::encode(&line.as_bytes()[..end], &mut wire);
        }
        wire.extend_from_slice(hakata_pkt_line::FLUSH);
        wire
    };
    let serve = async |wire: Vec<u8>| {
        let target = world.forge.open_push(&alice, &path("alice/tools")).await.unwrap();
        let mut reply = Vec::new();
        let mut output = Output::writer(&mut reply);
        let served = receive(&world.forge, target, stateless, &wire[..], &mut output).await;
        drop(output);
        (served, String::from_utf8_lossy(&reply).into_owned())
    };
    let (served, reply) = serve(request(4)).await;
    assert!(served.is_ok() && reply.contains("\u{3}too many ref updates in one push (limit 3)"), "{reply}");
    let (served, reply) = serve(b"this is no push".to_vec()).await;
    assert_eq!((served.unwrap_err().kind(), reply.as_str()), (Kind::Invalid, ""), "garbage gets a status");
    let (served, reply) = serve(hakata_pkt_line::FLUSH.to_vec()).await;
    assert!(served.is_ok() && reply.is_empty(), "git probes with a lone flush before it sends a large pack");
    let (_, reply) = serve(request(1)).await;
    assert!(reply.contains("unpack "), "a push that ends before its pack has a report: {reply}");
    let error = world.forge.grant::<Read>(&alice, &path("alice/tools")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "nothing was created by any of them");
}

/// Bytes that do not compress: a linear congruential generator, so that every run has the same.
fn noise(n: usize) -> Vec<u8> {
    let mut state = n as u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..n).map(|_| next()).collect()
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_new_repository_along() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let target = world.forge.open_push(&alice, &path("alice/tools")).await.unwrap();
    let (client, server) = tokio::io::duplex(1 << 16);
    let (input, output) = tokio::io::split(server);
    let mut output = Output::writer(output);
    let push = receive(&world.forge, target, STATEFUL, BufReader::new(input), &mut output);
    let line = format!("{} {} refs/heads/main\0 report-status", "0".repeat(40), "1".repeat(40));
    let mut wire = Vec::new();
    hakata_pkt_line::encode(line.as_bytes(), &mut wire);
    wire.extend_from_slice(hakata_pkt_line::FLUSH);
    let leave = async move {
        let (mut read, mut write) = tokio::io::split(client);
        tokio::io::AsyncWriteExt::write_all(&mut write, &wire).await.unwrap();
        let mut advertised = [0; 4];
        read.read_exact(&mut advertised).await.unwrap();
        // Both halves go here: the client hangs up before its pack.
    };
    let (served, ()) = tokio::join!(push, leave);
    assert!(served.is_ok() || served.is_err(), "whatever is said, nobody hears it");
    let error = world.forge.grant::<Read>(&alice, &path("alice/tools")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
