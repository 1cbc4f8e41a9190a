//! A running `hakata serve`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::json;

use crate::{Process, Sandbox, wait_until};

/// How long a start may take, migrations included.
const START_LIMIT: Duration = Duration::from_secs(60);

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
    process: Process,
    /// Address of the HTTP listener, `127.0.0.1:PORT`.
    pub http: String,
    /// Address of the SSH listener.
    pub ssh: String,
    /// Address of the listener for metrics and health.
    pub admin: String,
    /// Address of the repository service over gRPC; empty if it is off.
    pub rpc_grpc: String,
    /// Address of the repository service over MessagePack-RPC; empty if it is off.
    pub rpc_msgpack: String,
}

impl Server {
    /// Starts a server on free ports and waits until it is ready.
    ///
    /// # Errors
    /// If it ends or is not ready in time; the error carries its log.
    pub fn start(sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        Self::start_at(sandbox, options, ["127.0.0.1:0"; 3])
    }

    /// Starts a server again on the addresses of an earlier one. One that is to kill itself may have done so before it
    /// was ready.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_again(&self, sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        let mut again = Self::start_at(sandbox, options, [&self.http, &self.ssh, &self.admin])?;
        if again.http.is_empty() {
            for (address, former) in [
                (&mut again.http, &self.http),
                (&mut again.ssh, &self.ssh),
                (&mut again.admin, &self.admin),
                (&mut again.rpc_grpc, &self.rpc_grpc),
                (&mut again.rpc_msgpack, &self.rpc_msgpack),
            ] {
                address.clone_from(former);
            }
        }
        Ok(again)
    }

    fn start_at(sandbox: &Sandbox, options: &ServerOptions, addresses: [&str; 3]) -> Result<Self> {
        let ready = sandbox.path().join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let mut command = wrapped(sandbox.hakata(&["serve"]), sandbox, options);
        command.arg("--ready-file").arg(&ready);
        for (key, address) in ["http", "ssh", "admin"].iter().zip(addresses) {
            command.env(variable(&format!("{key}.address")), address);
        }
        command.envs(options.environment());
        let log = sandbox.path().join("server.log");
        let mut process = Process::spawn(&mut command, &log).context("starting the server")?;
        let started = wait_until("a ready server", START_LIMIT, || ready.exists() || process.has_ended());
        let addresses: serde_json::Value = match std::fs::read(&ready) {
            Ok(told) => serde_json::from_slice(&told)?,
            // It met its fault point on the way.
            Err(_) if options.fault.is_some() && process.has_ended() && process.wait()?.is_none() => {
                json!({})
            }
            Err(_) => bail!("the server did not start: {started:?}\n{}", sandbox.log()),
        };
        let address = |key: &str| addresses[key].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            process,
            http: address("http"),
            ssh: address("ssh"),
            admin: address("admin"),
            rpc_grpc: address("rpc_grpc"),
            rpc_msgpack: address("rpc_msgpack"),
        })
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Asks the server to stop and waits; it must end with status 0.
    ///
    /// # Errors
    /// If it does not end in time or with another status.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }

    /// Kills the server on the spot.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Waits for the server's end; `None` if a signal ended it.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        self.process.wait()
    }

    /// Whether the server has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }
}

/// A command that starts a server with the fault that is asked for, through the wrapper if there is one.
pub(crate) fn wrapped(mut server: Command, sandbox: &Sandbox, options: &ServerOptions) -> Command {
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
