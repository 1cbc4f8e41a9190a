//! Full clones: the reply to a fetch of everything, thrown away by the client.

use anyhow::{Result, ensure};

use super::{alternate, at_once};
use crate::Effort;
use crate::client::{Client, clone_all, upload_pack};
use crate::peers::{Peer, Peers};
use crate::report::Report;
use crate::repositories::{Repository, git};

/// One at a time.
pub(crate) fn one(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    measure(peers, repositories, effort, report, 1)
}

/// Eight at once.
pub(crate) fn eight(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    measure(peers, repositories, effort, report, 8)
}

fn measure(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
    n: u32,
) -> Result<()> {
    for repository in repositories.iter().filter(|repository| repository.name != "refs50k") {
        let listing = git(Some(&repository.path), &["for-each-ref", "--format=%(objectname)"])?;
        let mut wants: Vec<String> = listing.lines().map(str::to_owned).collect();
        wants.sort_unstable();
        wants.dedup();
        let body = clone_all(&wants);
        let case = format!("clone {} c{n}", repository.name);
        alternate(report, &case, effort, &[&peers.hakata, &peers.bare, &peers.nginx], |peer| {
            clones(peer, repository, &body, n)
        })?;
    }
    Ok(())
}

fn clones(peer: &Peer, repository: &Repository, body: &[u8], n: u32) -> Result<u32> {
    let request = upload_pack(&peer.address, &format!("{}{}.git", peer.path, repository.name), body);
    at_once(n, || {
        let mut client = Client::connect(&peer.address)?;
        let reply = client.call(&request)?;
        ensure!(reply.len() > 100_000, "a clone of {} bytes", reply.len());
        ensure!(reply.starts_with(b"000dpackfile\n") && reply.ends_with(b"0000"), "no whole pack");
        Ok(())
    })?;
    Ok(n)
}
