//! A temporary directory in which one test lives.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A temporary directory: `data` for the server, `home/NAME` for each person, `work` for clones.
///
/// It is removed at the end, unless the thread panics or [`Sandbox::keep`] was called: then it stays, and its
/// name is printed.
pub struct Sandbox {
    directory: Option<tempfile::TempDir>,
    path: PathBuf,
    binary: PathBuf,
}

impl Sandbox {
    /// Makes an empty sandbox for tests of the given `hakata` binary.
    ///
    /// # Errors
    /// If the directories cannot be made.
    pub fn new(binary: impl Into<PathBuf>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("hakata-").tempdir().context("making a sandbox")?;
        let path = directory.path().to_owned();
        for name in ["home", "work"] {
            std::fs::create_dir(path.join(name)).context("making a sandbox")?;
        }
        Ok(Self { directory: Some(directory), path, binary: binary.into() })
    }

    /// Runs a proof in a sandbox of its own, which is kept if the proof fails.
    ///
    /// # Errors
    /// The proof's, or if the directories cannot be made.
    pub fn prove<T>(binary: &Path, proof: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let mut sandbox = Self::new(binary)?;
        let proved = proof(&sandbox);
        if proved.is_err() {
            sandbox.keep();
        }
        proved
    }

    /// The sandbox's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The server's data directory.
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The directory in which clients work.
    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path.join("server.log")).unwrap_or_default()
    }

    /// A command that runs `hakata` with clean environment and this sandbox's data directory.
    pub fn hakata(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_hakata();
        command.args(arguments).arg("--data").arg(self.data());
        command
    }

    /// A command that runs `hakata` with clean environment and no arguments yet.
    pub fn bare_hakata(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("PATH", path_variable())
            .env("HOME", self.path.join("home"))
            .current_dir(self.work());
        command
    }

    /// Keeps the directory and prints its name.
    pub fn keep(&mut self) {
        if let Some(directory) = self.directory.take() {
            report(&directory.keep());
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep();
        }
    }
}

/// The search path that programs under test get: the caller's own, so that the same `git` is found.
pub(crate) fn path_variable() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

#[expect(clippy::print_stderr, reason = "the person who looks for the cause needs the name")]
fn report(path: &Path) {
    eprintln!("kept for a look: {}", path.display());
}
