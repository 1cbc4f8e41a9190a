//! Mirrors and imports between two running servers, by git's own HTTP.

#[path = "mirrors/place.rs"]
mod place;

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Person, ServerOptions, run, wait_until};
use place::{LIMIT, Place, pair, pull};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_mirror_follows_whatever_the_other_does() -> Result<()> {
    let (mut there, here) = pair(&[])?;
    let id = pull(&there, &here, &[])?;
    here.until(&id, "synced")?;
    assert_eq!(here.refs("bob/tools")?, there.refs("alice/tools")?, "all is there");

    there.commit("two")?;
    there.git(&["-C", "t", "push", "-q", &there.url("alice/tools"), "main"])?;
    here.sync(&id, "synced")?;
    assert_eq!(here.refs("bob/tools")?, there.refs("alice/tools")?, "moved forward");

    // History is rewritten, branches go, one takes the place of a directory, HEAD goes elsewhere.
    there.git(&["-C", "t", "commit", "-q", "--amend", "--allow-empty", "-m", "uno"])?;
    there.git(&[
        "-C",
        "t",
        "push",
        "-q",
        "--force",
        &there.url("alice/tools"),
        "main",
        ":release/1",
        ":topic",
    ])?;
    there.git(&[
        "-C",
        "t",
        "push",
        "-q",
        &there.url("alice/tools"),
        "main:refs/heads/release",
        "main:refs/heads/topic/x",
    ])?;
    there.hakata(&["repo", "default-branch", "alice/tools", "release"])?;
    there.git(&["-C", "t", "push", "-q", &there.url("alice/tools"), ":main"])?;
    here.sync(&id, "synced")?;
    assert_eq!(here.refs("bob/tools")?, there.refs("alice/tools")?, "forced and deleted");
    here.hakata(&["repo", "verify", "bob/tools"])?;

    // Nobody else pushes to it, and is told why.
    let pushed = run(&mut there.person.git(2, &["-C", "t", "push", &here.url("bob/tools"), "main"]))?;
    ensure!(!pushed.success());
    here.git(&["clone", "-q", &here.url("bob/tools"), "c"])?;
    let pushed =
        run(&mut here.person.git(2, &["-C", "c", "push", &here.url("bob/tools"), "HEAD:refs/heads/mine"]))?;
    ensure!(!pushed.success() && pushed.stderr.contains("mirror"), "{}", pushed.stderr);

    // What it is told of is what people are told of.
    let events = here.rows(&["queue", "list", "--state", "done", "--kind", "fan_out"])?;
    ensure!(!events.is_empty(), "pushes and mirrored moves have the same jobs");

    // The other goes away and comes back.
    there.server.stop()?;
    let failing = here.sync(&id, "failing")?;
    ensure!(failing["failing_since"].is_i64() && failing["error"].is_string(), "{failing}");
    let kept = here.refs("bob/tools")?;
    ensure!(kept.contains("refs/heads/release"), "what is here stays: {kept}");
    there.server = there.server.start_again(&there.sandbox, &there.options)?;
    there.git(&["-C", "t", "commit", "-q", "--allow-empty", "-m", "three"])?;
    there.git(&["-C", "t", "push", "-q", &there.url("alice/tools"), "main:release"])?;
    let synced = here.sync(&id, "synced")?;
    ensure!(synced["failing_since"].is_null() && synced["error"].is_null(), "{synced}");
    assert_eq!(here.refs("bob/tools")?, there.refs("alice/tools")?, "back again");

    hides_login(&here, there.token())?;

    // When it is over, people push again.
    here.hakata(&["repo", "mirror", "remove", &id])?;
    here.git(&["-C", "c", "push", "-q", &here.url("bob/tools"), "HEAD:refs/heads/mine"])?;
    Ok(())
}

/// The login is nowhere to be read.
fn hides_login(here: &Place, token: &str) -> Result<()> {
    ensure!(!here.sandbox.log().contains(token), "not in the log");
    for file in ["hakata.db", "hakata.db-wal"] {
        let bytes = std::fs::read(here.sandbox.data().join(file)).unwrap_or_default();
        ensure!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()), "not in {file}");
    }
    let listed = here.hakata(&["repo", "mirror", "list", "--json"])?;
    ensure!(!listed.contains(token) && listed.contains("\"login\":true"), "{listed}");
    Ok(())
}

