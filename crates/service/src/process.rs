//! What the process uses of the machine: descriptors, memory, processor time, tasks of the runtime.

use hakata_runtime::metrics::{CounterFn, GaugeFn, Metric};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

static OPEN_FDS: GaugeFn = GaugeFn::new("process_open_fds", "Open descriptors", || known(open_descriptors()));
static MAX_FDS: GaugeFn = GaugeFn::new("process_max_fds", "Descriptors that may be open", || {
    known(getrlimit(Resource::Nofile).current)
});
static RSS: GaugeFn =
    GaugeFn::new("process_resident_memory_bytes", "Resident memory", || known(resident_bytes()));
static CPU: CounterFn =
    CounterFn::new("process_cpu_seconds_total", "Processor time, user and system", || {
        cpu_seconds().unwrap_or(0.0)
    });
static START: GaugeFn =
    GaugeFn::new("process_start_time_seconds", "When the process started, since 1970", start_seconds);
static RUNTIME: GaugeFn =
    GaugeFn::new("hakata_runtime_tasks_alive", "Tasks the runtime knows, ours and others'", || {
        let handle = tokio::runtime::Handle::try_current();
        handle.map_or(0.0, |handle| known(u64::try_from(handle.metrics().num_alive_tasks()).ok()))
    });

/// Clock ticks a second in `/proc`; every Linux for programs has 100. Source: proc_pid_stat(5), sysconf(3).
const TICKS: f64 = 100.0;

/// Counts open descriptors.
pub fn open_descriptors() -> Option<u64> {
    // The directory itself is open while it is read.
    let n = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(n).ok().map(|n| n.saturating_sub(1))
}

/// Tells the resident memory in bytes.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

/// Raises the soft limit of descriptors to the hard one and tells what it is now; `None` is unlimited.
pub fn raise_descriptor_limit() -> Option<u64> {
    let found = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: found.maximum, maximum: found.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => found.maximum,
        Err(_) => found.current,
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th fields after it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut next = || fields.next().and_then(|ticks| ticks.parse::<f64>().ok());
    Some((next()? + next()?) / TICKS)
}

fn start_seconds() -> f64 {
    let made = fs::metadata("/proc/self").and_then(|found| found.modified()).unwrap_or(UNIX_EPOCH);
    made.min(SystemTime::now()).duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 bytes or descriptors are enough")]
fn known(n: Option<u64>) -> f64 {
    n.map_or(0.0, |n| n as f64)
}

/// Lists the metrics of the process.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&OPEN_FDS, &MAX_FDS, &RSS, &CPU, &START, &RUNTIME]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_can_be_measured() {
        let before = open_descriptors().unwrap();
        let _held = fs::File::open("/dev/null").unwrap();
        assert!(before >= 3 && open_descriptors().unwrap() > 0);
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(start_seconds() > 1.6e9);
        assert!(raise_descriptor_limit().is_none_or(|n| n >= 40));
    }
}
