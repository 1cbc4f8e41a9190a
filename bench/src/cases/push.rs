//! A push of one commit, read back.

use std::path::Path;

use anyhow::{Result, ensure};

use super::{alternate, client};
use crate::Effort;
use crate::peers::{Peer, Peers};
use crate::report::{Measure, Report};
use crate::repositories::{Repository, git};

/// Pushes a round.
const N: u32 = 10;

/// A push of one commit with three objects to a branch of its own, through real git.
pub(crate) fn one_commit(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let case = "git push of one commit to small";
    let Some(small) = repositories.iter().find(|repository| repository.name == "small") else {
        return Ok(());
    };
    let work = small.path.with_extension("work");
    git(
        None,
        &["clone", "--quiet", "--bare", &small.path.display().to_string(), &work.display().to_string()],
    )?;
    let mut serial = 0;
    alternate(report, case, effort, &[&peers.hakata, &peers.bare, &peers.nginx], |peer| {
        for _ in 0..N {
            serial += 1;
            push(peer, &work, serial)?;
        }
        Ok(N)
    })?;
    report.goal("G8 (driven)", case, "nginx+http-backend", Measure::Cpu, 0.65);
    Ok(())
}

fn push(peer: &Peer, work: &Path, serial: u32) -> Result<()> {
    let blob = work.join("blob");
    std::fs::write(&blob, format!("{serial} of {}\n", peer.name))?;
    let blob = git(Some(work), &["hash-object", "-w", &blob.display().to_string()])?;
    let tree = work.join("tree");
    std::fs::write(&tree, format!("100644 blob {}\tfile\n", blob.trim()))?;
    let tree = std::process::Command::new("git")
        .arg("--git-dir")
        .arg(work)
        .arg("mktree")
        .stdin(std::fs::File::open(&tree)?)
        .output()?;
    let tree = String::from_utf8_lossy(&tree.stdout).trim().to_owned();
    let identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"];
    let message = format!("push {serial}");
    let make = [&identity[..], &["commit-tree", "-p", "main", "-m", &message, &tree]].concat();
    let commit = git(Some(work), &make)?.trim().to_owned();
    let (directory, url) = (work.display().to_string(), peer.url("small"));
    let target = format!("{commit}:refs/heads/push-{serial}");
    client(peer, &["--git-dir", &directory, "push", "--quiet", &url, &target])?;
    // The last push of a round is read back.
    if serial.is_multiple_of(N) {
        let listed = client(peer, &["ls-remote", &url, &format!("refs/heads/push-{serial}")])?;
        ensure!(listed.starts_with(&commit), "push {serial} is not there");
    }
    Ok(())
}
