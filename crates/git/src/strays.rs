//! Git processes whose server was killed on the spot: who they are, and their end.
//!
//! A server that is killed (`kill -9`, no memory left) cannot end what it started, and a process that computes does not
//! notice that nobody waits for its answer. So every child has a mark in its environment, which all that it starts
//! inherits:
//!
//! ```text
//! HAKATA_CHILD_OF=9c1f…e0:fe01:2a0b7:/srv/hakata/scratch
//!                 server  device, number and name of a directory that belongs to one server at a time
//! ```
//!
//! A [`Warden`] ends the children of its server as soon as that is dead. Should both be killed at once, the next server
//! of the same directory ends what the last one left, before it uses the directory.
//!
//! What an operator's own hooks start may outlive a push, so pushes into an operator's repositories have no mark.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use hakata_runtime::secret::random_bytes;
use rustix::process::{Pid, PidfdFlags, Signal};

/// The variable that holds the mark.
const VARIABLE: &str = "HAKATA_CHILD_OF";

/// What the children of one server have in their environment.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    value: OsString,
    /// Length of what names the server, in bytes.
    n_server: usize,
}

impl Mark {
    /// Makes the mark of a server that has just taken a directory.
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let server = format!("{:032x}", u128::from_le_bytes(random_bytes()));
        let n_server = server.len();
        // A name alone may mean other directories to servers in containers that see each other's processes.
        let of_dir = std::fs::metadata(dir)?;
        let mut value = OsString::from(format!("{server}:{:x}:{:x}:", of_dir.dev(), of_dir.ino()));
        value.push(dir);
        Ok(Self { value, n_server })
    }

    /// Puts the mark on a process to be started.
    pub(crate) fn put_on(&self, command: &mut Command) {
        command.env(VARIABLE, &self.value);
    }

    /// Kills what earlier servers of the directory left; returns how many processes there were.
    pub(crate) fn end_those_before(&self) -> usize {
        let (server, dir) = self.value.as_bytes().split_at(self.n_server);
        end(|mark| mark.len() == self.value.len() && mark.ends_with(dir) && !mark.starts_with(server))
    }
}

/// A process of ours that lives as long as its server, and then kills the server's children. Dropping this is the end of
/// it too; there are no children then.
#[derive(Debug)]
pub(crate) struct Warden {
    /// It waits for the end of its input, which the kernel brings about when we die.
    _process: tokio::process::Child,
}

impl Warden {
    /// Starts `program warden MARK`, which must call [`watch`].
    pub(crate) fn start(program: &Path, mark: &Mark) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("warden").arg(&mark.value).env_clear().current_dir("/");
        // A group of its own: Ctrl-C in a terminal is for the server.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { _process: tokio::process::Command::from(command).spawn()? })
    }
}

/// Waits until the server is dead that gave us this mark, by the end of standard input, and kills its children. The whole
/// work of the process that [`Git::start_warden`](crate::Git::start_warden) starts; nothing else may read the input.
pub fn watch(mark: &OsStr) {
    // An error is an end as well.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    end(|found| found == mark.as_bytes());
}

/// Kills all processes with such a mark; returns how many there were.
fn end(is_meant: impl Fn(&[u8]) -> bool) -> usize {
    let mut killed = HashSet::new();
    // A process may start another while we look; one that was killed starts no more.
    while scan(&is_meant, &mut killed) {}
    killed.len()
}

/// Looks at all processes once; true if there was one to kill that was not seen before.
fn scan(is_meant: impl Fn(&[u8]) -> bool, killed: &mut HashSet<Pid>) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let mut is_new = false;
    for process in processes.flatten() {
        let number = process.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = number.and_then(Pid::from_raw)
            && kill_if(pid, &is_meant)
        {
            is_new |= killed.insert(pid);
        }
    }
    is_new
}

fn kill_if(pid: Pid, is_meant: impl Fn(&[u8]) -> bool) -> bool {
    // Held, the number cannot come to mean another process between the look and the kill.
    let Ok(process) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return false };
    // Other users' processes cannot be read; those that have ended have nothing.
    let Ok(environment) = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) else {
        return false;
    };
    let mut marks = environment
        .split(|byte| *byte == 0)
        .filter_map(|line| line.strip_prefix(VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")));
    marks.any(is_meant) && rustix::process::pidfd_send_signal(&process, Signal::KILL).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use super::{Mark, end};

    fn long(mark: Option<&Mark>) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600");
        if let Some(mark) = mark {
            mark.put_on(&mut command);
        }
        command.spawn().unwrap()
    }

    fn end_by_hand(mut child: Child) -> Option<i32> {
        let is_running = child.try_wait().unwrap().is_none();
        let _ = child.kill();
        child.wait().unwrap().signal().filter(|_| is_running)
    }

    #[test]
    fn what_servers_before_left_in_a_directory_is_killed_and_nothing_else() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mark = |dir: &tempfile::TempDir| Mark::new(dir.path()).unwrap();
        let (before, now, other) = (mark(&dir), mark(&dir), mark(&elsewhere));
        let mut left = [long(Some(&before)), long(Some(&before))];
        let spared = [long(Some(&now)), long(Some(&other)), long(None)];
        assert_eq!(now.end_those_before(), 2);
        for child in &mut left {
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        for child in spared {
            assert_eq!(end_by_hand(child), Some(9), "it was running still");
        }
        assert_eq!(now.end_those_before(), 0);
    }

    #[test]
    fn a_mark_is_inherited() {
        let dir = tempfile::tempdir().unwrap();
        let mark = Mark::new(dir.path()).unwrap();
        let mut command = Command::new("sh");
        mark.put_on(command.args(["-c", "sleep 600 & echo $!; exec sleep 600"]));
        let mut parent = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut child = String::new();
        BufReader::new(parent.stdout.take().unwrap()).read_line(&mut child).unwrap();
        assert_eq!(end(|found| found == mark.value.as_bytes()), 2, "itself and its child {child}");
        assert_eq!(parent.wait().unwrap().signal(), Some(9));
    }
}