#[test]
fn a_mirror_syncs_by_the_clock_and_only_what_it_is_about() -> Result<()> {
    let (there, here) = pair(&[])?;
    let id = pull(&there, &here, &["--every", "1s", "--branches", "main,release/*", "--no-tags"])?;
    here.until(&id, "synced")?;
    let refs = here.refs("bob/tools")?;
    ensure!(refs.contains("refs/heads/main") && refs.contains("refs/heads/release/1"), "{refs}");
    ensure!(!refs.contains("topic") && !refs.contains("refs/tags/"), "{refs}");
    there.commit("two")?;
    there.git(&["-C", "t", "push", "-q", &there.url("alice/tools"), "main", "main:release/2"])?;
    wait_until("the mirror to follow by itself", LIMIT, || {
        here.refs("bob/tools").is_ok_and(|refs| refs.contains("refs/heads/release/2"))
    })?;
    // A protected branch is not forced by a mirror either, and that is said.
    here.hakata(&["repo", "protect", "bob/tools", "main"])?;
    there.git(&["-C", "t", "commit", "-q", "--amend", "--allow-empty", "-m", "uno"])?;
    there.git(&["-C", "t", "push", "-q", "--force", &there.url("alice/tools"), "main"])?;
    wait_until("the refusal to be told", LIMIT, || {
        here.mirror(&id)
            .is_ok_and(|row| row["error"].as_str().is_some_and(|it| it.contains("main is protected")))
    })?;
    here.hakata(&["repo", "protect", "bob/tools", "main", "--allow-force"])?;
    let tip = there.git(&["-C", "t", "rev-parse", "main"])?;
    wait_until("the mirror to follow again", LIMIT, || {
        here.refs("bob/tools").is_ok_and(|refs| refs.contains(tip.trim()))
    })?;
    Ok(())
}

#[test]
fn other_hosts_follow_each_push() -> Result<()> {
    let there = Place::start("alice", &[])?;
    there.hakata(&["repo", "create", "alice/copy"])?;
    let here = Place::start("bob", &[])?;
    here.furnish("bob/tools")?;
    let url = there.url("alice/copy");
    let add = [
        "repo",
        "mirror",
        "add",
        "bob/tools",
        &url,
        "--push",
        "--every",
        "0s",
        "--user",
        "alice",
        "--password-stdin",
    ];
    let id = here.with_password(&add, there.token())?;
    here.until(&id, "synced")?;
    let same = || Ok::<_, anyhow::Error>(here.refs("bob/tools")? == there.refs("alice/copy")?);
    ensure!(same()?, "{}", there.refs("alice/copy")?);
    here.commit("two")?;
    here.git(&["-C", "t", "push", "-q", &here.url("bob/tools"), "main"])?;
    wait_until("the push to be passed on", LIMIT, || same().unwrap_or(false))?;
    here.git(&["-C", "t", "commit", "-q", "--amend", "--allow-empty", "-m", "uno"])?;
    here.git(&["-C", "t", "push", "-q", "--force", &here.url("bob/tools"), "main", ":topic"])?;
    wait_until("force and deletion to be passed on", LIMIT, || same().unwrap_or(false))?;
    ensure!(here.mirror(&id)?["error"].is_null());

    // What the other refuses is said, and what it takes again is taken.
    there.hakata(&["repo", "protect", "alice/copy", "main"])?;
    here.git(&["-C", "t", "commit", "-q", "--amend", "--allow-empty", "-m", "eins"])?;
    here.git(&["-C", "t", "push", "-q", "--force", &here.url("bob/tools"), "main"])?;
    let failing = here.until(&id, "failing")?;
    ensure!(failing["error"].as_str().is_some_and(|it| it.contains("main is protected")), "{failing}");
    let buried = here.rows(&["queue", "list", "--state", "buried", "--kind", "mirror"])?;
    assert_eq!(buried.len(), 1, "people see what does not go on by itself");
    there.hakata(&["repo", "unprotect", "alice/copy", "main"])?;
    here.sync(&id, "synced")?;
    ensure!(same()?);
    ensure!(here.rows(&["queue", "list", "--state", "buried", "--kind", "mirror"])?.is_empty());

    // A wrong password is not tried again and again.
    let absent = format!("{url}x");
    let wrong =
        ["repo", "mirror", "add", "bob/tools", &absent, "--push", "--user", "alice", "--password-stdin"];
    let wrong = here.with_password(&wrong, "nonsense")?;
    let failing = here.until(&wrong, "failing")?;
    ensure!(failing["error"].as_str().is_some_and(|it| it.contains("login")), "{failing}");
    Ok(())
}

