//! The way to repositories of other hosts: every mirror and every import goes through here.
//!
//! ```text
//! URL ──parse──▶ Target ──Guard::pin──▶ judged addresses ──▶ git, which connects to these and to nothing else
//! ```
//!
//! Names are resolved and judged anew for each attempt, by the rules that hold for webhooks: see [`hakata_egress`].

mod login;
mod trouble;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hakata_egress::{Guard, Target};
use hakata_git::quarantine::Fsck;
use hakata_git::remote::{Login, Remote};

pub(crate) use login::LoginWish;
pub(crate) use trouble::{Trouble, told};

use crate::{Error, Forge, Kind};

/// Reaches repositories of other hosts; cheap to clone.
#[derive(Clone, Debug)]
pub struct Remotes {
    pub(crate) forge: Forge,
    guard: Guard,
    /// The authorities that git is to trust, where they are not those of the machine alone.
    authorities: Option<PathBuf>,
}

impl Remotes {
    /// Reaches what `guard` lets it. Authorities beside those of the machine are written to `authorities` for git to
    /// read. Blocks for a moment.
    ///
    /// # Errors
    /// When that file cannot be written.
    pub fn new(forge: Forge, guard: Guard, authorities: PathBuf) -> io::Result<Self> {
        let authorities = match guard.authorities_pem()? {
            Some(pem) => {
                std::fs::write(&authorities, pem)?;
                Some(authorities)
            }
            None => None,
        };
        Ok(Self { forge, guard, authorities })
    }

    /// Finds out where a URL leads now, and whether it may be gone there.
    pub(crate) async fn remote(
        &self,
        url: &str,
        login: Option<Login>,
        max_bytes: u64,
        fsck: Fsck,
    ) -> Result<Remote, Trouble> {
        let target = parse_url(url)?;
        let pinned = self.guard.pin(&target).await?;
        let addresses: Vec<IpAddr> = pinned.addresses().iter().map(|address| address.ip()).collect();
        let host = target.host();
        let is_name = host.parse::<IpAddr>().is_err();
        Ok(Remote {
            url: target.as_str().to_owned(),
            resolved: is_name.then(|| (host, target.port(), addresses)),
            max_bytes,
            login,
            authorities: self.authorities.clone(),
            fsck,
        })
    }
}

/// Parses the URL of a repository: `http` or `https`, without a login, a query or a fragment.
pub(crate) fn parse_url(url: &str) -> Result<Target, Error> {
    let refuse = |why: &str| Error::new(Kind::Invalid, format!("the URL cannot be used: {why}"));
    let target = Target::parse(url).map_err(|error| {
        let refused = refuse(&error.to_string());
        match error {
            hakata_egress::ParseTargetError::Credentials => refused
                .with_hint("name the user with --user, and give the password or token to --password-stdin"),
            hakata_egress::ParseTargetError::Scheme => {
                refused.with_hint("repositories of other hosts are reached over https, or http")
            }
            _ => refused,
        }
    })?;
    // What git is told of a host's addresses is a small language: a name may not be mistaken for its other words.
    let host = target.host();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    if host.starts_with(['-', '+']) || !host.chars().all(is_plain) {
        return Err(refuse("its host is no name or address"));
    }
    if target.as_str().contains(['?', '#']) {
        return Err(refuse("it has a query"));
    }
    Ok(target)
}

/// Runs an attempt for as long as it may take.
pub(crate) async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let late = || Trouble::Later(format!("took longer than {} s", limit.as_secs()));
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use super::parse_url;

    #[test]
    fn only_plain_urls_are_taken() {
        assert_eq!(
            parse_url("HTTPS://Git.Example.org/a/b.git").unwrap().as_str(),
            "https://git.example.org/a/b.git"
        );
        for url in [
            "ssh://git@example.org/x",
            "git@example.org:x",
            "file:///etc",
            "ext::sh -c id",
            "https://bot:secret@example.org/x",
            "https://example.org/x?service=y",
            "--upload-pack=x",
            "https://-rebound.example.org/x",
            "https://+rebound.example.org/x",
            "https://a,b.example.org/x",
            "",
        ] {
            let refused = parse_url(url).unwrap_err();
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }
}
