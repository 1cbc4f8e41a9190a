//! What git's configuration says for a repository: its own, the user's and the system's together, as git reads them.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use hakata_names::ObjectFormat;
use hakata_runtime::blocking::BlockingError;

use super::backend::Request;
use super::root::Repository;
use super::stamps::Stamps;
use crate::command::Subcommand;
use crate::process::{ChildError, ask};

/// Longest configuration that is read, in bytes.
const MAX_CONFIGURATION: u64 = 4 << 20;

/// Extensions that git knows since the oldest version that we run, so that a repository with them is read by it.
const EXTENSIONS: [&str; 4] = ["noop", "objectformat", "preciousobjects", "worktreeconfig"];

/// All values of a repository. The last of several counts, as in git.
#[derive(Debug, Default)]
pub struct Configuration {
    values: HashMap<String, Option<Vec<u8>>>,
}

/// A configuration and the state of the files that it was read from.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) configuration: Arc<Configuration>,
    /// `None` if it may change without showing: then nothing that depends on it is kept.
    pub(super) stamps: Option<Stamps>,
}

/// Why git will not serve a repository, or why its configuration cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadConfigurationError {
    /// git itself refuses it: it belongs to another user, or is of a format that git does not know.
    #[error("git refuses {path}: {why}")]
    Refused {
        /// The repository.
        path: String,
        /// git's own words.
        why: String,
    },
    /// git did not run, or failed.
    #[error("reading the configuration of a repository")]
    Child(#[source] ChildError),
    /// There was no thread to look.
    #[error("looking at the configuration of a repository")]
    Busy(#[source] BlockingError),
}

/// A value is not of the kind that its key asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration key {key} has no value of its kind")]
pub struct OddValue {
    /// The key.
    pub key: String,
}

impl Known {
    /// Tells whether it is still what git would read. Blocks.
    pub(super) fn holds(&self) -> bool {
        self.stamps.as_ref().is_some_and(Stamps::hold)
    }
}

impl Configuration {
    /// Reads what `git config --list -z` says.
    fn parse(said: &[u8]) -> Self {
        let mut values = HashMap::new();
        for entry in said.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
            let (key, value) = match entry.iter().position(|byte| *byte == b'\n') {
                Some(at) => (&entry[..at], Some(entry[at + 1..].to_vec())),
                None => (entry, None),
            };
            values.insert(String::from_utf8_lossy(key).into_owned(), value);
        }
        Self { values }
    }

    /// Finds a truth value. `key` is written as git lists it: in lower case, but for what stands between dots.
    ///
    /// # Errors
    /// When it is there and is none: git dies of that.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, OddValue> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        // A key without `=` is true.
        let Some(value) = value else { return Ok(Some(true)) };
        let odd = || OddValue { key: key.to_owned() };
        let text = std::str::from_utf8(value).map_err(|_| odd())?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(Some(true)),
            "false" | "no" | "off" | "" => Ok(Some(false)),
            number => parse_number(number).map(|n| Some(n != 0)).ok_or_else(odd),
        }
    }

    /// Finds a number of bytes.
    ///
    /// # Errors
    /// As [`flag`](Self::flag).
    pub fn size(&self, key: &str) -> Result<Option<u64>, OddValue> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        let n = text.and_then(|text| parse_number(&text.to_ascii_lowercase()));
        n.and_then(|n| u64::try_from(n).ok()).map(Some).ok_or_else(|| OddValue { key: key.to_owned() })
    }

    /// Returns the format of the repository's objects, if it is one that we know.
    pub(super) fn object_format(&self) -> Option<ObjectFormat> {
        match self.values.get("extensions.objectformat") {
            None => Some(ObjectFormat::Sha1),
            Some(name) => ObjectFormat::from_name(std::str::from_utf8(name.as_deref()?).ok()?),
        }
    }

    fn has_includes(&self) -> bool {
        self.values.keys().any(|key| key.starts_with("include.") || key.starts_with("includeif."))
    }

    /// Whether an answer of upload-pack may differ from the next although nothing has changed.
    pub(super) fn is_restless(&self) -> bool {
        self.flag("transfer.advertisesid") != Ok(None)
            && self.flag("transfer.advertisesid") != Ok(Some(false))
    }

    /// Whether git is known to read a repository of this format.
    fn is_common_format(&self) -> bool {
        let version = self.values.get("core.repositoryformatversion").and_then(Option::as_deref);
        let mut extensions = self.values.keys().filter_map(|key| key.strip_prefix("extensions."));
        matches!(version, Some(b"0" | b"1")) && extensions.all(|it| EXTENSIONS.contains(&it))
    }
}

