//! A running `hakata id`: one alone, or one of several in a sandbox; waited for or not.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::server::{variable, wrapped};
use crate::{FakeClock, Process, Sandbox, ServerOptions, Talk, wait_until};

/// How long a start may take, a wait for an old fence included.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An id server that may not be ready yet, killed on drop.
pub struct IdNode {
    process: Process,
    ready: PathBuf,
    log: PathBuf,
}

/// An id server that is ready, killed on drop.
pub struct IdServer {
    node: IdNode,
    /// Where the memcached protocol is: `127.0.0.1:PORT`, or `unix:PATH`.
    pub id: String,
    /// Where HTTP is.
    pub http: String,
    /// Where gRPC is.
    pub grpc: String,
    /// Where metrics and health are.
    pub admin: String,
}

impl IdNode {
    /// Starts a server of every protocol on free ports, by its own clock if it gets one; it keeps its data, its addresses
    /// and its log in the sandbox under `name`.
    ///
    /// # Errors
    /// If there is no process.
    pub fn spawn(
        sandbox: &Sandbox,
        name: &str,
        options: &ServerOptions,
        clock: Option<&FakeClock>,
    ) -> Result<Self> {
        let path = |end: &str| sandbox.path().join(format!("{name}{end}"));
        let (ready, log) = (path(".ready.json"), path(".log"));
        let _ = std::fs::remove_file(&ready);
        let mut server = sandbox.bare_hakata();
        server.arg("id").arg("--data").arg(path("")).arg("--ready-file").arg(&ready);
        let mut command = wrapped(server, sandbox, options);
        for key in ["id.address", "id.http", "id.grpc", "admin.address"] {
            command.env(variable(key), "127.0.0.1:0");
        }
        command.envs(options.environment());
        command.envs(clock.iter().flat_map(|clock| clock.environment()));
        let process = Process::spawn(&mut command, &log).context("starting an id server")?;
        Ok(Self { process, ready, log })
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// If it ends or is not ready in time; the error carries its log.
    pub fn ready(mut self) -> Result<IdServer> {
        let started = wait_until("a ready id server", START_LIMIT, || {
            self.addresses().is_some() || self.process.has_ended()
        });
        let addresses = self.addresses().filter(|_| started.is_ok() && !self.process.has_ended());
        let Some(addresses) = addresses else {
            bail!("the id server did not start:\n{}", self.log());
        };
        let address = |key: &str| addresses[key].as_str().unwrap_or_default().to_owned();
        Ok(IdServer {
            id: address("id"),
            http: address("id_http"),
            grpc: address("id_grpc"),
            admin: address("admin"),
            node: self,
        })
    }

    /// Where the memcached protocol is; `None` until it is.
    pub fn address(&self) -> Option<String> {
        self.addresses()?["id"].as_str().map(str::to_owned)
    }

    /// What it logged so far, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process, to be signalled.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn addresses(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(&self.ready).ok()?).ok()
    }
}

impl IdServer {
    /// Starts the one server of a sandbox, in its data directory, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends or is not ready in time; the error carries its log.
    pub fn start(sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        Self::start_as(sandbox, "data", options)
    }

    /// Starts one of several servers and waits until it is ready.
    ///
    /// # Errors
    /// As [`IdServer::start`].
    pub fn start_as(sandbox: &Sandbox, name: &str, options: &ServerOptions) -> Result<Self> {
        IdNode::spawn(sandbox, name, options, None)?.ready()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.node.process.pid()
    }

    /// What it logged so far, over all its starts.
    pub fn log(&self) -> String {
        self.node.log()
    }

    /// Connects to the memcached protocol.
    ///
    /// # Errors
    /// If nobody accepts.
    pub fn connect(&self) -> Result<Talk> {
        Talk::to(&self.id)
    }

    /// Fetches one id over a fresh connection: the server is alive.
    ///
    /// # Errors
    /// If it is not.
    pub fn fetch(&self) -> Result<u64> {
        self.connect()?.fetch()
    }

    /// Reads the value of a metric, labels and all as it is printed.
    ///
    /// # Errors
    /// If the metric is not there.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let (status, text) = self.get(&self.admin, "/metrics")?;
        ensure!(status == 200, "{status}: {text}");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("{name} is not among\n{text}"))?.parse().context("a metric is a number")
    }

    /// Sends a request of HTTP to one of the addresses; returns status and body.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn get(&self, address: &str, path: &str) -> Result<(u16, String)> {
        let mut talk = Talk::to(address)?;
        talk.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes())?;
        let answer = String::from_utf8_lossy(&talk.rest()?).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
        let status = head.split(' ').nth(1).context("a head has a status")?;
        Ok((status.parse()?, body.to_owned()))
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel tells VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.node.process.signal(signal)
    }

    /// Asks the server to stop and waits; it must end with status 0.
    ///
    /// # Errors
    /// If it does not end in time or with another status.
    pub fn stop(&mut self) -> Result<()> {
        self.node.process.stop()
    }

    /// Kills the server on the spot.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.node.process.kill()
    }

    /// Waits for the server's end; `None` if a signal ended it.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        self.node.process.wait()
    }
}
