//! A mail server that other people wrote (Python's aiosmtpd), which keeps what it is given.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{Process, python, wait_until};

const SCRIPT: &str = include_str!("mail_server.py");

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A mail server, killed on drop.
pub struct MailServer {
    process: Process,
    directory: PathBuf,
    options: Value,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl MailServer {
    /// Starts a server that keeps its letters in `directory`, which is made. Options are those of the script: `tls`,
    /// `certificate`, `key`, `user`, `password`, and the answers `rcpt` and `data`.
    ///
    /// # Errors
    /// If it does not listen in time; `./test` installs what it needs.
    pub fn start(directory: &Path, options: Value) -> Result<Self> {
        std::fs::create_dir_all(directory).context("making a directory for mail")?;
        let (process, port) = spawn(directory, &options)?;
        Ok(Self { process, directory: directory.to_owned(), options, port })
    }

    /// Returns the letters so far, as Python's parser reads them.
    pub fn letters(&self) -> Vec<Value> {
        let read = |n: usize| {
            let text = std::fs::read(self.directory.join(format!("{n:04}.json"))).ok()?;
            serde_json::from_slice(&text).ok()
        };
        (1..).map_while(read).collect()
    }

    /// Returns the letter that came last, whether it was accepted or not.
    pub fn offered(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.directory.join("offered.json")).ok()?).ok()
    }

    /// Kills the server on the spot.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts a killed server again on its port, in a directory of its own.
    ///
    /// # Errors
    /// As [`MailServer::start`].
    pub fn start_again(&mut self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).context("making a directory for mail")?;
        self.options["port"] = json!(self.port);
        (self.process, self.port) = spawn(directory, &self.options)?;
        directory.clone_into(&mut self.directory);
        Ok(())
    }
}

fn spawn(directory: &Path, options: &Value) -> Result<(Process, u16)> {
    let (script, log) = (directory.join("mail_server.py"), directory.join("log"));
    std::fs::write(&script, SCRIPT).context("writing the mail server")?;
    let mut command = Command::new(python()?);
    command.arg("-u").arg(&script).arg(directory).arg(options.to_string());
    let mut process = Process::spawn(&mut command, &log).context("starting the mail server")?;
    let listens =
        wait_until("a mail server", START_LIMIT, || directory.join("port").exists() || process.has_ended());
    match std::fs::read_to_string(directory.join("port")) {
        Ok(port) if listens.is_ok() => Ok((process, port.trim().parse().context("reading a port")?)),
        _ => bail!("the mail server did not start:\n{}", std::fs::read_to_string(log).unwrap_or_default()),
    }
}