impl Repository {
    /// Returns the configuration: as it was last read, if its files have not changed since, and else from git.
    ///
    /// # Errors
    /// Also when git would not serve the repository at all, which is asked whenever that is not plain.
    pub async fn configuration(&self) -> Result<Arc<Configuration>, ReadConfigurationError> {
        Ok(self.known().await?.configuration.clone())
    }

    pub(super) async fn known(&self) -> Result<Arc<Known>, ReadConfigurationError> {
        if let Some(known) = self.known_to_hold() {
            return Ok(known.clone());
        }
        let (root, path) = (self.root().clone(), self.path().to_owned());
        let now = SystemTime::now();
        let stamps =
            self.git().blocking().run(move || Stamps::of_configuration(root.config_files(), &path).ok());
        let stamps = stamps.await.map_err(ReadConfigurationError::Busy)?;
        let stamps = stamps.filter(|stamps| stamps.were_settled(now));
        let configuration = self.read_configuration().await?;
        if !self.is_ours() || !configuration.is_common_format() {
            self.ask_whether_git_serves().await?;
        }
        // Whether a repository of another user is served is asked each time: the answer depends on more than files.
        let stamps = stamps.filter(|_| self.is_ours() && !configuration.has_includes());
        let known = Arc::new(Known { configuration: Arc::new(configuration), stamps });
        self.root().kept().keep_configuration(self.path(), &known);
        Ok(known)
    }

    async fn read_configuration(&self) -> Result<Configuration, ReadConfigurationError> {
        let command = self.command(Subcommand::Config).flag("--list").flag("-z");
        let asked = ask(self.git(), &command, Vec::new(), MAX_CONFIGURATION).await;
        let (finished, said) = asked.map_err(ReadConfigurationError::Child)?;
        if said.len() as u64 == MAX_CONFIGURATION {
            let too_long = io::Error::new(io::ErrorKind::FileTooLarge, "configuration is too long");
            let subcommand = Subcommand::Config.name();
            return Err(ReadConfigurationError::Child(ChildError::Io { subcommand, source: too_long }));
        }
        if !finished.status.success() {
            return Err(self.refused(finished.message()));
        }
        Ok(Configuration::parse(&said))
    }

    /// Asks git's own server for a file that every repository has.
    async fn ask_whether_git_serves(&self) -> Result<(), ReadConfigurationError> {
        let reply = self.ask_backend(Request::HEAD).await.map_err(ReadConfigurationError::Child)?;
        match reply.status {
            500 => Err(self.refused(reply.stderr)),
            _ => Ok(()),
        }
    }

    fn refused(&self, why: String) -> ReadConfigurationError {
        ReadConfigurationError::Refused { path: self.path().display().to_string(), why }
    }
}

/// Reads a number with git's units. Source: git-config(1), `int`.
fn parse_number(text: &str) -> Option<i64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.trim_start().parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::Configuration;

    #[test]
    fn values_are_read_as_git_reads_them() {
        let said = b"http.a\ntrue\0http.b\0http.c\nno\0http.d\n0\0http.e\n2k\0http.f\nperhaps\0http.g\n\0\
            http.a\nOFF\0http.h\n-1\0core.repositoryformatversion\n0\0";
        let configuration = Configuration::parse(said);
        for (key, expected) in [
            ("http.a", Some(Some(false))),
            ("http.b", Some(Some(true))),
            ("http.c", Some(Some(false))),
            ("http.d", Some(Some(false))),
            ("http.e", Some(Some(true))),
            ("http.f", None),
            ("http.g", Some(Some(false))),
            ("http.h", Some(Some(true))),
            ("http.absent", Some(None)),
        ] {
            assert_eq!(configuration.flag(key).ok(), expected, "{key}");
        }
        assert_eq!(configuration.size("http.e"), Ok(Some(2_048)));
        assert!(configuration.size("http.h").is_err() && configuration.size("http.b").is_err());
        assert!(configuration.is_common_format() && !configuration.has_includes());
    }

    #[test]
    fn what_is_not_common_is_asked_about() {
        for said in [
            &b"http.a\ntrue\0"[..],
            b"core.repositoryformatversion\n2\0",
            b"core.repositoryformatversion\n1\0extensions.refstorage\nreftable\0",
            b"core.repositoryformatversion\n1\0extensions.frobnicate\nyes\0",
        ] {
            assert!(!Configuration::parse(said).is_common_format(), "{}", String::from_utf8_lossy(said));
        }
        assert!(Configuration::parse(b"includeif.gitdir:/x.path\ny\0").has_includes());
        assert!(!Configuration::parse(b"transfer.advertisesid\n\0").is_restless());
        assert!(Configuration::parse(b"transfer.advertisesid\0").is_restless());
    }
}
