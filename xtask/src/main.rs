//! Development tasks: `cargo xtask tidy`, `cargo xtask test`, `cargo xtask prove`.
//!
//! Nothing here is part of the product. The checks and the order of the test run live here rather than in
//! shell, so that they can be read and tested like everything else.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod clients;
mod prove;
mod services;
mod test;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask TASK

  tidy            check what the compiler does not: floors, file sizes, words, where side effects may happen
  test [ARG…]     everything CI runs; arguments go to the test runner, which then runs alone
  prove [NAME…]   the long proofs, on a release build: crash, merges, jobs, race, stall, drain, soak, matrix, loom
  services        find or start the servers that tests talk to, and print their URLs";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<()> {
    let root = workspace_root()?;
    let Some((task, rest)) = arguments.split_first() else { bail!("{USAGE}") };
    match task.as_str() {
        "tidy" => tidy::run(&root),
        "test" => test::run(&root, rest),
        "prove" => prove::run(&root, rest),
        "services" => services::print(),
        _ => bail!("no task {task}\n{USAGE}"),
    }
}

fn workspace_root() -> Result<PathBuf> {
    // Cargo says at run time where this checkout is; what was compiled in may be another one's.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
    Ok(Path::new(&manifest).parent().context("xtask lies in the workspace's root")?.to_owned())
}
