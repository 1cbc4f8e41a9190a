//! What the figures were measured on.

use std::process::Command;

use anyhow::{Context, Result};

/// One line: processor, cores, load, git.
pub(crate) fn describe() -> Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let git = Command::new("git").arg("--version").output().context("running git")?;
    Ok(format!(
        "{}, {} cores, load {}, {}",
        model.unwrap_or("unknown processor"),
        std::thread::available_parallelism().map_or(1, usize::from),
        load.split(' ').next().unwrap_or("?"),
        String::from_utf8_lossy(&git.stdout).trim(),
    ))
}
