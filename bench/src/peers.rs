//! The servers that are compared.

mod bare;
mod daemon;
mod hakata;
mod nginx;
mod sshd;

use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::meter::Meter;
use crate::repositories::Repository;

/// A running server.
pub(crate) struct Peer {
    /// Its name in the tables.
    pub(crate) name: &'static str,
    /// Host and port.
    pub(crate) address: String,
    /// What goes before a repository's name in a URL for git.
    pub(crate) base: String,
    /// The same as a path, for raw HTTP requests.
    pub(crate) path: String,
    /// Environment of git clients that talk to it.
    pub(crate) environment: Vec<(String, String)>,
    meters: Vec<Meter>,
    children: Vec<Child>,
}

impl Peer {
    /// CPU time of the server and all that it started, so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.meters.iter().map(Meter::used).sum()
    }

    /// The process that serves; not those that it starts.
    pub(crate) fn pid(&self) -> u32 {
        self.children.first().map_or(0, Child::id)
    }

    /// The URL of a repository for git.
    pub(crate) fn url(&self, repository: &str) -> String {
        format!("{}{repository}.git", self.base)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = std::process::Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

/// All servers of a run.
pub(crate) struct Peers {
    /// Hakata over HTTP.
    pub(crate) hakata: Peer,
    /// Hakata over SSH: the same process, so its meter is that of `hakata`.
    pub(crate) hakata_ssh: String,
    /// `hakata bare` over the same folder as nginx.
    pub(crate) bare: Peer,
    /// A Hakata that serves the first repository and is asked nothing else, and its URL over SSH: memory that was used
    /// and given back would hide what its connections take.
    pub(crate) quiet: (Peer, String),
    /// nginx, fcgiwrap and `git http-backend`.
    pub(crate) nginx: Peer,
    /// `git daemon`.
    pub(crate) daemon: Peer,
    /// OpenSSH's server with git-shell.
    pub(crate) sshd: Peer,
    _account: sshd::Account,
}

impl Peers {
    /// Starts every server and waits until all answer.
    pub(crate) fn start(folder: &Path, binary: &Path, repositories: &[Repository]) -> Result<Self> {
        let nginx = nginx::start(folder)?;
        let daemon = daemon::start(folder)?;
        let (sshd, account) = sshd::start(folder)?;
        let (hakata, hakata_ssh) = hakata::start("hakata", folder, binary, repositories)?;
        let quiet = hakata::start("quiet", folder, binary, &repositories[..1])?;
        let bare = bare::start(folder, binary)?;
        for peer in [&nginx, &daemon, &sshd, &hakata, &bare] {
            wait_for(&peer.address)?;
        }
        Ok(Self { hakata, hakata_ssh, quiet, bare, nginx, daemon, sshd, _account: account })
    }
}

/// Waits until something listens.
pub(crate) fn wait_for(address: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens on {address}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
