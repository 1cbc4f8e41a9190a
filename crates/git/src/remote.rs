//! Fetching a repository of somebody else's over HTTP into a quarantine, from an address that the caller chose.
//!
//! git asks nobody else: no redirects, no proxies, no credentials, no other protocol, and the host means the address that
//! was looked at. What comes is not trusted: it is read like any foreign directory (see [`foreign`](crate::foreign)).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hakata_names::RefName;

use crate::command::{Command, Subcommand};
use crate::process::{Child, ChildError, ask};
use crate::quarantine::Quarantine;
use crate::refs::Head;
use crate::{Git, init};

/// What is fetched: what a repository is about. Other names (`refs/pull/…`) are the other host's affair.
const REFSPECS: [&str; 3] =
    ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+refs/notes/*:refs/notes/*"];

/// Most output of `ls-remote` that is read, in bytes.
const MAX_OUTPUT: u64 = 64 << 10;

/// Time between two looks at how much has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A repository at a distance.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `http://…` or `https://…`, checked by the caller.
    pub url: String,
    /// The host in it, its port, and the address that it shall mean; `None` if the host is an address.
    pub resolved: Option<(String, u16, IpAddr)>,
    /// Most bytes that are fetched.
    pub max_bytes: u64,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The other side has no such repository, refuses, redirects, or sends what git does not accept; the text is git's.
    #[error("the other side does not serve this repository: {0}")]
    Refused(String),
    /// It sends more than was allowed.
    #[error("the repository is larger than {limit} bytes")]
    TooLarge {
        /// What was allowed.
        limit: u64,
    },
    /// git did not run.
    #[error("running git")]
    Child(#[source] ChildError),
    /// What came cannot be kept.
    #[error("keeping what was fetched")]
    Storage(#[source] io::Error),
}

impl Remote {
    /// Fetches branches, tags, notes and `HEAD` into a quarantine, telling how many bytes have come. Dropping the future
    /// kills git.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(
        &self,
        git: &Git,
        into: &Quarantine,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<(), FetchError> {
        if let Some(name) = self.head(git, into).await? {
            let dir = into.dir().clone();
            let write = move || init::write_head(&dir, &Head::Symbolic(name));
            let written = git.blocking().run(write).await;
            written
                .map_err(|error| FetchError::Storage(io::Error::other(error)))?
                .map_err(FetchError::Storage)?;
        }
        let command = self
            .command(Subcommand::Fetch, into)
            .flag("--no-tags")
            .flag("--no-write-fetch-head")
            .flag("--no-auto-maintenance")
            .flag("--no-recurse-submodules")
            .flag("--quiet")
            .operand(&self.url);
        let command = REFSPECS.iter().fold(command, |command, refspec| command.operand(refspec));
        let mut child = Child::spawn(git, &command).await.map_err(FetchError::Child)?;
        let packs = into.dir().objects().join("pack");
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                ended = child.ended() => break ended.map_err(|error| FetchError::Child(child.io_error(error)))?,
                _ = ticks.tick() => {
                    let n_bytes = growing(&packs).await;
                    if n_bytes > self.max_bytes {
                        return Err(FetchError::TooLarge { limit: self.max_bytes });
                    }
                    progress(n_bytes);
                }
            }
        }
        let finished = child.finish().await.map_err(FetchError::Child)?;
        if !finished.status.success() {
            return Err(FetchError::Refused(finished.message()));
        }
        match growing(&packs).await {
            n_bytes if n_bytes > self.max_bytes => Err(FetchError::TooLarge { limit: self.max_bytes }),
            _ => Ok(()),
        }
    }

    /// Asks where `HEAD` points, if the other side says so.
    async fn head(&self, git: &Git, into: &Quarantine) -> Result<Option<RefName>, FetchError> {
        let command =
            self.command(Subcommand::LsRemote, into).flag("--symref").operand(&self.url).operand("HEAD");
        let (finished, said) = ask(git, &command, Vec::new(), MAX_OUTPUT).await.map_err(FetchError::Child)?;
        if !finished.status.success() {
            return Err(FetchError::Refused(finished.message()));
        }
        let mut lines = said.split(|byte| *byte == b'\n');
        let name = lines.find_map(|line| line.strip_prefix(b"ref: ")?.strip_suffix(b"\tHEAD"));
        Ok(name.and_then(|name| RefName::parse(name).ok()).filter(|name| name.branch().is_some()))
    }

    fn command(&self, subcommand: Subcommand, into: &Quarantine) -> Command {
        let command = Command::new(subcommand)
            .dir(into.dir())
            .config("protocol.http.allow", "always")
            .config("protocol.https.allow", "always")
            .config("http.followRedirects", "false")
            .config("http.proxy", "")
            .config("http.lowSpeedLimit", 1_000)
            .config("http.lowSpeedTime", 60)
            .config("credential.helper", "")
            .config("core.askPass", "false");
        match &self.resolved {
            Some((host, port, address)) => {
                let address = match address {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                };
                command.config("http.curloptResolve", format!("{host}:{port}:{address}"))
            }
            None => command,
        }
    }
}

/// Measures packs, also one that is being written.
async fn growing(dir: &std::path::Path) -> u64 {
    let mut n_bytes = 0;
    if let Ok(mut entries) = tokio::fs::read_dir(dir).await {
        while let Ok(Some(entry)) = entries.next_entry().await {
            n_bytes += entry.metadata().await.map_or(0, |at| at.len());
        }
    }
    n_bytes
}
