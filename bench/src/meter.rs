//! CPU time of a server and of everything that it starts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// Counts the CPU time of a group of processes: by control group (version 2 or 1), else from `/proc`.
pub(crate) enum Meter {
    /// A control group of our own.
    Group {
        /// Its folder.
        folder: PathBuf,
        /// Whether the hierarchy is of version 2.
        unified: bool,
    },
    /// No control groups here: the process tree below this process id.
    Tree(u32),
}

impl Meter {
    /// Starts a command so that all it does is counted; what it says goes to the file `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Result<(Self, Child)> {
        let log = std::fs::File::create(log).context("making a log")?;
        let Some((folder, unified)) = make_group(name) else {
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let child = command.spawn().with_context(|| format!("starting {name}"))?;
            return Ok((Self::Tree(child.id()), child));
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ > \"$0\"; exec \"$@\""]).arg(folder.join("cgroup.procs"));
        shell.arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        shell.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = shell.spawn().with_context(|| format!("starting {name}"))?;
        Ok((Self::Group { folder, unified }, child))
    }

    /// CPU time used so far.
    pub(crate) fn used(&self) -> Result<Duration> {
        match self {
            Self::Group { folder, unified: true } => {
                let stat = std::fs::read_to_string(folder.join("cpu.stat"))?;
                let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
                Ok(Duration::from_micros(usage.context("cpu.stat has usage_usec")?.parse()?))
            }
            Self::Group { folder, unified: false } => {
                let usage = std::fs::read_to_string(folder.join("cpuacct.usage"))?;
                Ok(Duration::from_nanos(usage.trim().parse()?))
            }
            Self::Tree(root) => tree_time(*root),
        }
    }
}

impl Drop for Meter {
    /// Ends what is left of the group: fcgiwrap leaves its workers behind.
    fn drop(&mut self) {
        let Self::Group { folder, .. } = self else { return };
        for _ in 0..100 {
            let left = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            if left.is_empty() {
                break;
            }
            let _ = Command::new("kill").args(left.split_whitespace()).stderr(Stdio::null()).status();
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = std::fs::remove_dir(folder);
    }
}

/// Resident memory of a process.
pub(crate) fn resident_kib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("reading a status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a status has VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().context("reading VmRSS")
}

/// Makes a control group if this machine lets us.
fn make_group(name: &str) -> Option<(PathBuf, bool)> {
    let name = format!("hakata-bench-{name}-{}", std::process::id());
    for (root, unified) in [("/sys/fs/cgroup", true), ("/sys/fs/cgroup/cpuacct", false)] {
        let probe = if unified { "cgroup.controllers" } else { "cpuacct.usage" };
        if !Path::new(root).join(probe).exists() {
            continue;
        }
        let folder = Path::new(root).join(&name);
        if std::fs::create_dir(&folder).is_ok() {
            return Some((folder, unified));
        }
    }
    None
}

/// Own and waited-for time of a process and its living descendants; clock ticks are 10 ms.
fn tree_time(root: u32) -> Result<Duration> {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").context("listing processes")?.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((id, rest)) = stat.split_once(' ') else { continue };
        let fields: Vec<&str> =
            rest.rsplit_once(") ").map_or(vec![], |(_, fields)| fields.split(' ').collect());
        if id.parse() == Ok(root) || descends(fields.get(1).copied().unwrap_or_default(), root) {
            ticks +=
                fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Ok(Duration::from_millis(ticks * 10))
}

/// Whether the process with this id lies below `root`.
fn descends(parent: &str, root: u32) -> bool {
    let mut parent = parent.to_owned();
    while let Ok(id) = parent.parse::<u32>() {
        if id == root {
            return true;
        }
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { return false };
        parent =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)).unwrap_or("0").to_owned();
        if id <= 1 {
            return false;
        }
    }
    false
}
