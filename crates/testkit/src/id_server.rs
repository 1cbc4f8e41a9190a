//! A running `hakata id`, and conversations with it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{variable, wrapped};
use crate::{Sandbox, ServerOptions, wait_until};

/// How long anything may take that takes a moment.
const LIMIT: Duration = Duration::from_secs(20);

/// A process that serves ids, killed on drop.
pub struct IdServer {
    child: Child,
    /// Where the memcached protocol is: `127.0.0.1:PORT`, or `unix:PATH`.
    pub id: String,
    /// Where HTTP is.
    pub http: String,
    /// Where gRPC is.
    pub grpc: String,
    /// Where metrics and health are.
    pub admin: String,
}

/// A connection to an id server, by either kind of socket.
pub enum Talk {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a socket in the file system.
    Unix(UnixStream),
}

impl IdServer {
    /// Starts a server of every protocol on free ports, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends or is not ready in time; the error carries its log.
    pub fn start(sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        let ready = sandbox.path().join("id.json");
        let _ = std::fs::remove_file(&ready);
        let log = sandbox.path().join("server.log");
        let log = std::fs::File::options().create(true).append(true).open(log).context("opening the log")?;
        let mut command = wrapped(sandbox, options, "id");
        command.arg("--ready-file").arg(&ready).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        for key in ["id.address", "id.http", "id.grpc", "admin.address"] {
            command.env(variable(key), "127.0.0.1:0");
        }
        command.envs(options.environment());
        let mut child = command.spawn().context("starting the id server")?;
        let started = wait_until("a ready id server", LIMIT, || {
            ready.exists() || child.try_wait().is_ok_and(|status| status.is_some())
        });
        if started.is_err() || !ready.exists() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the id server did not start:\n{}", sandbox.log());
        }
        let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
        let address = |key: &str| addresses[key].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            child,
            id: address("id"),
            http: address("id_http"),
            grpc: address("id_grpc"),
            admin: address("admin"),
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
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
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a process id is positive")?;
        kill_process(pid, signal).context("signalling the id server")
    }

    /// Asks the server to stop and waits; it must end with status 0.
    ///
    /// # Errors
    /// If it does not end in time or with another status.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let code = self.wait()?;
        ensure!(code == Some(0), "the id server ended with {code:?} after SIGTERM");
        Ok(())
    }

    /// Kills the server on the spot.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the id server")?;
        self.wait().map(drop)
    }

    /// Waits for the server's end; `None` if a signal ended it.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        let mut status = None;
        wait_until("the id server's end", LIMIT, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })?;
        Ok(status.and_then(|status| status.code()))
    }
}

impl Drop for IdServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Talk {
    /// Connects to `HOST:PORT` or `unix:PATH`; reads fail after some seconds.
    ///
    /// # Errors
    /// If nobody accepts.
    pub fn to(address: &str) -> Result<Self> {
        let what = || format!("connecting to {address}");
        let talk = match address.strip_prefix("unix:") {
            Some(path) => Self::Unix(UnixStream::connect(path).with_context(what)?),
            None => Self::Tcp(TcpStream::connect(address).with_context(what)?),
        };
        match &talk {
            Self::Tcp(stream) => stream.set_read_timeout(Some(LIMIT))?,
            Self::Unix(stream) => stream.set_read_timeout(Some(LIMIT))?,
        }
        Ok(talk)
    }

    /// Another handle to the same connection.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn twin(&self) -> Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// Makes the end of this handle reset the connection.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn reset_on_drop(&self) -> Result<()> {
        let now = Some(Duration::ZERO);
        match self {
            Self::Tcp(stream) => rustix::net::sockopt::set_socket_linger(stream, now),
            Self::Unix(stream) => rustix::net::sockopt::set_socket_linger(stream, now),
        }
        .context("asking for a reset")
    }

    /// Lets reads fail after this time.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_read_timeout(&self, limit: Duration) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
        .context("limiting reads")
    }

    /// Lets writes fail after this time.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_write_timeout(&self, limit: Duration) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_write_timeout(Some(limit)),
        }
        .context("limiting writes")
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the other side is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        };
        sent.context("sending")
    }

    /// Reads what comes next.
    ///
    /// # Errors
    /// If nothing comes.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        };
        read.context("reading")
    }

    /// Reads up to the first place that ends so, which must be the last that came.
    ///
    /// # Errors
    /// If it does not come; the error tells what did.
    pub fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while !all.ends_with(end) {
            let tell = |all: &[u8]| {
                let last = &all[all.len().saturating_sub(200)..];
                format!(
                    "waiting for {:?} behind {:?}",
                    end.escape_ascii().to_string(),
                    last.escape_ascii().to_string()
                )
            };
            let n_read = self.read(&mut buffer).with_context(|| tell(&all))?;
            ensure!(n_read > 0, "the server closed: {}", tell(&all));
            all.extend_from_slice(&buffer[..n_read]);
        }
        Ok(all)
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// If they do not come.
    pub fn exactly(&mut self, n_bytes: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; n_bytes];
        match self {
            Self::Tcp(stream) => stream.read_exact(&mut bytes),
            Self::Unix(stream) => stream.read_exact(&mut bytes),
        }
        .with_context(|| format!("reading {n_bytes} bytes"))?;
        Ok(bytes)
    }

    /// Asks and reads the reply, whose end is known.
    ///
    /// # Errors
    /// If it does not come.
    pub fn ask(&mut self, request: &str, end: &str) -> Result<String> {
        self.send(request.as_bytes())?;
        Ok(String::from_utf8(self.until(end.as_bytes())?)?)
    }

    /// Fetches one id.
    ///
    /// # Errors
    /// If there is none.
    pub fn fetch(&mut self) -> Result<u64> {
        let reply = self.ask("get k\r\n", "\r\n")?;
        ensure!(!reply.contains("ERROR"), "no id: {reply:?}");
        let reply = if reply.ends_with("END\r\n") { reply } else { reply + &self.ask("", "END\r\n")? };
        let id = reply.strip_prefix("VALUE k 0 ").and_then(|rest| rest.split("\r\n").nth(1));
        id.with_context(|| format!("{reply:?} holds no id"))?.parse().context("an id is a number")
    }

    /// Reads everything up to the end of the connection; a reset is an end as well.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.read(&mut buffer),
                Self::Unix(stream) => stream.read(&mut buffer),
            };
            match read {
                Ok(0) => return Ok(all),
                Ok(n_read) => all.extend_from_slice(&buffer[..n_read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(all),
                Err(error) => return Err(error).context("waiting for the end of the connection"),
            }
        }
    }

    /// Ends our side; the other one may go on.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn finish(&self) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
        .context("ending our side")
    }
}
