//! A process that a test owns, killed on drop.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

/// How long a process may take to end once nothing runs.
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// A running process.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command whose words go to the end of the file `log`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log).context("opening a log")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("a process id is positive")?;
        kill_process(pid, signal).context("signalling a process")
    }

    /// Asks the process to stop and waits; it must end with status 0.
    ///
    /// # Errors
    /// If it does not end in time or with another status.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let code = self.wait()?;
        ensure!(code == Some(0), "a process ended with {code:?} after SIGTERM");
        Ok(())
    }

    /// Kills the process on the spot, stopped or not, as a power cut would.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("killing a process")?;
        self.child.wait().context("waiting for a killed process").map(drop)
    }

    /// Waits for the process's end; `None` if a signal ended it.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&mut self) -> Result<Option<i32>> {
        let mut status = None;
        wait_until("a process's end", STOP_LIMIT, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })?;
        Ok(status.and_then(|status| status.code()))
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
