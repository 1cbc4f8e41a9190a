//! Git processes: started with limits, watched, killed with all their children, and always reaped.

mod usage;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hakata_names::escape_controls;
use hakata_runtime::limit::{KeyedPermit, Limited};
use hakata_runtime::metrics::{
    CounterFamily, GaugeFamily, GaugeGuard, HistogramFamily, Label, Metric, SECONDS,
};
use hakata_runtime::tasks::Task;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::Git;
use crate::command::{Command, Subcommand};
use crate::settings::Budget;
pub use usage::Spent;

/// Most of a process's error output that is kept, in bytes; the rest is read and dropped.
const MAX_STDERR: usize = 16 << 10;

static RUNNING: GaugeFamily<Subcommand> =
    GaugeFamily::new("hakata_git_children", "Git processes that run now, by subcommand");
static STARTED: CounterFamily<Subcommand> =
    CounterFamily::new("hakata_git_children_total", "Git processes started, by subcommand");
static FAILED: CounterFamily<Subcommand> = CounterFamily::new(
    "hakata_git_children_failed_total",
    "Git processes that ended with an error, by subcommand",
);
static KILLED: CounterFamily<Subcommand> = CounterFamily::new(
    "hakata_git_children_killed_total",
    "Git processes that were killed by us, by subcommand",
);
static TOOK: HistogramFamily<Subcommand> =
    HistogramFamily::new("hakata_git_children_seconds", "How long git processes ran, by subcommand", SECONDS);
static CPU: HistogramFamily<Subcommand> = HistogramFamily::new(
    "hakata_git_children_cpu_seconds",
    "Processor time of git processes and their children, in steps of 10 ms, by subcommand",
    SECONDS,
);

impl Label for Subcommand {
    const KEY: &'static str = "subcommand";

    fn value(self) -> &'static str {
        self.name()
    }
}

/// Lists the metrics that this crate keeps.
pub fn metrics() -> Vec<&'static dyn Metric> {
    let mut all: Vec<&'static dyn Metric> = vec![&RUNNING, &STARTED, &FAILED, &KILLED, &TOOK, &CPU];
    all.push(&usage::CHILDREN_CPU);
    all.extend(crate::read::metrics());
    all.extend(crate::merge::metrics());
    all.extend(crate::objects::metrics());
    all.extend(crate::serve::metrics());
    all.extend(crate::quarantine::metrics());
    all.extend(crate::bare::metrics());
    all
}

/// Why a git process did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Too many run already.
    #[error("waiting for a free git process")]
    Limited(#[source] Limited),
    /// It could not be started.
    #[error("starting git {subcommand}")]
    Spawn {
        /// What was to run.
        subcommand: &'static str,
        /// Why it does not.
        #[source]
        source: io::Error,
    },
    /// It could not be waited for, or its pipes broke.
    #[error("talking to git {subcommand}")]
    Io {
        /// What ran.
        subcommand: &'static str,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// It used up its time.
    #[error("git {subcommand} ran longer than {} s", .limit.as_secs())]
    TimedOut {
        /// What ran.
        subcommand: &'static str,
        /// How long it may run.
        limit: Duration,
    },
    /// It ended with an error.
    #[error("git {subcommand} ended with {status}: {stderr}")]
    Failed {
        /// What ran.
        subcommand: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// What it said, control characters escaped, bounded.
        stderr: String,
    },
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) subcommand: Subcommand,
    pub(crate) status: ExitStatus,
    /// Raw, bounded; may come from a user's objects.
    pub(crate) stderr: Vec<u8>,
    pub(crate) cpu: Duration,
}

impl Finished {
    /// Makes an error of any other end than success.
    pub(crate) fn success(self) -> Result<Self, ChildError> {
        if self.status.success() { Ok(self) } else { Err(self.failed()) }
    }

    /// Makes the error.
    pub(crate) fn failed(self) -> ChildError {
        ChildError::Failed { subcommand: self.subcommand.name(), status: self.status, stderr: self.message() }
    }

    /// Renders what the process said on one line.
    pub(crate) fn message(&self) -> String {
        let lines = self.stderr.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(escape_controls).collect::<Vec<_>>().join("; ")
    }
}

