//! What a connection costs that is open and does nothing: memory of the server for each.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Effort;
use crate::client::{Client, discovery};
use crate::meter::resident_kib;
use crate::peers::{Peer, Peers};
use crate::report::Report;
use crate::repositories::Repository;

/// Connections over SSH; each is a client process here.
const N_SSH: u32 = 100;

/// Connections over HTTP, fewer than one address may have.
const N_HTTP: u32 = 500;

/// The most that one may cost.
const MOST_KIB: f64 = 100.0;

/// Connections that have logged in, or sent a request, and wait.
pub(crate) fn connections(
    peers: &Peers,
    repositories: &[Repository],
    _: Effort,
    report: &mut Report,
) -> Result<()> {
    let Some(folder) = repositories.first().and_then(|repository| repository.path.parent()) else {
        return Ok(());
    };
    let hakata = &peers.quiet.0;
    // The first ones pay for what all share.
    drop(Logins::open(peers, folder, 10)?);
    let before = resident_kib(hakata.pid())?;
    let logins = Logins::open(peers, folder, N_SSH)?;
    let each = (resident_kib(hakata.pid())? - before) / f64::from(N_SSH);
    drop(logins);
    report.memory("G11", &format!("{N_SSH} idle SSH connections"), each, MOST_KIB);
    let request = discovery(&hakata.address, &format!("{}small.git", hakata.path));
    let open = || -> Result<Client> {
        let mut client = Client::connect(&hakata.address)?;
        client.call(&request)?;
        Ok(client)
    };
    drop(open()?);
    let before = resident_kib(hakata.pid())?;
    let clients = (0..N_HTTP).map(|_| open()).collect::<Result<Vec<Client>>>()?;
    let each = (resident_kib(hakata.pid())? - before) / f64::from(N_HTTP);
    drop(clients);
    report.memory("G11", &format!("{N_HTTP} idle HTTP connections"), each, MOST_KIB);
    Ok(())
}

/// Waits until the server has nothing to do any more: the last words of each login are on their way when its client goes to
/// the background.
fn wait_until_idle(server: &Peer) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut before = server.cpu()?;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = server.cpu()?;
        if now - before < Duration::from_millis(1) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the server does not become idle");
        before = now;
    }
}

/// Clients of OpenSSH that have logged in and run nothing; they end when this is dropped.
struct Logins {
    host: String,
    sockets: Vec<String>,
}

impl Logins {
    fn open(peers: &Peers, folder: &Path, n: u32) -> Result<Self> {
        let (_, command) = peers.sshd.environment.first().context("a client of ssh has a key")?;
        let host = peers.quiet.1.rsplit_once("/bench/").map_or("", |(host, _)| host).to_owned();
        let mut logins = Self { host, sockets: Vec::new() };
        for number in 0..n {
            let socket = folder.join(format!("ssh-{number}")).display().to_string();
            // It goes to the background when it has logged in.
            let status = shell(&format!("{command} -M -S {socket} -f -N {}", logins.host));
            ensure!(status.context("running ssh")?.success(), "ssh does not log in");
            logins.sockets.push(socket);
        }
        wait_until_idle(&peers.quiet.0)?;
        Ok(logins)
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _ = Command::new("ssh").args(["-q", "-S", socket, "-O", "exit", &self.host]).output();
        }
    }
}

fn shell(line: &str) -> std::io::Result<std::process::ExitStatus> {
    Command::new("sh").args(["-c", line]).status()
}
