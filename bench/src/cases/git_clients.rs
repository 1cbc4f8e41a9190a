//! What people run: `git ls-remote` and a `git fetch` that finds nothing new.

use std::path::Path;

use anyhow::Result;

use super::{alternate, client};
use crate::Effort;
use crate::peers::{Peer, Peers};
use crate::report::{Measure, Report};
use crate::repositories::Repository;

/// Clients a round.
const N: u32 = 20;

/// Clients that each of sixteen threads runs a round: so many that a core which idles at the end weighs little.
const EACH: u32 = 10;

/// `git ls-remote` over HTTP and the git protocol.
pub(crate) fn ls_remote(peers: &Peers, _: &[Repository], effort: Effort, report: &mut Report) -> Result<()> {
    let case = "git ls-remote small";
    alternate(report, case, effort, &[&peers.hakata, &peers.bare, &peers.nginx, &peers.daemon], |peer| {
        repeat(|| client(peer, &["ls-remote", &peer.url("small")]).map(drop))
    })?;
    report.goal("G3", case, "nginx+http-backend", Measure::Cpu, 1.0 / 12.0);
    Ok(())
}

/// `git fetch` in an up-to-date clone.
pub(crate) fn noop_fetch(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let case = "git fetch small, nothing new";
    let Some(small) = repositories.iter().find(|repository| repository.name == "small") else {
        return Ok(());
    };
    let clone =
        |peer: &Peer| small.path.with_extension(format!("{}-clone", peer.name.replace(['+', ' '], "-")));
    let all = [&peers.hakata, &peers.bare, &peers.nginx, &peers.daemon];
    for peer in all {
        client(peer, &["clone", "--quiet", "--bare", &peer.url("small"), &display(&clone(peer))])?;
    }
    alternate(report, case, effort, &all, |peer| {
        let (directory, url) = (display(&clone(peer)), peer.url("small"));
        repeat(|| {
            client(peer, &["--git-dir", &directory, "fetch", "--quiet", &url, "+refs/*:refs/*"]).map(drop)
        })
    })?;
    report.goal("G3", case, "nginx+http-backend", Measure::Cpu, 1.0 / 12.0);
    Ok(())
}

/// `git ls-remote` over SSH: one client, and sixteen at once.
pub(crate) fn ssh_ls_remote(
    peers: &Peers,
    _: &[Repository],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let url = |peer: &Peer| match peer.name {
        "hakata" => format!("{}small.git", peers.hakata_ssh),
        _ => peer.url("small"),
    };
    let all = [&peers.hakata, &peers.sshd];
    let case = "git ls-remote small over SSH, c1";
    alternate(report, case, effort, &all, |peer| {
        repeat(|| client(peer, &["ls-remote", &url(peer)]).map(drop))
    })?;
    report.goal("G4", case, "sshd+git-shell", Measure::Wall, 1.0 / 8.0);
    report.goal("G4", case, "sshd+git-shell", Measure::Cpu, 1.0 / 15.0);
    let case = "git ls-remote small over SSH, c16";
    alternate(report, case, effort, &all, |peer| {
        let run = || client(peer, &["ls-remote", &url(peer)]).map(drop);
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..16).map(|_| scope.spawn(|| (0..EACH).try_for_each(|_| run()))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
        })?;
        Ok(16 * EACH)
    })?;
    report.goal("G4", case, "sshd+git-shell", Measure::Wall, 1.0 / 8.0);
    Ok(())
}

fn repeat(mut operation: impl FnMut() -> Result<()>) -> Result<u32> {
    (0..N).try_for_each(|_| operation())?;
    Ok(N)
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
