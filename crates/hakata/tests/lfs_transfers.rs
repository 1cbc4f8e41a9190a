//! Transfers of LFS objects that are cut, by whichever side, and what goes on where: the real client against the real
//! server, over both transports and both stores.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hakata_store::page::PageSize;
use hakata_store::{Db, Settings, lfs_objects, lfs_uploads};
use hakata_testkit::{Person, Process, S3Server, Sandbox, Server, ServerOptions, SlowProxy, run, wait_until};

const MB: u64 = 1_000_000;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A server, and alice with a clone of her repository in which `*.bin` are LFS objects.
struct Stage {
    server: Server,
    options: ServerOptions,
    alice: Person,
    // Behind the server, which it outlives.
    sandbox: Sandbox,
}

impl Stage {
    fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let options = ServerOptions { settings, ..ServerOptions::default() };
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
        let server = Server::start(&sandbox, &options)?;
        let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
        run(sandbox.hakata(&["repo", "create", "alice/tools"]).envs(options.environment()))?
            .expect_success("hakata repo create")?;
        let this = Self { server, options, alice, sandbox };
        this.git(&["init", "--quiet", "t"])?;
        this.git(&["-C", "t", "lfs", "install", "--local"])?;
        this.git(&["-C", "t", "lfs", "track", "*.bin"])?;
        Ok(this)
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = run(&mut self.alice.git(2, arguments))?.expect_success(&format!("git {arguments:?}"));
        Ok(output.with_context(|| self.sandbox.log())?.stdout)
    }

    /// Commits a file of random bytes.
    fn commit(&self, name: &str, n_bytes: u64) -> Result<()> {
        let mut bytes = vec![0; usize::try_from(n_bytes)?];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        std::fs::write(self.sandbox.work().join("t").join(name), bytes)?;
        self.git(&["-C", "t", "add", "--all"])?;
        self.git(&["-C", "t", "commit", "--quiet", "--message", name]).map(drop)
    }

    /// Lets the clone's client come by some address.
    fn point_to(&self, transport: &str, address: &str) -> Result<()> {
        let user = if transport == "ssh" { "git@" } else { "" };
        let url = format!("{transport}://{user}{address}/alice/tools");
        self.git(&["-C", "t", "config", "remote.origin.url", &url]).map(drop)
    }

    /// Begins to send the objects of the clone.
    fn push(&self, name: &str) -> Result<Process> {
        let mut command = self.alice.command("git-lfs");
        command.args(["push", "origin", "HEAD"]).current_dir(self.sandbox.work().join("t"));
        Process::spawn(&mut command, &self.sandbox.path().join(name))
    }

    /// Sends the objects of the clone to the end, and git's part.
    fn push_all(&self) -> Result<()> {
        self.git(&["-C", "t", "push", "--quiet", "origin", "HEAD:main"]).map(drop)
    }

    fn restart(&mut self, fault: Option<&str>, more: &[(&str, &str)]) -> Result<()> {
        let mut options = ServerOptions { fault: fault.map(str::to_owned), ..self.options.clone() };
        options.settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.server = self.server.start_again(&self.sandbox, &options)?;
        Ok(())
    }

    /// Clones, fetches every object and compares it.
    fn check(&self, names: &[&str]) -> Result<()> {
        let _ = std::fs::remove_dir_all(self.sandbox.work().join("again"));
        let url = format!("http://{}/alice/tools", self.server.http);
        self.git(&["clone", "--quiet", &url, "again"])?;
        self.git(&["-C", "again", "lfs", "install", "--local"])?;
        self.git(&["-C", "again", "lfs", "pull"])?;
        for name in names {
            let read = |clone: &str| std::fs::read(self.sandbox.work().join(clone).join(name));
            ensure!(read("t")? == read("again")?, "{name} came back otherwise");
        }
        Ok(())
    }

    fn files(&self, place: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.sandbox.data().join("blobs").join(place), &mut found);
        found
    }
}

/// Files come and go while this looks.
fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, found),
            path => found.push(path),
        }
    }
}

