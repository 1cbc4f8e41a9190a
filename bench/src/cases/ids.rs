//! The id server beside what else gives out numbers: `get` and `incr` of memcached, `INCR` of Redis.
//!
//! One thread makes all the load; servers take turns within a round, so that what else this machine does falls on
//! all of them. Every reply is read: a rate counts only if ids rose on each connection and none was missing.
//!
//! A pipeline of 32 is a batch: 32 requests in one write, the next ones when all are answered, as clients with a pipeline
//! call it. A window that is refilled with each reply would be kinder to servers that answer a batch in parts, and the
//! same for those that answer it at once.
//!
//! Two rows set the scale. `bare sockets` is a server that only writes what it has ready: nobody can be faster here.
//! `hakata borrowing` may issue ids of the next second (`id.borrow = "1s"`), so it shows what the code can do in a burst
//! as long as a round, where the ids of a worker id, 4.096 M a second, bind the plain one. In the long run they bind both.

mod burst;
mod figures;
pub(crate) mod floor;
mod load;
mod peers;
mod replies;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Effort;
use figures::{Figures, Round};
use load::Load;
use peers::{Peer, Peers};
use replies::Dialect;

/// Keys of one multi-get.
const MANY: usize = 100;

/// Ids a second that the standard layout can carry for one worker id.
const CEILING: f64 = 4_096_000.0;

/// Runs all cases; `false` if a goal is missed.
pub(crate) fn measure(folder: &Path, binary: &Path, effort: Effort) -> Result<bool> {
    let peers = Peers::start(folder, binary)?;
    let mut figures = Figures::default();
    for n_keys in [1, MANY] {
        for pipeline in [1, 32] {
            for n_connections in [1, 16, 256] {
                let load = Load { n_connections, pipeline, n_keys, lasts: lasts(effort) };
                compare(&peers, &load, effort, &mut figures).with_context(|| case(&load))?;
            }
        }
    }
    goals(&mut figures);
    burst::connects(&peers.hakata, &mut figures)?;
    burst::idle_memory(&peers.hakata, &mut figures)?;
    Ok(figures.print())
}

fn lasts(effort: Effort) -> Duration {
    match effort {
        Effort::Quick => Duration::from_millis(300),
        Effort::Full => Duration::from_secs(1),
    }
}

fn case(load: &Load) -> String {
    let what = if load.n_keys == 1 { "single".to_owned() } else { format!("get of {}", load.n_keys) };
    format!("{what} c{} p{}", load.n_connections, load.pipeline)
}

/// Measures one load on every server that can carry it, in turns, after one round to warm up.
fn compare(peers: &Peers, load: &Load, effort: Effort, figures: &mut Figures) -> Result<()> {
    let mut entrants: Vec<(&Peer, Dialect)> = vec![
        (&peers.hakata, Dialect::Ids),
        (&peers.memcached, Dialect::Get),
        (&peers.borrowing, Dialect::Borrowed),
    ];
    if load.n_keys == 1 {
        entrants.extend([(&peers.memcached, Dialect::Incr), (&peers.redis, Dialect::RedisIncr)]);
        entrants.push((&peers.floor, Dialect::Floor));
    }
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); entrants.len()];
    for round in 0..=effort.rounds() {
        for ((peer, dialect), rounds) in entrants.iter().zip(&mut rounds) {
            let before = peer.cpu()?;
            let done = load.run(&peer.address, *dialect).with_context(|| dialect.name())?;
            if round > 0 {
                rounds.push(Round { values: done.n_values, took: done.took, cpu: peer.cpu()? - before });
            }
        }
    }
    for ((_, dialect), rounds) in entrants.into_iter().zip(rounds) {
        figures.add(case(load), dialect.name(), rounds);
    }
    Ok(())
}

/// What must hold within one run.
fn goals(figures: &mut Figures) {
    let (ours, get) = (Dialect::Ids.name(), Dialect::Get.name());
    for n_connections in [1, 16, 256] {
        let case = format!("single c{n_connections} p32");
        for entrant in [Dialect::Ids, Dialect::Borrowed] {
            let ratio = figures.rate(&case, entrant.name()) / figures.rate(&case, get);
            figures.goal(format!("{case}: {} against memcached get", entrant.name()), ratio, 8.0);
        }
    }
    let case = "single c16 p1";
    let ratio = figures.rate(case, ours) / figures.rate(case, get);
    figures.goal(format!("{case} against memcached get"), ratio, 1.0);
    let case = format!("get of {MANY} c16 p1");
    let ratio = figures.rate(&case, ours) / CEILING;
    figures.goal(format!("{case} against the layout's ceiling"), ratio, 0.95);
}
