//! The workers of the proof of jobs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::random::random;
use crate::server::variable;
use crate::{Process, Sandbox, ServerOptions};

/// How many there are.
const N_WORKERS: usize = 3;

/// Processes that do nothing but jobs, each with a data directory and a name of its own.
pub(super) struct Workers<'a> {
    sandbox: &'a Sandbox,
    options: ServerOptions,
    processes: Vec<Process>,
}

impl<'a> Workers<'a> {
    pub(super) fn start(sandbox: &'a Sandbox, options: &ServerOptions) -> Result<Self> {
        let mut workers = Self { sandbox, options: options.clone(), processes: Vec::new() };
        for index in 0..N_WORKERS {
            workers.processes.push(workers.spawn(index)?);
        }
        Ok(workers)
    }

    /// Kills one of them, whatever it does just now, and starts it again. Nobody waits until it works: it may be killed
    /// before.
    pub(super) fn kill_one(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(u64::from(random(200))));
        let index = random(u32::try_from(N_WORKERS)?) as usize;
        self.check(index)?;
        self.processes[index].kill()?;
        self.processes[index] = self.spawn(index)?;
        Ok(())
    }

    /// Lets all of them finish and end.
    pub(super) fn stop(&mut self) -> Result<()> {
        for index in 0..N_WORKERS {
            self.check(index)?;
            self.processes[index].stop().with_context(|| name(index))?;
        }
        Ok(())
    }

    fn check(&mut self, index: usize) -> Result<()> {
        ensure!(!self.processes[index].has_ended(), "{} ended by itself; its log is kept", name(index));
        Ok(())
    }

    fn spawn(&self, index: usize) -> Result<Process> {
        let name = name(index);
        let mut command = self.sandbox.bare_hakata();
        command.args(["worker", "--data"]).arg(self.sandbox.path().join(&name));
        command.envs(self.options.environment());
        command.env(variable("server.node"), &name).env(variable("admin.address"), "127.0.0.1:0");
        Process::spawn(&mut command, &self.sandbox.path().join(format!("{name}.log")))
    }
}

fn name(index: usize) -> String {
    format!("worker-{index}")
}