/// Cuts an upload of 64 MB behind its middle, perhaps with its server, and lets a new one go on.
fn cut_and_go_on(stage: &mut Stage, is_server_killed: bool) -> Result<()> {
    stage.git(&["-C", "t", "config", "lfs.tustransfers", "true"])?;
    stage.commit("large.bin", 64 * MB)?;
    let first = SlowProxy::start(&stage.server.http, 40 * MB)?;
    stage.point_to("http", &first.address)?;
    let mut client = stage.push("first.log")?;
    wait_until("half of an upload", LIMIT, || first.passed() > 44 * MB)?;
    client.kill()?;
    if is_server_killed {
        stage.server.kill()?;
        stage.restart(None, &[])?;
    }
    let second = SlowProxy::start(&stage.server.http, 400 * MB)?;
    stage.point_to("http", &second.address)?;
    stage.push_all()?;
    let again = second.passed();
    ensure!(again < 48 * MB, "{again} bytes were sent again");
    ensure!(again > 16 * MB, "only {again} bytes were sent again: what was there before?");
    stage.point_to("http", &stage.server.http)?;
    stage.check(&["large.bin"])
}

#[test]
fn x2_a_cut_upload_goes_on_where_it_was() -> Result<()> {
    let mut stage = Stage::start(&[])?;
    cut_and_go_on(&mut stage, false)?;
    ensure!(stage.files("uploads").is_empty(), "nothing is left of it");
    Ok(())
}

#[test]
fn x2_another_process_goes_on_with_an_upload() -> Result<()> {
    let mut stage = Stage::start(&[])?;
    cut_and_go_on(&mut stage, true)
}

#[test]
fn x2_another_process_goes_on_with_an_upload_to_a_bucket() -> Result<()> {
    let engine = S3Server::start()?;
    let settings = engine.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut stage = Stage::start(&settings)?;
    cut_and_go_on(&mut stage, true)
}

/// A transfer over SSH begins again when it was cut; what had come to its end does not.
#[test]
fn h5_a_cut_session_leaves_whole_objects_and_nothing_else() -> Result<()> {
    let stage = Stage::start(&[])?;
    stage.commit("a.bin", MB)?;
    stage.commit("b.bin", 30 * MB)?;
    let first = SlowProxy::start(&stage.server.ssh, 4 * MB)?;
    stage.point_to("ssh", &first.address)?;
    let mut client = stage.push("first.log")?;
    wait_until("one object and a part of another", LIMIT, || {
        first.passed() > 6 * MB && stage.files("lfs").iter().any(|path| is_of_size(path, MB))
    })?;
    client.kill()?;
    wait_until("nothing but the whole object", LIMIT, || {
        matches!(&stage.files("lfs")[..], [one] if is_of_size(one, MB))
            && stage.files("tmp").iter().all(|path| is_lock(path))
    })?;
    stage.point_to("ssh", &stage.server.ssh)?;
    stage.push_all()?;
    stage.check(&["a.bin", "b.bin"])
}

fn is_of_size(path: &Path, n_bytes: u64) -> bool {
    path.metadata().is_ok_and(|at| at.len() == n_bytes)
}

fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "lock")
}

/// X8: what is on its way when the server is told to stop arrives, whichever way it came.
#[test]
fn x8_uploads_finish_when_the_server_is_told_to_stop() -> Result<()> {
    for (way, tus) in [("ssh", "false"), ("http", "false"), ("http", "true")] {
        let mut stage = Stage::start(&[])?;
        stage.git(&["-C", "t", "config", "lfs.tustransfers", tus])?;
        stage.commit("large.bin", 16 * MB)?;
        let target = if way == "ssh" { &stage.server.ssh } else { &stage.server.http };
        let slow = SlowProxy::start(target, 6 * MB)?;
        stage.point_to(way, &slow.address)?;
        let mut client = stage.push("push.log")?;
        wait_until("an upload", LIMIT, || slow.passed() > 5 * MB)?;
        stage.server.signal(rustix::process::Signal::TERM)?;
        let code = stage.server.wait()?;
        ensure!(code == Some(0), "{way}, tus {tus}: the server ended with {code:?}");
        let ended = client.wait()?;
        // Over HTTP the client asks again on a new connection whether all is there, and nobody answers that here.
        ensure!(ended == Some(0) || way == "http", "{way}: the client ended with {ended:?}");
        ensure!(slow.passed() > 16 * MB, "{way}, tus {tus}: all bytes were taken");
        stage.restart(None, &[])?;
        let again = SlowProxy::start(&stage.server.http, 400 * MB)?;
        stage.point_to("http", &again.address)?;
        stage.push_all()?;
        ensure!(again.passed() < MB, "{way}, tus {tus}: what had arrived was sent again");
        stage.check(&["large.bin"])?;
    }
    Ok(())
}

