//! A running `hakata serve`.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Sandbox, wait_until};

/// How long a start may take, migrations included.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a stop may take once nothing runs.
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Configuration as environment: `("http.max_connections", "10")` becomes `HAKATA_HTTP__MAX_CONNECTIONS`.
    pub settings: Vec<(String, String)>,
    /// Fault to arm, as `--fault` takes it.
    pub fault: Option<String>,
    /// Program and arguments to run the server through, such as `prlimit --nofile=40`.
    pub wrapper: Vec<String>,
}

impl ServerOptions {
    /// The settings as environment variables; administrative commands need the same, to find the database.
    pub fn environment(&self) -> impl Iterator<Item = (String, &str)> {
        self.settings.iter().map(|(key, value)| (variable(key), value.as_str()))
    }
}

/// A server process, killed on drop.
pub struct Server {
    child: Child,
    /// Address of the HTTP listener, `127.0.0.1:PORT`.
    pub http: String,
    /// Address of the SSH listener.
    pub ssh: String,
    /// Address of the listener for metrics and health.
    pub admin: String,
}

impl Server {
    /// Starts a server on free ports and waits until it is ready.
    ///
    /// # Errors
    /// If it ends or is not ready in time; the error carries its log.
    pub fn start(sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        Self::start_at(sandbox, options, ["127.0.0.1:0"; 3])
    }

    /// Starts a server again on the addresses of an earlier one.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_again(&self, sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        Self::start_at(sandbox, options, [&self.http, &self.ssh, &self.admin])
    }

    fn start_at(sandbox: &Sandbox, options: &ServerOptions, addresses: [&str; 3]) -> Result<Self> {
        let ready = sandbox.path().join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(sandbox.path().join("server.log"));
        let log = log.context("opening the server's log")?;
        let mut command = wrapped(sandbox, options, "serve");
        command.arg("--ready-file").arg(&ready).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        for (key, address) in ["http", "ssh", "admin"].iter().zip(addresses) {
            command.env(variable(&format!("{key}.address")), address);
        }
        command.envs(options.environment());
        let mut child = command.spawn().context("starting the server")?;
        let started = wait_until("a ready server", START_LIMIT, || {
            ready.exists() || child.try_wait().is_ok_and(|status| status.is_some())
        });
        if started.is_err() || !ready.exists() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the server did not start:\n{}", sandbox.log());
        }
        let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready)?)?;
        let address = |key: &str| addresses[key].as_str().unwrap_or_default().to_owned();
        Ok(Self { child, http: address("http"), ssh: address("ssh"), admin: address("admin") })
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a process id is positive")?;
        kill_process(pid, signal).context("signalling the server")
    }

    /// Asks the server to stop and waits; it must end with status 0.
    ///
    /// # Errors
    /// If it does not end in time or with another status.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let code = self.wait()?;
        ensure!(code == Some(0), "the server ended with {code:?} after SIGTERM");
        Ok(())
    }

    /// Kills the server on the spot, as a power cut would.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.wait().map(drop)
    }

    /// Waits for the server's end; `None` if a signal ended it.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        let mut status = None;
        wait_until("the server's end", STOP_LIMIT, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })?;
        Ok(status.and_then(|status| status.code()))
    }

    /// Whether the server has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts a server of a kind, through the wrapper if there is one.
pub(crate) fn wrapped(sandbox: &Sandbox, options: &ServerOptions, service: &str) -> Command {
    let mut server = sandbox.hakata(&[service]);
    if let Some(fault) = &options.fault {
        server.args(["--fault", fault]);
    }
    let Some((program, arguments)) = options.wrapper.split_first() else { return server };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(server.get_program())
        .args(server.get_args())
        .current_dir(sandbox.work())
        .env_clear();
    let set = |(key, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>)| {
        Some((key.to_owned(), value?.to_owned()))
    };
    command.envs(server.get_envs().filter_map(set));
    command
}

/// The environment variable of a configuration key.
pub(crate) fn variable(key: &str) -> String {
    format!("HAKATA_{}", key.replace('.', "__").to_uppercase())
}
