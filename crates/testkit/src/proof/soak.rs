//! Ids of many servers that share worker ids, while leases, processes, clocks and Redis are hurt.
//!
//! Every id that a client received is written to a file, and the files are merged in the end: no id may come
//! twice, whoever issued it. On each connection ids must rise. And no fault may be the end: after each one every
//! server must issue again.

mod arena;
mod faults;
mod load;
mod merge;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::Sandbox;
use arena::Arena;
use faults::Fault;

/// How much of the soak to run.
#[derive(Clone, Debug)]
pub struct Soak {
    /// Fewest ids to receive; all faults are done whatever that takes.
    pub n_ids: u64,
    /// Servers; they share as many worker ids.
    pub n_servers: usize,
    /// Connections to each.
    pub n_connections: usize,
    /// How long each connection pauses between its requests.
    pub pause: Duration,
}

/// What a soak that held was like.
#[derive(Clone, Debug)]
pub struct Soaked {
    /// Ids received, each once.
    pub n_ids: u64,
    /// Connections opened in all; on each, ids rose.
    pub n_connections: usize,
    /// Requests that were refused for want of a lease.
    pub n_refused: u64,
    /// How often each fault was done.
    pub faults: BTreeMap<&'static str, u32>,
}

/// Runs servers under load and faults until enough ids were received and every fault was done.
///
/// # Errors
/// If an id comes twice, falls on a connection, or a server does not recover from a fault.
pub fn soak(binary: &Path, proof: &Soak) -> Result<Soaked> {
    let mut sandbox = Sandbox::new(binary)?;
    let soaked = run(&sandbox, proof);
    if soaked.is_err() {
        sandbox.keep();
    }
    soaked
}

fn run(sandbox: &Sandbox, proof: &Soak) -> Result<Soaked> {
    let mut arena = Arena::start(sandbox, proof.n_servers)?;
    let (slots, stop) = (arena.slots.clone(), arena.stop.clone());
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for slot in &slots {
            for n in 0..proof.n_connections {
                let path = sandbox.path().join(format!("{}-{n}.ids", slot.name));
                let (slot, stop) = (slot.clone(), stop.clone());
                clients.push(scope.spawn(move || load::receive(&slot, &stop, &path, proof.pause)));
            }
        }
        let hurt = hurt(&mut arena, proof.n_ids);
        stop.raise();
        let received =
            clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?);
        let received: Result<Vec<load::Received>> = received.collect();
        let (received, faults) = match (received, hurt) {
            (Ok(received), Ok(faults)) => (received, faults),
            (Err(client), Err(fault)) => return Err(fault.context(format!("a client saw: {client:#}"))),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
        };
        let n_ids = merge::count_unique(&received)?;
        ensure!(n_ids >= proof.n_ids, "{n_ids} ids received, {} wanted", proof.n_ids);
        Ok(Soaked {
            n_ids,
            n_connections: received.iter().map(|one| one.ends.len()).sum(),
            n_refused: slots.iter().map(|slot| slot.n_refused()).sum(),
            faults,
        })
    })
}

/// Does all faults in turn, in as many rounds as it takes until clients have `n_ids`.
fn hurt(arena: &mut Arena<'_>, n_ids: u64) -> Result<BTreeMap<&'static str, u32>> {
    let mut done = BTreeMap::new();
    arena.wait_for_all("the first ids")?;
    loop {
        for fault in Fault::ALL {
            fault.commit(arena).with_context(|| format!("while {}", fault.name()))?;
            arena.wait_for_all(&format!("recovery after {}", fault.name()))?;
            *done.entry(fault.name()).or_insert(0) += 1;
        }
        if arena.n_ids() >= n_ids {
            return Ok(done);
        }
    }
}
