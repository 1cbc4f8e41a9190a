//! Programs that the checks need beside the toolchain.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Whether a program starts at all.
pub(crate) fn exists(program: &str) -> bool {
    let probe = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok()
}

/// Makes sure that a cargo subcommand is there, building it from its registry if it is missing.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn ensure_cargo(program: &str) -> Result<()> {
    if exists(program) {
        return Ok(());
    }
    eprintln!("installing {program}");
    run(Command::new(env!("CARGO")).args(["install", "--locked", program]))
}

/// Makes sure that a program is there, installing Debian's package if it is missing.
///
/// # Errors
/// If the package cannot be installed, or this user may not: then the error names the command.
pub(crate) fn ensure_debian(program: &str, package: &str) -> Result<()> {
    if exists(program) {
        return Ok(());
    }
    install_debian(package)
}

/// Installs one of Debian's packages.
///
/// # Errors
/// As [`ensure_debian`].
pub(crate) fn install_debian(package: &str) -> Result<()> {
    if !is_root()? {
        bail!("the tests need Debian's package {package}; install it with: apt-get install {package}");
    }
    eprintln!("installing {package}");
    run(Command::new("apt-get").args(["update", "-qq"]).stdout(Stdio::null()))?;
    let install = ["install", "-y", "-qq", "--no-install-recommends", package];
    run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install).stdout(Stdio::null()))
}

/// Whether this user is root.
///
/// # Errors
/// If `id` does not run.
pub(crate) fn is_root() -> Result<bool> {
    let id = Command::new("id").arg("-u").output().context("asking who runs the tests")?;
    Ok(id.stdout.starts_with(b"0\n"))
}

/// Runs a command to its end.
///
/// # Errors
/// If it does not start or ends with another status than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
