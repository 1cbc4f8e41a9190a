//! Receivers that other people wrote: they check our signatures and read our payloads.
//!
//! `webhook`, a small server that runs a command for a request that its rules accept, checks all formats. Buildbot's
//! change hooks read the words of Gitea and GitHub as a build server does, and gidgethub those of GitHub. `./test`
//! installs them; see [`is_absent`].

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Process, free_port, is_absent, is_taken, python, wait_until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{LIMIT, SECRET, World};

/// Whoever checks requests by the header that a format is known for.
struct Rules {
    _process: Process,
    log: PathBuf,
    port: u16,
}

impl Rules {
    /// Starts `webhook` with a rule for each path: the digest in a header must be right, and something must be in the
    /// payload. What is not, is answered 403, and a wrong digest 500.
    fn start(world: &World) -> Result<Self> {
        let moved = json!({ "source": "payload", "name": "ref" });
        let of_push = json!({ "type": "value", "value": "refs/heads/main", "parameter": moved });
        let rule = |path: &str, header: &str, content: &Value| {
            let digest = json!({ "source": "header", "name": header });
            let signed = json!({ "type": "payload-hmac-sha256", "secret": SECRET, "parameter": digest });
            json!({
                "id": path,
                "execute-command": "true",
                "trigger-rule-mismatch-http-response-code": 403,
                "trigger-rule": { "and": [{ "match": signed }, { "match": content }] },
            })
        };
        let in_payload = |kind: &str, wanted: &str, name: &str| {
            let parameter = json!({ "source": "payload", "name": name });
            json!({ "type": kind, kind: wanted, "parameter": parameter })
        };
        let rules = json!([
            rule("gitea", "X-Gitea-Signature", &of_push),
            rule("gogs", "X-Gogs-Signature", &of_push),
            rule("github", "X-Hub-Signature-256", &of_push),
            rule("backlog", "X-Signature", &in_payload("value", "12", "type")),
            rule("slack", "X-Signature", &in_payload("regex", "alice.*main", "text")),
        ]);
        let folder = world.sandbox.path();
        let (file, log) = (folder.join("rules.json"), folder.join("rules.log"));
        std::fs::write(&file, rules.to_string()).context("writing rules")?;
        let port = free_port()?;
        let mut command = Command::new("webhook");
        command.args(["-verbose", "-ip", "127.0.0.1", "-port", &port.to_string(), "-hooks"]).arg(&file);
        let mut process = Process::spawn(&mut command, &log)?;
        wait_until("webhook listens", LIMIT, || is_taken(port) || process.has_ended())?;
        ensure!(!process.has_ended(), "webhook ended: {}", std::fs::read_to_string(&log)?);
        Ok(Self { _process: process, log, port })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/hooks/{path}", self.port)
    }
}

/// Whoever reads requests as build servers and bots do.
struct Readers {
    _process: Process,
    log: PathBuf,
    port: u64,
}

impl Readers {
    fn start(world: &World) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks/receivers.py");
        let log = world.sandbox.path().join("readers.log");
        let mut command = Command::new(python()?);
        command.arg(script).arg(SECRET);
        let mut process = Process::spawn(&mut command, &log).context("run ./test, which installs these")?;
        wait_until("the readers listen", LIMIT, || has_said(&log, "\"port\"") || process.has_ended())?;
        ensure!(!process.has_ended(), "the readers ended: {}", std::fs::read_to_string(&log)?);
        let port = said(&log)?[0]["port"].as_u64().context("a port")?;
        Ok(Self { _process: process, log, port })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What one of them understood.
    fn understood(&self, by: &str) -> Result<Vec<Value>> {
        Ok(said(&self.log)?.into_iter().filter(|line| line["by"] == by).collect())
    }
}

fn has_said(log: &Path, word: &str) -> bool {
    std::fs::read_to_string(log).is_ok_and(|log| log.lines().any(|line| line.contains(word)))
}

fn said(log: &Path) -> Result<Vec<Value>> {
    let log = std::fs::read_to_string(log).context("reading what was understood")?;
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).context("a line is JSON")).collect()
}

/// A server on which `main` is there already, so that a push to it tells of commits.
fn world() -> Result<World> {
    let world = World::start()?;
    world.commit_and_push("first", &world.http(), "HEAD:refs/heads/main")?;
    // It is nobody's news any more.
    let is_over = || world.hakata(&["queue", "list", "--json"]).is_ok_and(|jobs| jobs.trim().is_empty());
    wait_until("the first push is worked at", LIMIT, is_over)?;
    Ok(world)
}

/// Adds a file and pushes it to `main`; the answer is the commit.
fn push(world: &World, file: &str, url: &str) -> Result<String> {
    std::fs::write(world.sandbox.work().join("t").join(file), file).context("writing a file")?;
    world.git(&["-C", "t", "add", "--all"])?;
    world.commit_and_push(&format!("add {file}"), url, "HEAD:refs/heads/main")?;
    Ok(world.git(&["-C", "t", "rev-parse", "HEAD"])?.trim().to_owned())
}

