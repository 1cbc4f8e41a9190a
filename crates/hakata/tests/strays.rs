//! Git processes of a server that is killed on the spot: they end too.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Person, Sandbox, Server, ServerOptions, run, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What the processes that outlive a server are called.
const LONG: &str = "sleep\x00600\x00";

/// What the process is called that outlives it to end them.
const WARDEN: &str = "\0warden\0";

/// A server whose git indexes a pack for ten minutes, and a child of that which does the same; neither notices that
/// nobody waits for it.
struct Place {
    sandbox: Sandbox,
    options: ServerOptions,
    server: Server,
    push: Child,
    strays: Vec<i32>,
}

impl Place {
    fn with_a_long_push() -> Result<Self> {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
        let (git, pids) = (sandbox.path().join("git"), sandbox.path().join("pids"));
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' index-pack '*)\n  sleep 600 &\n  echo \"$! $$ .\" > {}\n  exec sleep 600;;\n\
             esac\nexec git \"$@\"\n",
            pids.display()
        );
        std::fs::write(&git, script)?;
        std::fs::set_permissions(&git, std::fs::Permissions::from_mode(0o755))?;
        let settings = vec![("git.binary".to_owned(), git.display().to_string())];
        let options = ServerOptions { settings, ..ServerOptions::default() };
        let server = Server::start(&sandbox, &options)?;
        let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
        run(&mut alice.git(2, &["init", "--quiet", "t"]))?.expect_success("git init")?;
        let commit = ["-C", "t", "commit", "--quiet", "--allow-empty", "--message", "root"];
        run(&mut alice.git(2, &commit))?.expect_success("git commit")?;
        let url = format!("http://{}/alice/tools", server.http);
        let mut push = alice.git(2, &["-C", "t", "push", "--quiet", &url, "HEAD:main"]);
        let push = push.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut told = String::new();
        wait_until("git indexes", LIMIT, || {
            told = std::fs::read_to_string(&pids).unwrap_or_default();
            told.ends_with(".\n")
        })?;
        let strays: Vec<i32> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
        ensure!(strays.len() == 2, "two processes are told: {told}");
        wait_until("two long processes", LIMIT, || strays.iter().all(|pid| runs(*pid, LONG)))?;
        Ok(Self { sandbox, options, server, push, strays })
    }

    /// Finds the process that is to outlive the server.
    fn warden(&self) -> Result<i32> {
        let server = format!("PPid:\t{}\n", self.server.pid());
        let is_it = |pid: &i32| {
            let read =
                |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            read("cmdline").split('\0').nth(1) == Some("warden") && read("status").contains(&server)
        };
        let processes = std::fs::read_dir("/proc")?.flatten();
        let mut pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
        pids.find(is_it).context("a server has a warden")
    }

    fn wait_until_they_are_gone(&self) -> Result<()> {
        wait_until("the end of git's processes", LIMIT, || !self.strays.iter().any(|pid| runs(*pid, LONG)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.strays.iter().filter(|pid| runs(**pid, LONG)) {
            let _ = kill(*pid);
        }
        let _ = self.push.kill();
        let _ = self.push.wait();
    }
}

/// Whether a process runs and has these words on its command line; one that is dead has none.
fn runs(pid: i32, words: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().contains(words)
}

fn kill(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid).context("a process id is positive")?;
    kill_process(pid, Signal::KILL).context("killing a process")
}

#[test]
fn git_ends_with_a_server_that_is_killed() -> Result<()> {
    let mut place = Place::with_a_long_push()?;
    let warden = place.warden()?;
    place.server.kill()?;
    place.wait_until_they_are_gone()?;
    wait_until("the end of the warden", LIMIT, || !runs(warden, WARDEN))
}

#[test]
fn git_that_outlived_server_and_warden_ends_with_the_next_start() -> Result<()> {
    let mut place = Place::with_a_long_push()?;
    kill(place.warden()?)?;
    place.server.kill()?;
    ensure!(place.strays.iter().all(|pid| runs(*pid, LONG)), "nobody was there to end them");
    let mut server = place.server.start_again(&place.sandbox, &place.options)?;
    place.wait_until_they_are_gone()?;
    let log = place.sandbox.log();
    ensure!(log.contains("killed git processes that a dead server had left"), "the log tells: {log}");
    server.stop()
}

#[test]
fn a_server_that_stops_leaves_no_warden() -> Result<()> {
    let mut place = Place::with_a_long_push()?;
    let warden = place.warden()?;
    place.server.signal(Signal::TERM)?;
    wait_until("the wait for the push", LIMIT, || place.sandbox.log().contains("stopping: 1 running"))?;
    place.server.stop()?;
    place.wait_until_they_are_gone()?;
    wait_until("the end of the warden", LIMIT, || !runs(warden, WARDEN))
}
