//! Checking a whole repository.

use hakata_names::escape_controls;

use crate::command::{Command, Subcommand};
use crate::process::{ChildError, ask};
use crate::{Git, GitDir};

/// Most output that is looked at, in bytes.
const MAX_OUTPUT: u64 = 4 << 20;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong, in git's words, one line each, safe for a terminal; empty if all is well.
    pub problems: Vec<String>,
}

impl Findings {
    /// Says whether all is well.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// How thorough a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every object is read and its hash computed.
    Objects,
    /// Only the links from refs on are followed.
    Connectivity,
}

/// Checks a repository with `git fsck`.
///
/// # Errors
/// Any [`ChildError`] but a failure that comes with findings.
pub async fn fsck(git: &Git, dir: &GitDir, depth: Depth) -> Result<Findings, ChildError> {
    let command = Command::new(Subcommand::Fsck)
        .dir(dir)
        .flag("--full")
        .flag("--no-dangling")
        .flag("--no-progress")
        .flag_if(depth == Depth::Connectivity, "--connectivity-only");
    let (finished, said) = ask(git, &command, Vec::new(), MAX_OUTPUT).await?;
    let lines = said.split(|byte| *byte == b'\n').chain(finished.stderr.split(|byte| *byte == b'\n'));
    let is_problem =
        |line: &&[u8]| !line.is_empty() && !line.starts_with(b"notice:") && !line.starts_with(b"warning");
    let problems: Vec<String> = lines.filter(is_problem).map(escape_controls).collect();
    match finished.status.success() {
        true => Ok(Findings::default()),
        false if problems.is_empty() => Err(finished.failed()),
        false => Ok(Findings { problems }),
    }
}

#[cfg(test)]
mod tests {
    use hakata_names::ObjectFormat;

    use super::{Depth, fsck};
    use crate::testing::{self, Bench};

    #[tokio::test]
    async fn a_missing_object_is_a_finding() {
        let bench = Bench::new().await;
        let (dir, _) = bench.history(ObjectFormat::Sha256);
        for depth in [Depth::Objects, Depth::Connectivity] {
            assert!(fsck(&bench.git, &dir, depth).await.unwrap().is_clean());
        }
        let blob = testing::git(&dir, &["rev-parse", "main:file"]);
        let (directory, name) = blob.trim().split_at(2);
        std::fs::remove_file(dir.objects().join(directory).join(name)).unwrap();
        for depth in [Depth::Objects, Depth::Connectivity] {
            let findings = fsck(&bench.git, &dir, depth).await.unwrap();
            let named = findings.problems.iter().any(|line| line.contains(blob.trim()));
            assert!(named, "{depth:?}: {findings:?}");
        }
    }
}
