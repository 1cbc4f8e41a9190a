//! One `hakata id` of several in a sandbox, waited for or not.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{FakeClock, Process, Sandbox, ServerOptions, wait_until};

/// How long a start may take, a wait for an old fence included.
const START_LIMIT: Duration = Duration::from_secs(60);

/// An id server, killed on drop.
pub struct IdNode {
    process: Process,
    ready: PathBuf,
    log: PathBuf,
}

impl IdNode {
    /// Starts a server on a free port and waits until it is ready; it keeps its data and its log in the sandbox under `name`.
    ///
    /// # Errors
    /// If it ends or is not ready in time; the error carries its log.
    pub fn start(sandbox: &Sandbox, name: &str, options: &ServerOptions) -> Result<Self> {
        let mut server = Self::spawn(sandbox, name, options, None)?;
        let started = wait_until("a ready id server", START_LIMIT, || {
            server.address().is_some() || server.process.has_ended()
        });
        if started.is_err() || server.process.has_ended() {
            bail!("the id server did not start:\n{}", server.log());
        }
        Ok(server)
    }

    /// Starts a server without waiting for it, by its own clock if it gets one.
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
        let mut command = sandbox.bare_hakata();
        command.arg("id").arg("--data").arg(path("")).arg("--ready-file").arg(&ready);
        command.env("HAKATA_ID__ADDRESS", "127.0.0.1:0").env("HAKATA_ADMIN__ADDRESS", "127.0.0.1:0");
        command.envs(options.environment());
        command.envs(clock.iter().flat_map(|clock| clock.environment()));
        let process = Process::spawn(&mut command, &log).context("starting an id server")?;
        Ok(Self { process, ready, log })
    }

    /// Where it listens, `127.0.0.1:PORT`; `None` until it does.
    pub fn address(&self) -> Option<String> {
        let addresses: serde_json::Value = serde_json::from_slice(&std::fs::read(&self.ready).ok()?).ok()?;
        addresses["id"].as_str().map(str::to_owned)
    }

    /// What it logged so far, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process, to be signalled.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
