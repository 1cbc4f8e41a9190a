//! `cargo xtask prove`: the long proofs, against a release build.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::services::Services;
use crate::{services, tools};

/// The proof that plays every scenario in the whole product of its axes; the others live in `hakata-testkit`.
const MATRIX: &str = "matrix";

/// The proof that runs the models of the id generator in every order of their threads.
const LOOM: &str = "loom";

/// How often a thread may be interrupted in the models of [`LOOM`], for a proof of a minute; the tests of every day
/// allow two interruptions.
const LOOM_PREEMPTIONS: &str = "4";

/// Builds the product and the prover optimised, and runs the proofs named, or all.
///
/// # Errors
/// If the build or a proof fails.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<()> {
    let named = |proof: &str| names.is_empty() || names.iter().any(|name| name == proof);
    let others: Vec<&String> = names.iter().filter(|name| ![MATRIX, LOOM].contains(&name.as_str())).collect();
    if named(LOOM) {
        explore_models(root)?;
    }
    if names.iter().all(|name| name == LOOM) && !names.is_empty() {
        return Ok(());
    }
    let services = services::ensure()?;
    if names.is_empty() || !others.is_empty() {
        prove(root, &services, &others)?;
    }
    if named(MATRIX) {
        play_matrix(root, &services)?;
    }
    Ok(())
}

fn explore_models(root: &Path) -> Result<()> {
    let mut tests = Command::new(env!("CARGO"));
    tests.current_dir(root).args(["test", "--release", "-p", "hakata-id", "--test", "loom"]);
    tools::run(tests.env("LOOM_MAX_PREEMPTIONS", LOOM_PREEMPTIONS))
}

fn prove(root: &Path, services: &Services, names: &[&String]) -> Result<()> {
    tools::ensure_debian("redis-server", "redis-server")?;
    tools::ensure_debian("faketime", "faketime")?;
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
