//! What a process used, read from `/proc` before it is reaped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hakata_runtime::metrics::CounterFn;
use rustix::process::{Pid, PidfdFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Processor time of git processes, added up by whoever runs them: also that of those killed since nobody waits for them
/// any more. Clones share one sum.
#[derive(Clone, Debug, Default)]
pub struct Spent(Arc<AtomicU64>);

impl Spent {
    /// Returns the sum, in steps of 10 ms for each process.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, cpu: Duration) {
        let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// A tick of the times in `/proc`: Linux shows 100 a second to programs on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// The kernel's own sum over all children that we reaped, free of the rounding that single ones suffer.
pub(super) static CHILDREN_CPU: CounterFn = CounterFn::new(
    "hakata_children_cpu_seconds_total",
    "Processor time of all child processes that have ended, theirs included",
    || ticks("self").map_or(0.0, |[_, _, user, system]| (TICK * user.saturating_add(system)).as_secs_f64()),
);

/// Waits until a process has ended, without reaping it; `false` if the kernel offers no way to know.
pub(super) async fn exited(pid: Pid) -> bool {
    let Ok(fd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return false };
    #[expect(
        deprecated,
        reason = "the successor is unsafe; an owned descriptor is what makes this one sound"
    )]
    let registered = AsyncFd::with_interest(fd, Interest::READABLE);
    match registered {
        Ok(fd) => fd.readable().await.is_ok(),
        Err(_) => false,
    }
}

/// Returns the processor time of a process and the children it has waited for, in steps of 10 ms. It must not
/// have been reaped; a zombie keeps its figures.
pub(super) fn cpu_of(pid: Pid) -> Duration {
    let ticks = ticks(&pid.as_raw_nonzero().to_string());
    ticks.map_or(Duration::ZERO, |ticks| ticks.into_iter().fold(Duration::ZERO, |sum, n| sum + TICK * n))
}

/// Most processes of a tree that are looked at: git needs three.
const MAX_TREE: usize = 64;

/// Returns the processor time of a process that runs and of everything that it started, as far as the kernel tells
/// whom it started.
pub(super) fn cpu_of_tree(root: Pid) -> Duration {
    tree_of(root).into_iter().map(cpu_of).sum()
}

/// Lists what a process that runs has started, and what that has, as far as the kernel tells.
pub(super) fn descendants(root: Pid) -> Vec<Pid> {
    tree_of(root).split_off(1)
}

fn tree_of(root: Pid) -> Vec<Pid> {
    let mut tree = vec![root];
    let mut n_seen = 0;
    while n_seen < tree.len().min(MAX_TREE) {
        tree.extend(children(tree[n_seen]));
        n_seen += 1;
    }
    tree
}

fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Reads user and system time, own and of children. Source: proc_pid_stat(5), fields 14 to 17.
fn ticks(who: &str) -> Option<[u32; 4]> {
    let stat = std::fs::read_to_string(format!("/proc/{who}/stat")).ok()?;
    // The name in parentheses may contain anything, so fields are counted from its end.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??, fields.next()??])
}
