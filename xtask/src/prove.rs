//! `cargo xtask prove`: the long proofs, against a release build.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::services::Services;
use crate::{services, tools};

/// The proof that plays every scenario in the whole product of its axes; the others live in `hakata-testkit`.
const MATRIX: &str = "matrix";

/// Builds the product and the prover optimised, and runs the proofs named, or all.
///
/// # Errors
/// If the build or a proof fails.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let services = services::ensure()?;
    let (matrix, others): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| *name == MATRIX);
    if names.is_empty() || !others.is_empty() {
        prove(root, &services, &others)?;
    }
    if names.is_empty() || !matrix.is_empty() {
        play_matrix(root, &services)?;
    }
    Ok(())
}

fn prove(root: &Path, services: &Services, names: &[&String]) -> Result<()> {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root).args(["build", "--release", "-p", "hakata", "-p", "hakata-testkit", "--bins"]);
    tools::run(&mut build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let mut prove = Command::new(target.join("release/prove"));
    prove.arg(target.join("release/hakata")).args(names);
    tools::run(prove.envs(services.urls.iter().map(|(name, url)| (name, url))))
}

fn play_matrix(root: &Path, services: &Services) -> Result<()> {
    tools::ensure_cargo("cargo-nextest")?;
    let mut tests = Command::new(env!("CARGO"));
    tests.current_dir(root).args(["nextest", "run", "--release", "-p", "hakata", "--test", "scenarios"]);
    tests.env("HAKATA_TEST_MATRIX", "full");
    tools::run(tests.envs(services.urls.iter().map(|(name, url)| (name, url))))
}
