//! The command line for a folder of ordinary repositories.

use crate::cli::ListenOn;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

/// Which folder to serve, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct BareArgs {
    /// The folder; repositories are found by their paths below it, with or without .git
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,
    /// Where Git over HTTP listens, as http.address
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<ListenOn>,
    /// Where metrics and health listen, or off, as admin.address
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<ListenOn>,
    /// Writes the bound addresses here as JSON when every listener is up
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Serves every repository, not only those with git-daemon-export-ok
    #[arg(long)]
    pub(crate) export_all: bool,
    /// Names and hashed passwords of those who may push, as htpasswd writes them
    #[arg(long, value_name = "FILE")]
    pub(crate) htpasswd: Option<PathBuf>,
    /// refs=off asks git for refs each time, instead of keeping its answers while nothing changes
    #[arg(long, value_name = "WHAT=on|off", default_value = "refs=on")]
    pub(crate) native: Native,
}

/// What is answered without a process of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Native {
    /// Whether refs are.
    pub(crate) refs: Switch,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

impl FromStr for Native {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refs = text.strip_prefix("refs=").and_then(|word| Switch::from_str(word, false).ok());
        refs.map(|refs| Self { refs }).ok_or_else(|| "write refs=on or refs=off".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Native, Switch};

    #[test]
    fn only_refs_are_switched() {
        assert_eq!("refs=off".parse(), Ok(Native { refs: Switch::Off }));
        for text in ["", "refs", "refs=", "refs=OFF", "packs=on"] {
            assert!(text.parse::<Native>().is_err(), "{text:?}");
        }
    }
}