#[test]
fn what_another_host_has_is_overwritten_only_on_purpose() -> Result<()> {
    let there = Place::start("alice", &[])?;
    there.furnish("alice/precious")?;
    let here = Place::start("bob", &[])?;
    here.furnish("bob/tools")?;
    here.commit("two")?;
    here.git(&["-C", "t", "push", "-q", &here.url("bob/tools"), "main"])?;
    let (url, before) = (there.url("alice/precious"), there.refs("alice/precious")?);
    let add = [
        "repo",
        "mirror",
        "add",
        "bob/tools",
        &url,
        "--push",
        "--every",
        "0s",
        "--user",
        "alice",
        "--password-stdin",
    ];
    for more in [&[][..], &["--no-force"]] {
        let id = here.with_password(&[&add, more].concat(), there.token())?;
        let failing = here.until(&id, "failing")?;
        ensure!(failing["error"].as_str().is_some_and(|it| it.contains("--overwrite")), "{failing}");
        assert_eq!(there.refs("alice/precious")?, before, "nothing was pushed");
        here.sync(&id, "failing")?;
        assert_eq!(there.refs("alice/precious")?, before, "also not when somebody asks again");
        here.hakata(&["repo", "mirror", "remove", &id])?;
    }
    let id = here.with_password(&[&add[..], &["--overwrite"]].concat(), there.token())?;
    here.until(&id, "synced")?;
    assert_eq!(there.refs("alice/precious")?, here.refs("bob/tools")?);

    // What is the same already is in nobody's way, and what we pushed ourselves is ours to move.
    here.hakata(&["repo", "mirror", "remove", &id])?;
    let id = here.with_password(&add, there.token())?;
    here.until(&id, "synced")?;
    here.git(&["-C", "t", "commit", "-q", "--amend", "--allow-empty", "-m", "uno"])?;
    here.git(&["-C", "t", "push", "-q", "--force", &here.url("bob/tools"), "main"])?;
    let same = || Ok::<_, anyhow::Error>(here.refs("bob/tools")? == there.refs("alice/precious")?);
    wait_until("the push to be passed on", LIMIT, || same().unwrap_or(false))?;
    Ok(())
}

/// Answers every request in one way and counts them.
fn answering(answer: String) -> Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, asked) = (listener.local_addr()?.to_string(), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            if stream.read(&mut [0; 4_096]).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    Ok((address, asked))
}

#[test]
fn nobody_is_sent_where_only_this_machine_may_go() -> Result<()> {
    let here = Place::start("bob", &[("egress.allow", "")])?;
    let (inside, asked) =
        answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned())?;
    let port = inside.rsplit(':').next().unwrap_or_default().to_owned();
    for (n, host) in
        ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"].iter().enumerate()
    {
        let (path, url) = (format!("bob/{n}"), format!("http://{host}:{port}/x.git"));
        let added = here.rows(&["repo", "mirror", "add", &path, &url, "--pull"])?;
        let id = added[0]["id"].as_str().context("an id")?.to_owned();
        let failing = here.until(&id, "failing")?;
        ensure!(failing["error"].as_str().is_some_and(|it| it.contains("loopback")), "{host}: {failing}");
        here.hakata(&["repo", "import", &url, &format!("bob/import{n}")])?;
    }
    wait_until("the imports to be refused", LIMIT, || {
        here.rows(&["repo", "imports"]).is_ok_and(|rows| rows.iter().all(|row| row["state"] == "failed"))
    })?;
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody was asked");
    let left = here.rows(&["repo", "list"])?;
    ensure!(left.iter().all(|row| !row["path"].as_str().unwrap_or_default().contains("import")), "{left:?}");
    Ok(())
}

