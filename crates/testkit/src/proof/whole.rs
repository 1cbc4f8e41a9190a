//! Whether a repository is whole, as a clone sees it and as it lies on disk.

use anyhow::Result;

use crate::{Output, Person, Sandbox, ServerOptions, run};

const FSCK: [&str; 5] = ["fsck", "--full", "--strict", "--no-dangling", "--no-progress"];

/// The directory of the last clone, where people work.
pub(super) const CLONE: &str = "check.git";

/// Clones everything that a URL shows into [`CLONE`].
pub(super) fn clone(sandbox: &Sandbox, person: &Person, url: &str) -> Result<()> {
    let _ = std::fs::remove_dir_all(sandbox.work().join(CLONE));
    let mut clone = person.git(2, &["clone", "--quiet", "--mirror", url, CLONE]);
    run(&mut clone)?.expect_success("git clone").map(drop)
}

/// Runs fsck over the last clone and over the server's cache of a repository, and compares its rows and packs.
pub(super) fn check(sandbox: &Sandbox, options: &ServerOptions, person: &Person, path: &str) -> Result<()> {
    fsck(person, CLONE)?;
    verify(sandbox, options, path)?;
    fsck(person, hakata(sandbox, options, &["repo", "path", path])?.stdout.trim())
}

/// Lets the server compare rows, packs and objects of a repository.
pub(super) fn verify(sandbox: &Sandbox, options: &ServerOptions, path: &str) -> Result<()> {
    hakata(sandbox, options, &["repo", "verify", path]).map(drop)
}

fn hakata(sandbox: &Sandbox, options: &ServerOptions, arguments: &[&str]) -> Result<Output> {
    let output = run(sandbox.hakata(arguments).envs(options.environment()))?;
    output.expect_success(&format!("hakata {arguments:?}"))
}

fn fsck(person: &Person, dir: &str) -> Result<()> {
    let mut fsck = person.git(2, &[&["-C", dir][..], &FSCK].concat());
    run(&mut fsck)?.expect_success(&format!("fsck of {dir}")).map(drop)
}