/// How long the error output of a process that has ended is read on for, where what it left behind may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running git process. Dropping it kills it and every process it started.
pub(crate) struct Child {
    inner: tokio::process::Child,
    /// Whether processes that it leaves behind may live on: hooks of an operator start such.
    may_leave: bool,
    group: Group,
    stderr: Task<Vec<u8>>,
    started: Instant,
    budget: Budget,
    _running: GaugeGuard,
    _permit: Option<KeyedPermit<PathBuf>>,
}

/// The process group of a child that has not been reaped, so that its number cannot mean another one.
struct Group {
    subcommand: Subcommand,
    pid: Option<Pid>,
    timed_out: Arc<AtomicBool>,
}

impl Child {
    /// Starts a command: waits for a permit, puts it into a process group of its own, and sets its limits.
    pub(crate) async fn spawn(git: &Git, command: &Command) -> Result<Self, ChildError> {
        let permit = match command.repository() {
            Some(dir) => {
                Some(git.permits().acquire(dir.path().to_owned()).await.map_err(ChildError::Limited)?)
            }
            None => None,
        };
        let subcommand = command.subcommand();
        let spawn = |source| ChildError::Spawn { subcommand: subcommand.name(), source };
        let mut built = command.build(git);
        built.process_group(0);
        let mut built = tokio::process::Command::from(built);
        let mut inner = built.kill_on_drop(true).spawn().map_err(spawn)?;
        let budget = subcommand.budget(&git.settings().budgets);
        let pid = inner.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let group = Group { subcommand, pid, timed_out: Arc::default() };
        group.limit(budget).map_err(spawn)?;
        STARTED.get(subcommand).inc();
        let stderr = inner.stderr.take();
        let watched = watch(stderr, pid, budget.wall, group.timed_out.clone());
        let stderr = git.tasks().spawn("git child", watched).cut_on_drop();
        let running = RUNNING.get(subcommand).track();
        let may_leave = subcommand == Subcommand::ReceivePack;
        let started = Instant::now();
        Ok(Self { inner, may_leave, group, stderr, started, budget, _running: running, _permit: permit })
    }

    /// Asks it and all that it started to end; git removes its lock files then.
    pub(crate) fn terminate(&self) {
        if let Some(pid) = self.group.pid {
            let _ = rustix::process::kill_process_group(pid, Signal::TERM);
        }
    }

    /// Kills it and all that it started; it is still to be reaped.
    pub(crate) fn kill(&self) {
        if self.group.pid.is_some() {
            KILLED.get(self.group.subcommand).inc();
            kill_group(self.group.pid);
        }
    }

    /// Asks all that it started to end, but not itself: then it fails as if they had, and removes all it made.
    pub(crate) fn terminate_children(&self) {
        let Some(group) = self.group.pid else { return };
        for pid in usage::descendants(group) {
            if rustix::process::getpgid(Some(pid)) == Ok(group) {
                let _ = rustix::process::kill_process(pid, Signal::TERM);
            }
        }
    }

