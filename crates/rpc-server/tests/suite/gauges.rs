//! What this process counts of itself.

use std::time::Duration;

/// Longer than any test takes.
const SOON: Duration = Duration::from_secs(30);

/// Calls that are being served over MessagePack-RPC.
pub(crate) const OPEN: &str = "hakata_rpc_calls_open{protocol=\"msgpack\"}";
/// Room for contents.
pub(crate) const UPLOADING: &str = "hakata_rpc_uploading_bytes";
/// Bytes of answers in files.
pub(crate) const SPOOLED: &str = "hakata_rpc_spooled_bytes";

/// Reads a gauge.
pub(crate) fn gauge(series: &str) -> i64 {
    let metrics = hakata_runtime::metrics::render();
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.trim().parse().unwrap())
}

/// Waits until a gauge is as it should be.
pub(crate) async fn until(series: &str, is_so: impl Fn(i64) -> bool) {
    let waiting = async {
        while !is_so(gauge(series)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let so = tokio::time::timeout(SOON, waiting).await;
    assert!(so.is_ok(), "{series} is {}", gauge(series));
}

/// The most memory that this process had at one time, in bytes.
pub(crate) fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// Begins to look for the most memory anew; returns what there is now. Source: proc_pid_clear_refs(5).
pub(crate) fn forget_peak() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}