/// Pushes over HTTP and over SSH, and waits until the webhooks have delivered both.
fn push_twice(world: &World, hooks: &[String]) -> Result<[String; 2]> {
    let tips = [push(world, "by-http", &world.http())?, push(world, "by-ssh", &world.ssh())?];
    for hook in hooks {
        wait_until("both are told", LIMIT, || {
            let states = world.states(hook).unwrap_or_default();
            states.len() == 2 && states.iter().all(|state| state == "delivered" || state == "failed")
        })?;
        let states = world.states(hook)?;
        let listed = world.hakata(&["hook", "list", "--json"])?;
        ensure!(states == ["delivered"; 2], "webhook {hook} has {states:?} of {listed}");
    }
    Ok(tips)
}

#[test]
fn rules_of_others_accept_every_format() -> Result<()> {
    if is_absent("webhook") {
        return Ok(());
    }
    let world = world()?;
    let rules = Rules::start(&world)?;
    let hooks: Result<Vec<String>> =
        [("gitea", "gitea"), ("gitea", "gogs"), ("gitea", "github"), ("github", "github")]
            .into_iter()
            .chain([("backlog", "backlog"), ("slack", "slack")])
            .map(|(format, path)| world.add(&rules.url(path), &["--format", format, "--events", "push"]))
            .collect();
    push_twice(&world, &hooks?).map(drop)
}

#[test]
fn rules_of_others_refuse_another_secret() -> Result<()> {
    if is_absent("webhook") {
        return Ok(());
    }
    let world = world()?;
    let rules = Rules::start(&world)?;
    let formats = ["gitea", "github", "backlog", "slack"];
    let hooks: Result<Vec<String>> = formats
        .into_iter()
        .map(|format| {
            world.add_signed(&rules.url(format), "another", &["--format", format, "--events", "push"])
        })
        .collect();
    push(&world, "pushed", &world.http())?;
    let refused = || {
        let log = std::fs::read_to_string(&rules.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("invalid payload signature")).count()
    };
    wait_until("all are refused", LIMIT, || refused() >= formats.len())?;
    // The answer is 500, after which a delivery is tried again.
    for hook in hooks? {
        let states = world.states(&hook)?;
        ensure!(states == ["waiting"], "webhook {hook} has {states:?}");
    }
    Ok(())
}

#[test]
fn build_servers_and_bots_of_others_understand_pushes() -> Result<()> {
    if is_absent("python") {
        return Ok(());
    }
    let world = world()?;
    let readers = Readers::start(&world)?;
    let mut hooks = Vec::new();
    for (format, path, content) in [
        ("gitea", "change_hook/gitea", "json"),
        ("github", "change_hook/github", "json"),
        ("github", "change_hook/github", "form"),
        ("gitea", "gidgethub", "json"),
        ("github", "gidgethub", "json"),
        ("github", "gidgethub", "form"),
    ] {
        let more = ["--format", format, "--content-type", content, "--events", "push"];
        hooks.push(world.add(&readers.url(path), &more)?);
    }
    let tips = push_twice(&world, &hooks)?;
    let changes = readers.understood("buildbot")?;
    let events = readers.understood("gidgethub")?;
    for (tip, file) in tips.iter().zip(["by-http", "by-ssh"]) {
        let of_tip: Vec<&Value> = changes.iter().filter(|change| change["revision"] == *tip).collect();
        ensure!(of_tip.len() == 3, "three hooks make one change each of {tip}: {changes:?}");
        for change in of_tip {
            ensure!(change["branch"] == "main" && change["project"] == "alice/tools", "{change}");
            ensure!(change["comments"].as_str().is_some_and(|text| text.trim() == format!("add {file}")));
            ensure!(change["files"] == json!([file]), "{change}");
        }
        let n_events = events.iter().filter(|one| one["event"] == "push" && one["after"] == *tip).count();
        ensure!(n_events == 3, "three hooks tell of {tip}: {events:?}");
    }
    // And what is signed with another secret is not believed.
    let wrong: Result<Vec<String>> = [("gitea", "change_hook/gitea"), ("github", "change_hook/github")]
        .into_iter()
        .chain([("gitea", "gidgethub"), ("github", "gidgethub")])
        .map(|(format, path)| {
            world.add_signed(&readers.url(path), "another", &["--format", format, "--events", "push"])
        })
        .collect();
    push(&world, "later", &world.http())?;
    for hook in wrong? {
        wait_until("it is refused", LIMIT, || world.states(&hook).is_ok_and(|states| states == ["failed"]))?;
    }
    Ok(())
}