/// A server that is killed at any step of an upload loses nothing that it acknowledged, and its successor sweeps the rest.
#[test]
fn no_upload_is_lost_or_left_when_the_server_is_killed_at_any_step() -> Result<()> {
    let mut stage = Stage::start(&[])?;
    stage.commit("zero.bin", MB)?;
    let (http, ssh) = (stage.server.http.clone(), stage.server.ssh.clone());
    stage.point_to("http", &http)?;
    stage.push_all()?;
    let mut names = vec!["zero.bin".to_owned()];
    for (way, tus, points) in [
        ("http", "false", &["staged_row", "blob_put", "before_commit", "after_commit"][..]),
        ("ssh", "false", &["staged_row", "blob_put", "before_commit", "after_commit"]),
        (
            "http",
            "true",
            &["staged_row", "part_put", "part_row", "blob_put", "before_commit", "after_commit"],
        ),
    ] {
        stage.git(&["-C", "t", "config", "lfs.tustransfers", tus])?;
        for point in points {
            let context = || format!("{way}, tus {tus}, {point}");
            let name = format!("{way}-{tus}-{point}.bin");
            // Three parts of a resumable upload, of which the second meets the kill.
            stage.commit(&name, if tus == "true" { 20 * MB } else { MB })?;
            names.push(name);
            let pass = if point.starts_with("part") { 2 } else { 1 };
            stage.server.kill()?;
            stage.restart(Some(&format!("lfs.{point}:{pass}")), &[])?;
            stage.point_to(way, if way == "ssh" { &ssh } else { &http })?;
            let mut client = stage.push("push.log")?;
            wait_until("the kill", LIMIT, || stage.server.has_ended()).with_context(context)?;
            client.kill()?;
            sweep(&mut stage, names.len()).with_context(context)?;
            stage.restart(None, &[])?;
            stage.push_all().with_context(context)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            stage.point_to("http", &http)?;
            stage.check(&names).with_context(context)?;
            ensure!(stage.files("lfs").len() == names.len(), "{}: one file an object", context());
        }
    }
    Ok(())
}

/// Lets a server sweep what another has left: at most the last object is there, whole.
fn sweep(stage: &mut Stage, n_objects: usize) -> Result<()> {
    let sweeping = [("lfs.staged_age", "1s"), ("lfs.sweep_every", "1s"), ("lfs.dead_age", "1s")];
    stage.restart(None, &sweeping)?;
    let swept = wait_until("a sweep", LIMIT, || {
        let n_files = stage.files("lfs").len();
        (n_files == n_objects || n_files == n_objects - 1)
            && stage.files("uploads").is_empty()
            && stage.files("tmp").iter().all(|path| is_lock(path))
            && matches!(n_staged(stage), Ok(0))
    });
    swept.with_context(|| format!("left: {:?} {:?}", stage.files("lfs"), stage.files("uploads")))?;
    stage.server.kill()
}

/// Counts rows that are not in use.
fn n_staged(stage: &Stage) -> Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let url = stage.sandbox.data().join("hakata.db").display().to_string();
        let db = Db::open(&Settings { max_connections: 1, ..Settings::new(&url) }).await?;
        let mut conn = db.read().await?;
        let mut n = lfs_objects::staged_older_than(&mut conn, i64::MAX, PageSize::MAX).await?.len();
        n += lfs_objects::dead_before(&mut conn, i64::MAX, PageSize::MAX).await?.len();
        n += lfs_uploads::older_than(&mut conn, i64::MAX, PageSize::MAX).await?.len();
        drop(conn);
        db.close().await;
        Ok(n)
    })
}
