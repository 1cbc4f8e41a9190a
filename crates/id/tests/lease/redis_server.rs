//! A Redis of the test's own, to freeze, kill and empty.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection};

/// The longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server with its own directory; it dies with the value.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts a server that writes no file, with further options.
    pub(crate) fn start(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        // The port is free when it is looked up and may be taken a moment later: then the next one is tried.
        for _ in 0..20 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            if let Some(child) = spawn(port, dir.path(), &options) {
                return Self { child, port, dir, options };
            }
        }
        panic!("redis-server does not start (Debian's package redis-server is needed)");
    }

    /// Where it is, in a namespace of the tests.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0?ns=test", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Opens a connection of the test's own.
    pub(crate) fn connect(&self) -> Connection {
        Client::open(format!("redis://127.0.0.1:{}/0", self.port)).unwrap().get_connection().unwrap()
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.connect().get(key).unwrap()
    }

    /// Tells what the namespace has as its floor.
    pub(crate) fn floor(&self) -> Vec<String> {
        redis::cmd("HGETALL").arg("test:id-floor").query(&mut self.connect()).unwrap()
    }

    /// Runs a command.
    pub(crate) fn run(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.exec(&mut self.connect()).unwrap();
    }

    /// Stops the process without ending it: connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port, with the file it has written, if any.
    pub(crate) fn start_again(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(child) = spawn(self.port, self.dir.path(), &self.options) {
                self.child = child;
                return;
            }
        }
        panic!("redis-server starts again on its port");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill {signal}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // SIGKILL ends a frozen process too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server; `None` if it ends instead of listening.
fn spawn(port: u16, dir: &std::path::Path, options: &[String]) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
        .args(["--dir", &dir.display().to_string()])
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let is_ready =
        BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line.contains("Ready to accept"));
    if !is_ready {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    Some(child)
}
