//! Repositories of other hosts over HTTP, at addresses that the caller chose: listed, fetched from into a quarantine,
//! pushed to.
//!
//! git asks nobody else: no redirects, no proxies, no other protocol, and the host means the addresses that were looked
//! at. A login is handed to git by its environment, which only its own user can read, never by its command line. What
//! comes is not trusted: it is read like any foreign directory (see [`foreign`](crate::foreign)), or packed anew.

mod fetch;
mod list;
mod push;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hakata_runtime::secret::Secret;

pub use list::Listed;
pub use push::{PushResult, RefPush};

use crate::GitDir;
use crate::command::{Command, Subcommand};
use crate::process::ChildError;
use crate::quarantine::{Fsck, IndexPackError};

/// A repository at a distance.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `http://…` or `https://…` without a login, checked by the caller.
    pub url: String,
    /// The host in it, its port, and the addresses that it shall mean; `None` if the host is an address.
    pub resolved: Option<(String, u16, Vec<IpAddr>)>,
    /// Most bytes that are fetched.
    pub max_bytes: u64,
    /// Who we say that we are.
    pub login: Option<Login>,
    /// The authorities in PEM that may vouch for the host; `None`: those of the machine.
    pub authorities: Option<PathBuf>,
    /// How strictly fetched objects are looked at.
    pub fsck: Fsck,
}

/// A name and a password, or a token in its place.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name; some hosts want none, or any, beside a token.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

/// Why nothing was fetched or pushed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The other side cannot be reached, has no such repository, refuses, redirects, or sends what git does not accept;
    /// the text is git's.
    #[error("the other side does not serve this repository: {0}")]
    Refused(String),
    /// It asks for a login, or refuses the one that it was shown.
    #[error("the other side asks for a login, or refuses the one that it got")]
    Login,
    /// Its objects are named by another hash function.
    #[error("the other side names its objects by another hash function")]
    Format,
    /// It sends more than was allowed.
    #[error("the repository is larger than {limit} bytes")]
    TooLarge {
        /// What was allowed.
        limit: u64,
    },
    /// It has more refs than are read.
    #[error("the repository has too many refs: more than {limit}")]
    TooManyRefs {
        /// What was allowed.
        limit: usize,
    },
    /// git did not run.
    #[error("running git")]
    Child(#[source] ChildError),
    /// What came cannot be kept.
    #[error("keeping what was fetched")]
    Storage(#[source] io::Error),
    /// What came cannot be packed, or is not accepted.
    #[error("taking in what was fetched")]
    Index(#[source] IndexPackError),
}

impl Remote {
    /// Describes a repository that anybody may read, of any size, whose host is an address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            resolved: None,
            max_bytes: u64::MAX,
            login: None,
            authorities: None,
            fsck: Fsck::Strict,
        }
    }

    /// Starts a command that reaches this repository and nothing else.
    fn command(&self, subcommand: Subcommand, dir: &GitDir) -> Command {
        let mut command = Command::new(subcommand)
            .dir(dir)
            .config("protocol.http.allow", "always")
            .config("protocol.https.allow", "always")
            // Neither redirects nor the alternates that a plain file server may name.
            .config("http.followRedirects", "false")
            .config("http.proxy", "")
            // Of a quiet side comes a sign of life now and then, however long it prepares a pack; the caller bounds the whole.
            .config("http.lowSpeedLimit", 1)
            .config("http.lowSpeedTime", 600)
            .config("credential.helper", "")
            .config("core.askPass", "false");
        if let Some((host, port, addresses)) = &self.resolved {
            let shown = |address: &IpAddr| match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            };
            let addresses = addresses.iter().map(shown).collect::<Vec<_>>().join(",");
            command = command.config("http.curloptResolve", format!("{host}:{port}:{addresses}"));
        }
        if let Some(authorities) = &self.authorities {
            command = command.config("http.sslCAInfo", authorities.display());
        }
        if self.fsck == Fsck::Hashes {
            command = command.config("fetch.fsckObjects", "false");
        }
        match &self.login {
            Some(login) => command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "http.extraHeader")
                .secret_env("GIT_CONFIG_VALUE_0", login.header()),
            None => command,
        }
    }
}

impl Login {
    /// Renders the header that git is to send. Source: RFC 7617.
    fn header(&self) -> Secret<String> {
        let pair = Secret::new(format!("{}:{}", self.user, self.password.expose()));
        Secret::new(format!("Authorization: Basic {}", STANDARD.encode(pair.expose())))
    }
}

impl FetchError {
    /// Makes the error of a git that ended with one, by what it says.
    fn refused(message: String) -> Self {
        let asks = ["could not read Username", "could not read Password", "Authentication failed"];
        if asks.iter().any(|words| message.contains(words)) {
            return Self::Login;
        }
        if message.contains("mismatched algorithms") {
            return Self::Format;
        }
        Self::Refused(message)
    }
}

#[cfg(test)]
mod tests;