#[test]
fn a_redirect_is_no_way_to_the_inside() -> Result<()> {
    let (inside, asked) =
        answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned())?;
    let moved = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{inside}/x.git/info/refs\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let (outside, redirected) = answering(moved)?;
    let here = Place::start("bob", &[])?;
    let added =
        here.rows(&["repo", "mirror", "add", "bob/x", &format!("http://{outside}/x.git"), "--pull"])?;
    let id = added[0]["id"].as_str().context("an id")?.to_owned();
    here.until(&id, "failing")?;
    ensure!(redirected.load(Ordering::SeqCst) > 0, "the first was asked");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "and its word about the second not followed");
    Ok(())
}

#[test]
fn a_worker_that_dies_loses_nothing() -> Result<()> {
    for fault in ["mirror.fetched:1", "commit.before_commit:1", "commit.after_commit:1"] {
        let (there, mut here) = pair(&[])?;
        // Made while nobody works, so that the fault is met by the sync and by nothing else.
        here.server.stop()?;
        let id = pull(&there, &here, &[])?;
        let faulty = ServerOptions { fault: Some(fault.to_owned()), ..here.options.clone() };
        here.server = here.server.start_again(&here.sandbox, &faulty)?;
        assert_eq!(here.server.wait()?, None, "{fault}: the server was killed");
        here.server = here.server.start_again(&here.sandbox, &here.options)?;
        here.until(&id, "synced").with_context(|| fault.to_owned())?;
        assert_eq!(here.refs("bob/tools")?, there.refs("alice/tools")?, "{fault}");
        here.hakata(&["repo", "verify", "bob/tools"])?;
        let quarantine = here.sandbox.data().join("quarantine");
        let is_empty = || std::fs::read_dir(&quarantine).is_ok_and(|entries| entries.count() == 0);
        wait_until("an empty quarantine", LIMIT, is_empty).with_context(|| fault.to_owned())?;
    }
    Ok(())
}

/// Until the commit of an import is durable, its repository is being made, whenever its worker dies; then it is there, and
/// what is pushed to it stays.
#[test]
fn an_import_whose_worker_dies_is_taken_up_where_it_was() -> Result<()> {
    let (there, mut here) = pair(&[])?;
    let url = there.url("alice/tools");
    let faults =
        ["import.pack", "commit.version", "commit.refs", "commit.before_commit", "commit.after_commit"];
    for (n, fault) in faults.into_iter().enumerate() {
        let path = format!("bob/copy{n}");
        here.server.stop()?;
        let add = ["repo", "import", &url, &path, "--user", "alice", "--password-stdin"];
        let id = here.with_password(&add, there.token())?;
        let faulty = ServerOptions { fault: Some(format!("{fault}:1")), ..here.options.clone() };
        here.server = here.server.start_again(&here.sandbox, &faulty)?;
        assert_eq!(here.server.wait()?, None, "{fault}: the server was killed");
        let is_durable = fault == "commit.after_commit";
        let listed = here.rows(&["repo", "list"])?;
        let row = listed.iter().find(|row| row["path"] == path).context("it is listed")?;
        assert_eq!(row["state"], if is_durable { "active" } else { "creating" }, "{fault}");
        let import = |here: &Place| {
            here.rows(&["repo", "imports"]).unwrap_or_default().into_iter().find(|row| row["id"] == id)
        };
        let state = import(&here).context("it is listed")?["state"].clone();
        assert_eq!(state, if is_durable { "done" } else { "running" }, "{fault}");
        here.server = here.server.start_again(&here.sandbox, &here.options)?;
        if is_durable {
            here.git(&["clone", "-q", &here.url(&path), "c"])?;
            here.git(&["-C", "c", "push", "-q", &here.url(&path), "HEAD:refs/heads/mine"])?;
        }
        let is_over = || {
            here.rows(&["queue", "list", "--state", "done", "--kind", "import"])
                .is_ok_and(|rows| rows.len() == n + 1)
        };
        wait_until("the job to be done", LIMIT, is_over).with_context(|| here.sandbox.log())?;
        let is_done = || import(&here).is_some_and(|row| row["state"] == "done");
        ensure!(is_done(), "{fault}: {:?}", import(&here));
        let refs = here.refs(&path)?;
        let expected = there.refs("alice/tools")?;
        match is_durable {
            true => ensure!(refs.contains("refs/heads/mine"), "what was pushed since stays: {refs}"),
            false => assert_eq!(refs, expected, "{fault}"),
        }
        here.hakata(&["repo", "verify", &path])?;
    }
    Ok(())
}

