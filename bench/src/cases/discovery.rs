//! Pairs of `info/refs` and `ls-refs`, as every fetch begins: raw HTTP on keep-alive connections.

use anyhow::{Result, ensure};

use super::{alternate, at_once};
use crate::Effort;
use crate::client::{Client, discovery, ls_refs, upload_pack};
use crate::peers::{Peer, Peers};
use crate::report::{Measure, Report};
use crate::repositories::Repository;

/// One connection.
pub(crate) fn one_connection(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    measure(peers, repositories, effort, report, 1)
}

/// Sixteen connections.
pub(crate) fn sixteen_connections(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    measure(peers, repositories, effort, report, 16)
}

fn measure(
    peers: &Peers,
    repositories: &[Repository],
    effort: Effort,
    report: &mut Report,
    n_connections: u32,
) -> Result<()> {
    for repository in repositories {
        let many_refs = repository.name == "refs50k";
        let case = format!("discovery {} c{n_connections}", repository.name);
        alternate(report, &case, effort, &[&peers.hakata, &peers.bare, &peers.nginx], |peer| {
            // Enough pairs that a round lasts, few enough that the slow peer ends.
            let n_pairs = match (peer.name, many_refs) {
                ("hakata" | "hakata bare", false) => 6_000,
                ("hakata" | "hakata bare", true) => 300,
                (_, false) => 160,
                (_, true) => 48,
            };
            pairs(peer, repository.name, n_connections, n_pairs)
        })?;
        let cpu = if many_refs { 1.0 / 20.0 } else { 1.0 / 100.0 };
        report.goal(if many_refs { "G2" } else { "G1" }, &case, "nginx+http-backend", Measure::Cpu, cpu);
        if n_connections == 16 && !many_refs {
            report.goal("G1", &case, "nginx+http-backend", Measure::Wall, 1.0 / 50.0);
        }
    }
    Ok(())
}

/// Runs the pairs over the connections and checks the size of every reply.
fn pairs(peer: &Peer, repository: &str, n_connections: u32, n_pairs: u32) -> Result<u32> {
    let path = format!("{}{repository}.git", peer.path);
    let first = discovery(&peer.address, &path);
    let second = upload_pack(&peer.address, &path, &ls_refs());
    let each = n_pairs / n_connections;
    at_once(n_connections, || {
        let mut client = Client::connect(&peer.address)?;
        let expected = (client.call(&first)?.len(), client.call(&second)?.len());
        ensure!(expected.1 > 1_000, "an ls-refs reply of {} bytes", expected.1);
        for _ in 1..each {
            let sizes = (client.call(&first)?.len(), client.call(&second)?.len());
            ensure!(sizes == expected, "replies of {sizes:?} bytes, not {expected:?}");
        }
        Ok(())
    })?;
    Ok(each * n_connections)
}
