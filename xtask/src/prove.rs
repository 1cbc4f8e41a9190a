//! `cargo xtask prove`: the long proofs, against a release build.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{services, tools};

/// Builds the product and the prover optimised, and runs the proofs named, or all.
///
/// # Errors
/// If the build or a proof fails.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let services = services::ensure()?;
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root).args(["build", "--release", "-p", "hakata", "-p", "hakata-testkit", "--bins"]);
    tools::run(&mut build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let mut prove = Command::new(target.join("release/prove"));
    prove.arg(target.join("release/hakata")).args(names);
    tools::run(prove.envs(services.urls.iter().map(|(name, url)| (name, url))))
}