#[test]
fn a_repository_of_another_host_is_imported_beside_everything_else() -> Result<()> {
    let (there, mut here) = pair(&[])?;
    let url = there.url("alice/tools");
    let add = ["repo", "import", &url, "bob/copy", "--public", "--user", "alice", "--password-stdin"];
    let state = |here: &Place, id: &str| {
        let rows = here.rows(&["repo", "imports"]).unwrap_or_default();
        rows.into_iter()
            .find(|row| row["id"] == id)
            .map(|row| row["state"].as_str().unwrap_or_default().to_owned())
    };
    // Before a worker is at it, and when one was killed at it, the repository is being made.
    here.server.stop()?;
    let id = here.with_password(&add, there.token())?;
    assert_eq!(state(&here, &id).as_deref(), Some("waiting"));
    assert_eq!(here.rows(&["repo", "list"])?[0]["state"], "creating");
    let faulty = ServerOptions { fault: Some("import.pack:1".to_owned()), ..here.options.clone() };
    here.server = here.server.start_again(&here.sandbox, &faulty)?;
    assert_eq!(here.server.wait()?, None, "the server was killed");
    here.server = here.server.start_again(&here.sandbox, &here.options)?;
    wait_until("the import to be done", LIMIT, || state(&here, &id).as_deref() == Some("done"))
        .with_context(|| here.sandbox.log())?;
    assert_eq!(here.refs("bob/copy")?, there.refs("alice/tools")?);
    here.hakata(&["repo", "verify", "bob/copy"])?;
    let stranger = Person::without_account(&here.sandbox, "-")?;
    run(&mut stranger.git(2, &["ls-remote", &here.url("bob/copy")]))?.expect_success("a public import")?;
    here.git(&["clone", "-q", &here.url("bob/copy"), "c"])?;
    here.git(&["-C", "c", "push", "-q", &here.url("bob/copy"), "HEAD:refs/heads/mine"])?;

    // What cannot be had leaves nothing behind.
    let add = ["repo", "import", &url, "bob/other", "--user", "alice", "--password-stdin"];
    let id = here.with_password(&add, "nonsense")?;
    wait_until("the import to fail", LIMIT, || state(&here, &id).as_deref() == Some("failed"))?;
    let listed = here.rows(&["repo", "list"])?;
    ensure!(listed.iter().all(|row| row["path"] != "bob/other"), "{listed:?}");
    here.hakata(&["repo", "create", "bob/other"])?;
    Ok(())
}

#[test]
fn a_private_authority_vouches_for_the_other_host() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let there = Place::start("alice", &[("http.tls_certificate", &certificate), ("http.tls_key", &key)])?;
    there.git(&["init", "-q", "t"])?;
    there.commit("one")?;
    let source = there.sandbox.work().join("t/.git").display().to_string();
    there.hakata(&["repo", "import", &source, "alice/tools", "--public"])?;
    let port = there.server.http.rsplit(':').next().unwrap_or_default();
    // The name has an address at which nobody is, too: all that were judged are tried.
    let url = format!("https://localhost:{port}/alice/tools");
    let add = ["repo", "mirror", "add", "bob/tools", &url, "--pull"];
    let id = |added: &[Value]| Ok::<_, anyhow::Error>(added[0]["id"].as_str().context("an id")?.to_owned());

    let strict = Place::start("bob", &[("egress.allow", "localhost")])?;
    let failing = strict.until(&id(&strict.rows(&add)?)?, "failing")?;
    ensure!(failing["error"].as_str().is_some_and(|it| it.contains("certificate")), "{failing}");
    let trusting =
        Place::start("bob", &[("egress.allow", "localhost"), ("egress.certificates", &certificate)])?;
    trusting.until(&id(&trusting.rows(&add)?)?, "synced")?;
    let tip = there.git(&["-C", "t", "rev-parse", "main"])?;
    ensure!(trusting.refs("bob/tools")?.contains(tip.trim()));
    Ok(())
}
