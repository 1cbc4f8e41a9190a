//! `cargo xtask test`: everything that must hold before a change lands, in the order in which it fails fastest.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{clients, services, tidy, tools};

/// Runs all checks and tests; with arguments, only the test runner with those arguments.
///
/// The test runner comes last, so that the run ends in its own closing line.
///
/// # Errors
/// If anything fails.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    for (program, package) in [("git", "git"), ("ssh", "openssh-client"), ("curl", "curl")] {
        tools::ensure_debian(program, package)?;
    }
    tools::ensure_debian("redis-server", "redis-server")?;
    tools::ensure_debian("faketime", "faketime")?;
    tools::ensure_cargo("cargo-nextest")?;
    let services = services::ensure()?;
    let clients = clients::ensure();
    if arguments.is_empty() {
        checks(root)?;
    }
    let mut tests = cargo(root, &["nextest", "run", "--workspace"]);
    tests.args(arguments).envs(clients);
    tools::run(tests.envs(services.urls.iter().map(|(name, url)| (name, url))))
}

/// The checks that need no server.
fn checks(root: &Path) -> Result<()> {
    tools::ensure_cargo("cargo-deny")?;
    tools::run(&mut cargo(root, &["fmt", "--all", "--check"]))?;
    tidy::run(root)?;
    tools::run(&mut cargo(root, &["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    tools::run(
        cargo(root, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
            .env("CARGO_TERM_COLOR", "never"),
    )?;
    tools::run(
        cargo(root, &["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    tools::run(&mut cargo(root, &["test", "--workspace", "--doc", "--quiet"]))
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(arguments);
    command
}
