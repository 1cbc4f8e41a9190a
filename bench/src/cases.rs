//! What is measured. A case runs every peer in each round, in turns.

mod clone;
mod discovery;
mod git_clients;
mod idle;
pub(crate) mod ids;
pub(crate) mod jobs;
mod push;
pub(crate) mod read;
pub(crate) mod rpc;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::Effort;
use crate::peers::{Peer, Peers};
use crate::report::{Report, Sample};
use crate::repositories::{Repository, git};

/// A case: measures all its peers and adds to the report.
type Case = fn(&Peers, &[Repository], Effort, &mut Report) -> Result<()>;

/// Names of cases that have parts, the first of all, each with what is measured for it.
pub(crate) type Parts<P> = &'static [(&'static str, &'static [P])];

/// Finds what a case measures; nothing if it is none of these.
pub(crate) fn parts_of<P>(cases: Parts<P>, case: &str) -> &'static [P] {
    cases.iter().find(|(name, _)| *name == case).map_or(&[], |(_, parts)| parts)
}

/// Finds what the chosen cases measure: everything if none is chosen.
pub(crate) fn chosen_parts<P: Copy + PartialEq>(cases: Parts<P>, chosen: &[String]) -> Vec<P> {
    let all = cases.first().map_or(&[][..], |(_, parts)| parts);
    let is_chosen =
        |part: &P| chosen.is_empty() || chosen.iter().any(|case| parts_of(cases, case).contains(part));
    all.iter().copied().filter(is_chosen).collect()
}

/// All cases by name.
pub(crate) const ALL: [(&str, Case); 9] = [
    ("idle", idle::connections),
    ("discovery-c1", discovery::one_connection),
    ("discovery-c16", discovery::sixteen_connections),
    ("ls-remote", git_clients::ls_remote),
    ("noop-fetch", git_clients::noop_fetch),
    ("ssh-ls-remote", git_clients::ssh_ls_remote),
    ("clone", clone::one),
    ("clone-8", clone::eight),
    ("push", push::one_commit),
];

/// Runs a client in `n` threads at once; the first error is the answer.
fn at_once(n: u32, client: impl Fn() -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n).map(|_| scope.spawn(&client)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })
}

/// Measures `operation` on every peer: one round to warm up, then `effort.rounds()` rounds in turns.
fn alternate(
    report: &mut Report,
    case: &str,
    effort: Effort,
    peers: &[&Peer],
    mut operation: impl FnMut(&Peer) -> Result<u32>,
) -> Result<()> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); peers.len()];
    for round in 0..=effort.rounds() {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            let (cpu, started) = (peer.cpu()?, Instant::now());
            let n = operation(peer).with_context(|| format!("{case} of {}", peer.name))?;
            let wall = started.elapsed();
            // Children that were just left behind still end: give their last instant to the round they belong to.
            std::thread::sleep(std::time::Duration::from_millis(50));
            if round > 0 {
                samples.push(Sample { n, wall, cpu: peer.cpu()? - cpu });
            }
        }
    }
    for (peer, samples) in peers.iter().zip(samples) {
        report.add(case, peer.name, samples);
    }
    Ok(())
}

/// Every peer lists exactly the refs that the repository has, and its clone is whole.
pub(crate) fn check_truth(peers: &Peers, repositories: &[Repository]) -> Result<()> {
    for repository in repositories {
        let truth =
            digest(&git(Some(&repository.path), &["ls-remote", &repository.path.display().to_string()])?);
        let ssh = format!("{}{}.git", peers.hakata_ssh, repository.name);
        let urls = [&peers.nginx, &peers.daemon, &peers.sshd, &peers.hakata]
            .map(|peer| (peer, peer.url(repository.name)));
        for (peer, url) in urls.into_iter().chain([(&peers.hakata, ssh)]) {
            let listed = client(peer, &["ls-remote", &url])?;
            ensure!(digest(&listed) == truth, "{} lists other refs of {}", peer.name, repository.name);
            let clone = repository.path.with_extension("check");
            client(peer, &["clone", "--quiet", "--mirror", &url, &clone.display().to_string()])?;
            git(Some(&clone), &["fsck", "--full", "--strict", "--no-progress", "--no-dangling"])?;
            std::fs::remove_dir_all(&clone)?;
        }
    }
    Ok(())
}

/// Digest of the sorted lines.
fn digest(listing: &str) -> Vec<u8> {
    let mut lines: Vec<&str> = listing.lines().collect();
    lines.sort_unstable();
    Sha256::digest(lines.join("\n")).to_vec()
}

/// Runs a git client against a peer.
fn client(peer: &Peer, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.args(arguments).env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    command.envs(peer.environment.iter().map(|(key, value)| (key, value)));
    let output = command.output().context("running git")?;
    ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
