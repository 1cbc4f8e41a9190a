//! Other people's programs that `./test` installs for the tests.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Tells whether `./test` could not install something: then a test of it says so and passes. What is not there without
/// that word fails its test.
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
pub fn is_absent(client: &str) -> bool {
    let absent = std::env::var("HAKATA_TEST_CLIENTS_ABSENT").unwrap_or_default();
    let is_absent = absent.split(',').any(|name| name == client);
    if is_absent {
        eprintln!("NOTHING TESTED: {client} could not be installed here");
    }
    is_absent
}

/// Finds the Python that has the clients and servers of tests: named by `./test`, or where `./test` puts it.
///
/// # Errors
/// If nothing says where that is.
pub fn python() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("HAKATA_TEST_PYTHON") {
        return Ok(python.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Ok(cache.or(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("hakata/python/bin/python"))
}
