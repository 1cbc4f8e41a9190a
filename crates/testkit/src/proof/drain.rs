//! SIGTERM while transfers run.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Person, Sandbox, Server, ServerOptions, SlowProxy, run, wait_until};

/// How much of the drain proof to run.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Size of the repository that is transferred, in bytes.
    pub size_bytes: usize,
    /// Speed of the transfers.
    pub bytes_per_second: u64,
}

/// Sends SIGTERM in the middle of a slow clone and a slow push, over both transports: all of them finish, a
/// new connection is refused, and the server ends with status 0.
///
/// # Errors
/// If a transfer is cut, or the server ends otherwise.
pub fn drain(binary: &Path, proof: &Drain) -> Result<()> {
    Sandbox::prove(binary, |sandbox| stop_amid(sandbox, proof))
}

fn stop_amid(sandbox: &Sandbox, proof: &Drain) -> Result<()> {
    let options = ServerOptions::default();
    let mut server = Server::start(sandbox, &options)?;
    let alice = Person::with_account(sandbox, "alice", &[], &options)?;
    run(&mut sandbox.hakata(&["repo", "create", "alice/big"]))?.expect_success("hakata repo create")?;
    run(&mut alice.git(2, &["init", "--quiet", "t"]))?.expect_success("git init")?;
    commit(sandbox, &alice, "a", proof.size_bytes)?;
    let direct = format!("http://{}/alice/big", server.http);
    run(&mut alice.git(2, &["-C", "t", "push", "--quiet", &direct, "HEAD:main"]))?
        .expect_success("the first push")?;
    commit(sandbox, &alice, "b", proof.size_bytes)?;
    let http = SlowProxy::start(&server.http, proof.bytes_per_second)?;
    let ssh = SlowProxy::start(&server.ssh, proof.bytes_per_second)?;
    let http_url = format!("http://{}/alice/big", http.address);
    let ssh_url = format!("ssh://git@{}/alice/big", ssh.address);
    let transfers = [
        vec!["clone", "--quiet", &http_url, "from-http"],
        vec!["clone", "--quiet", &ssh_url, "from-ssh"],
        vec!["-C", "t", "push", "--quiet", &http_url, "HEAD:by-http"],
        vec!["-C", "t", "push", "--quiet", &ssh_url, "HEAD:by-ssh"],
    ];
    std::thread::scope(|scope| {
        let start = |arguments: &Vec<&str>| {
            let mut command = alice.git(2, arguments);
            scope.spawn(move || run(&mut command))
        };
        let running: Vec<_> = transfers.iter().map(start).collect();
        let underway = proof.size_bytes as u64 / 2;
        wait_until("transfers", Duration::from_secs(60), || {
            http.passed() > underway && ssh.passed() > underway
        })?;
        ensure!(running.iter().all(|thread| !thread.is_finished()), "a transfer was over before SIGTERM");
        server.signal(rustix::process::Signal::TERM)?;
        wait_until("a refusal of new connections", Duration::from_secs(5), || {
            std::net::TcpStream::connect(&server.http).is_err()
        })?;
        for (thread, arguments) in running.into_iter().zip(&transfers) {
            let output = thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            output.expect_success(&format!("git {arguments:?} during SIGTERM"))?;
        }
        let code = server.wait()?;
        ensure!(code == Some(0), "the server ended with {code:?} after SIGTERM");
        Ok(())
    })?;
    check_after(sandbox, &alice, &options)
}

/// What was pushed during the drain is there afterwards.
fn check_after(sandbox: &Sandbox, alice: &Person, options: &ServerOptions) -> Result<()> {
    let server = Server::start(sandbox, options)?;
    let url = format!("http://{}/alice/big", server.http);
    let listing = run(&mut alice.git(2, &["ls-remote", &url]))?.expect_success("git ls-remote")?.stdout;
    let head =
        run(&mut alice.git(2, &["-C", "t", "rev-parse", "HEAD"]))?.expect_success("git rev-parse")?.stdout;
    for branch in ["by-http", "by-ssh"] {
        let line = format!("{}\trefs/heads/{branch}", head.trim());
        ensure!(
            listing.contains(&line),
            "{branch} was acknowledged during the drain and is gone:\n{listing}"
        );
    }
    Ok(())
}

fn commit(sandbox: &Sandbox, alice: &Person, name: &str, size_bytes: usize) -> Result<()> {
    let mut bytes = vec![0; size_bytes];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("asking for random bytes: {error}"))?;
    std::fs::write(sandbox.work().join("t").join(name), bytes).context("writing a large file")?;
    run(&mut alice.git(2, &["-C", "t", "add", "--all"]))?.expect_success("git add")?;
    run(&mut alice.git(2, &["-C", "t", "commit", "--quiet", "--message", name]))?
        .expect_success("git commit")?;
    Ok(())
}