    /// Takes the pipe to its input.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin.take()
    }

    /// Takes the pipe from its output.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// Makes the error of a pipe that broke.
    pub(crate) fn io_error(&self, source: io::Error) -> ChildError {
        ChildError::Io { subcommand: self.group.subcommand.name(), source }
    }

    /// Returns the processor time of it and all that it started until now; zero once it is reaped.
    pub(crate) fn cpu_so_far(&self) -> Duration {
        self.group.pid.map(usage::cpu_of_tree).unwrap_or_default()
    }

    /// Waits until it has ended, without reaping it if the kernel can tell so.
    pub(crate) async fn ended(&mut self) -> io::Result<()> {
        match self.group.pid {
            Some(pid) if usage::exited(pid).await => Ok(()),
            _ => {
                let waited = self.inner.wait().await;
                self.group.pid = None;
                waited.map(drop)
            }
        }
    }

    /// Waits for its end, kills what it left behind, and reaps it.
    pub(crate) async fn finish(mut self) -> Result<Finished, ChildError> {
        self.reap().await
    }

    /// As [`finish`](Self::finish), for who wants to know what it used if this is dropped.
    pub(crate) async fn reap(&mut self) -> Result<Finished, ChildError> {
        drop(self.inner.stdin.take());
        drop(self.inner.stdout.take());
        self.ended().await.map_err(|source| self.io_error(source))?;
        let cpu = self.group.pid.map(usage::cpu_of).unwrap_or_default();
        let stderr = if self.may_leave {
            let last_words = tokio::time::timeout(LAST_WORDS, &mut self.stderr);
            last_words.await.map_or_else(|_| Vec::new(), Result::unwrap_or_default)
        } else {
            // Whatever it left behind goes before its number is free for others.
            kill_group(self.group.pid);
            (&mut self.stderr).await.unwrap_or_default()
        };
        let status = self.inner.wait().await.map_err(|source| self.io_error(source))?;
        self.group.pid = None;
        let subcommand = self.group.subcommand;
        TOOK.get(subcommand).observe_duration(self.started.elapsed());
        CPU.get(subcommand).observe_duration(cpu);
        if !status.success() {
            FAILED.get(subcommand).inc();
        }
        match self.budget.wall {
            Some(limit) if self.group.timed_out.load(Ordering::Relaxed) => {
                Err(ChildError::TimedOut { subcommand: subcommand.name(), limit })
            }
            _ => Ok(Finished { subcommand, status, stderr, cpu }),
        }
    }

    /// Returns its process id, until it is reaped.
    #[cfg(test)]
    pub(crate) fn id(&self) -> Option<u32> {
        self.inner.id()
    }
}

impl Group {
    /// Sets the limits of a process that has just been started; what it starts inherits them.
    fn limit(&self, budget: Budget) -> io::Result<()> {
        let limits = [
            (Resource::Data, budget.memory_bytes),
            (Resource::Cpu, budget.cpu.map(|cpu| cpu.as_secs().max(1))),
            (Resource::Core, Some(0)),
        ];
        for (resource, limit) in limits {
            if let (Some(_), Some(pid)) = (limit, self.pid) {
                match rustix::process::prlimit(Some(pid), resource, Rlimit { current: limit, maximum: limit })
                {
                    // It has ended already: nothing is left to limit.
                    Ok(_) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.pid.is_some() {
            KILLED.get(self.subcommand).inc();
            kill_group(self.pid);
        }
    }
}

fn kill_group(pid: Option<Pid>) {
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Keeps what a child says, and kills it when its time is over.
async fn watch(
    stderr: Option<ChildStderr>,
    pid: Option<Pid>,
    wall: Option<Duration>,
    timed_out: Arc<AtomicBool>,
) -> Vec<u8> {
    let mut said = Vec::new();
    match wall {
        None => read_bounded(stderr, &mut said).await,
        Some(wall) if tokio::time::timeout(wall, read_bounded(stderr, &mut said)).await.is_err() => {
            timed_out.store(true, Ordering::Relaxed);
            kill_group(pid);
        }
        Some(_) => {}
    }
    said
}

async fn read_bounded(stderr: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = [0; 4_096];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        let room = MAX_STDERR.saturating_sub(said.len());
        said.extend_from_slice(&buffer[..n.min(room)]);
    }
}

/// Runs a command that answers a short question: `input` goes in, at most `max_output` bytes come out.
pub(crate) async fn ask(
    git: &Git,
    command: &Command,
    input: Vec<u8>,
    max_output: u64,
) -> Result<(Finished, Vec<u8>), ChildError> {
    let mut child = Child::spawn(git, command).await?;
    let (stdin, stdout) = (child.stdin(), child.stdout());
    let writing = async move {
        use tokio::io::AsyncWriteExt;
        if let Some(mut stdin) = stdin {
            // A child that does not read on has its reasons; its status tells them.
            let _ = stdin.write_all(&input).await;
        }
    };
    let mut output = Vec::new();
    let reading = async {
        match stdout {
            Some(stdout) => stdout.take(max_output).read_to_end(&mut output).await.map(drop),
            None => Ok(()),
        }
    };
    let ((), read) = tokio::join!(writing, reading);
    read.map_err(|source| child.io_error(source))?;
    Ok((child.finish().await?, output))
}

#[cfg(test)]
mod tests;
