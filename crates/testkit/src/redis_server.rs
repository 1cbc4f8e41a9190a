//! A Redis of a test's own, to be frozen, killed and emptied.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::{Process, free_port, wait_until};

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long one command may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// A Redis server that syncs every write to its disk, killed on drop.
pub struct RedisServer {
    process: Process,
    directory: PathBuf,
    port: u16,
}

impl RedisServer {
    /// Starts Redis on a free port with its data in `directory`, which is made.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub fn start(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).context("making a directory for Redis")?;
        let port = free_port()?;
        let process = spawn(directory, port)?;
        let mut server = Self { process, directory: directory.to_owned(), port };
        server.wait()?;
        Ok(server)
    }

    /// Its URL for a namespace.
    pub fn url(&self, namespace: &str) -> String {
        format!("redis://127.0.0.1:{}?ns={namespace}", self.port)
    }

    /// Runs a command and returns its reply as text; a missing value is `None`.
    ///
    /// # Errors
    /// If Redis does not answer, or answers with an error.
    pub fn call(&self, words: &[&str]) -> Result<Option<String>> {
        call(self.port, words)
    }

    /// Stops or continues the process.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Kills the process on the spot.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts a killed server again, with its data or without.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_again(&mut self, data: Kept) -> Result<()> {
        if data == Kept::Nothing {
            std::fs::remove_dir_all(&self.directory).context("removing Redis's data")?;
            std::fs::create_dir_all(&self.directory).context("making a directory for Redis")?;
        }
        self.process = spawn(&self.directory, self.port)?;
        self.wait()
    }

    /// Waits for an answer. A client's own port may have been this one while nobody listened: then it is tried again.
    fn wait(&mut self) -> Result<()> {
        let port = self.port;
        let mut spawned = Ok(());
        let answers = wait_until("an answer of Redis", START_LIMIT, || {
            if self.process.has_ended() {
                spawned = spawn(&self.directory, port).map(|process| self.process = process);
            }
            spawned.is_err() || call(port, &["PING"]).is_ok_and(|pong| pong.as_deref() == Some("PONG"))
        });
        spawned.and(answers)
    }
}

/// What a server finds when it starts again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// All that it acknowledged.
    Everything,
    /// An empty directory.
    Nothing,
}

fn spawn(directory: &Path, port: u16) -> Result<Process> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(directory);
    Process::spawn(&mut command, &directory.join("log")).context("starting Redis")
}

fn call(port: u16, words: &[&str]) -> Result<Option<String>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connecting to Redis")?;
    stream.set_read_timeout(Some(CALL_LIMIT))?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes()).context("asking Redis")?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).context("hearing from Redis")?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", answer)) => Ok(Some(answer.to_owned())),
        Some(("$", "-1")) => Ok(None),
        Some(("$", size)) => {
            let mut answer = vec![0; size.parse().context("reading a size from Redis")?];
            stream.read_exact(&mut answer).context("hearing from Redis")?;
            Ok(Some(String::from_utf8(answer).context("reading an answer of Redis")?))
        }
        _ => bail!("Redis answered {line:?} to {words:?}"),
    }
}
