//! A running `hakata bare`, and a client that says exactly what it is told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, killed on drop.
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) http: String,
    admin: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case and values, in order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// Serves `root` with the files that belong to the server below `home`, which is its `HOME` too.
    pub(crate) fn start(root: &Path, home: &Path, flags: &[&str]) -> Self {
        let ready = home.join("ready.json");
        let log = std::fs::File::create(home.join("server.log")).unwrap();
        let mut child = command(root, home, flags)
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_until("a ready server", || ready.exists() || child.try_wait().unwrap().is_some());
        let log = || std::fs::read_to_string(home.join("server.log")).unwrap_or_default();
        let addresses = std::fs::read(&ready).unwrap_or_else(|_| panic!("it did not start:\n{}", log()));
        let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
        let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
        Self { child, http: address("http"), admin: address("admin") }
    }

    /// The URL of a repository.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.http)
    }

    pub(crate) fn send(&self, request: &[u8]) -> Reply {
        send(&self.http, request).expect("an answer")
    }

    /// Reads a metric; absent is zero.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let reply =
            send(&self.admin, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let text = String::from_utf8(reply.body).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits for the end after a signal.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        wait_until("the server's end", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line, on free ports and with nothing of this test's own environment.
pub(crate) fn command(root: &Path, home: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hakata"));
    command.arg("bare").arg("--root").arg(root).args(["--admin", "127.0.0.1:0"]);
    if !flags.contains(&"--http") {
        command.args(["--http", "127.0.0.1:0"]);
    }
    command.args(flags).current_dir(home).env_clear().env("HOME", home).env("TMPDIR", home);
    command
}

/// Sends bytes and reads to the end of the connection; `None` if no whole answer came.
pub(crate) fn send(address: &str, request: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let request = request.to_vec();
    let writing = std::thread::spawn(move || writer.write_all(&request));
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    // A server that refuses early closes early: what it said still counts.
    let _ = writing.join().unwrap();
    parse(&said)
}

fn parse(said: &[u8]) -> Option<Reply> {
    let end = said.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let rest = &said[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return parse(rest);
    }
    let field =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let fields: Vec<_> = lines.filter_map(field).collect();
    let is_chunked = fields.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked { unchunk(rest)? } else { rest.to_vec() };
    Some(Reply { status, fields, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + length)?);
        rest = rest.get(end + 4 + length..)?;
    }
}

/// Waits for a condition.
pub(crate) fn wait_until(what: &str, mut is_met: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_met() {
        assert!(Instant::now() < until, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
