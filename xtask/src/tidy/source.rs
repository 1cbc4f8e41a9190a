//! The tracked files of the workspace, and Rust sources split into code and tests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A Rust file.
pub(crate) struct Source {
    /// Path relative to the workspace's root.
    pub(crate) path: String,
    /// The crate's folder name, or `xtask` or `bench`.
    pub(crate) owner: String,
    /// Everything up to the file's test module, comments and string literals kept.
    pub(crate) code: String,
    /// Whether the file is a test or benchmark as a whole.
    pub(crate) is_test: bool,
}

/// Lists the files that git tracks or would add, relative to `root`.
///
/// # Errors
/// If git cannot be asked.
pub(crate) fn tracked(root: &Path) -> Result<Vec<String>> {
    let listing = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("listing tracked files")?;
    ensure!(listing.status.success(), "git ls-files ended with {}", listing.status);
    let names = String::from_utf8(listing.stdout).context("a tracked file's name is not UTF-8")?;
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty() && root.join(name).is_file())
        .map(str::to_owned)
        .collect())
}

impl Source {
    /// Reads one file; `None` if it is no Rust source.
    pub(crate) fn read(root: &Path, path: &str) -> Option<Self> {
        if !path.ends_with(".rs") {
            return None;
        }
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        let mut parts = path.split('/');
        let owner = match parts.next()? {
            "crates" => parts.next()?,
            other => other,
        };
        let is_test = path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs");
        Some(Self { path: path.to_owned(), owner: owner.to_owned(), code: without_tests(&text), is_test })
    }

    /// Whether the file belongs to the product, where the rules on side effects hold.
    pub(crate) fn is_product(&self) -> bool {
        !self.is_test
            && !matches!(self.owner.as_str(), "testkit" | "xtask" | "bench")
            && !self.path.ends_with("/testing.rs")
            && !self.path.contains("/testing/")
    }

    /// Lines of code outside comments, with their 1-based numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let comment = |line: &&str| line.trim_start().starts_with("//");
        self.code.lines().enumerate().filter(move |(_, line)| !comment(line)).map(|(at, line)| (at + 1, line))
    }
}

/// Cuts a file at its test module, which stands last by house style.
fn without_tests(text: &str) -> String {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text).to_owned()
}
