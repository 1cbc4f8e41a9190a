//! Killing workers and the broker while pushes make jobs.

mod stage;
mod told;
mod workers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::random::random;
use crate::{RabbitServer, Sandbox, ServerOptions};
use stage::{Receivers, Stage};
use workers::Workers;

/// How long nothing at all may be delivered: as long as a broker may take to start on a busy machine, and more.
const LIMIT: Duration = Duration::from_secs(180);

/// Pushes whose deliveries may wait at the next push: there is always work, and never so much that it all waits for the end.
const MAX_AHEAD: usize = 3;

/// Pause between two pushes that are timed.
const PUSH_EVERY: Duration = Duration::from_millis(500);

/// A push without the broker may take so much longer than one with it, and so much more for the noise of the machine.
const SLOWER: (u32, Duration) = (3, Duration::from_millis(200));

/// How much of the proof of jobs to run.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// Deliveries of webhooks at the least, a job each.
    pub n_deliveries: usize,
    /// How many kills of a worker.
    pub n_kills: u32,
    /// Webhooks that are told of every move of a ref.
    pub n_hooks: usize,
    /// Refs that each push moves.
    pub n_refs: usize,
    /// What is done to a broker that names the jobs; without one, workers look for them in the table.
    pub broker: Option<BrokerFaults>,
    /// The configuration of all processes; names a database that they can share.
    pub options: ServerOptions,
    /// Is told after each kill how far the proof is.
    pub progress: fn(&Worked),
}

/// What is done to the broker.
#[derive(Clone, Copy, Debug)]
pub struct BrokerFaults {
    /// How often it is killed while workers are killed too.
    pub n_kills: u32,
    /// How long it then stays away while pushes are made.
    pub outage: Duration,
}

/// What a proof of jobs met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Jobs of all kinds, each finished once.
    pub n_jobs: usize,
    /// Deliveries, each received.
    pub n_deliveries: usize,
    /// Requests that receivers got; those beyond the deliveries are repeated ones, whose worker died before it wrote down
    /// that it was done.
    pub n_receipts: usize,
    /// Workers killed.
    pub n_workers_killed: u32,
    /// Kills of the broker.
    pub n_brokers_killed: u32,
    /// What pushes met while the broker was away.
    pub outage: Option<Outage>,
}

/// Pushes with and without the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Pushes made while it was away.
    pub n_pushes: usize,
    /// Jobs that waited for it at the end.
    pub n_waiting: i64,
    /// The median time of a push with it.
    pub usual: Duration,
    /// The median time of a push without it.
    pub without: Duration,
}

/// Kills workers, and the broker if there is one, again and again while pushes make jobs.
///
/// When all is done, no job waits, is claimed or buried; every move of a ref was told once to every webhook by a
/// delivery that its receiver got, in the order of the ref; nothing was delivered that no push caused, and nothing again
/// after it was written down as finished. While the broker stays away, pushes take their usual time, and their jobs
/// follow.
///
/// The directory of a proof that fails is kept, and named on stderr.
///
/// # Errors
/// If any of that does not hold.
pub fn jobs(binary: &Path, proof: &Jobs) -> Result<Worked> {
    Sandbox::prove(binary, |sandbox| {
        let start_broker = |_| RabbitServer::start(&sandbox.path().join("rabbitmq"));
        let mut broker = proof.broker.as_ref().map(start_broker).transpose()?;
        let receivers = Receivers::start()?;
        let mut stage = Stage::set(sandbox, proof, &receivers, broker.as_ref())?;
        let mut workers = Workers::start(sandbox, stage.options())?;
        let kills = push_under_kills(&mut stage, proof, &mut workers, broker.as_mut())?;
        stage.wait_until_idle().context("after the kills")?;
        let outage = match (&proof.broker, &mut broker) {
            (Some(faults), Some(broker)) => Some(push_without(&mut stage, broker, faults.outage)?),
            _ => None,
        };
        workers.stop()?;
        let counted = stage.check()?;
        Ok(Worked {
            n_jobs: counted.n_jobs,
            n_deliveries: counted.n_deliveries,
            n_receipts: counted.n_receipts,
            outage,
            ..kills.count(&receivers)
        })
    })
}

/// Kills so far.
#[derive(Default)]
struct Kills {
    n_workers: AtomicU32,
    n_brokers: AtomicU32,
    /// Nobody kills any more.
    are_over: AtomicBool,
}

impl Kills {
    fn count(&self, receivers: &Receivers) -> Worked {
        Worked {
            n_receipts: receivers.n_received(),
            n_workers_killed: self.n_workers.load(Ordering::SeqCst),
            n_brokers_killed: self.n_brokers.load(Ordering::SeqCst),
            ..Worked::default()
        }
    }

    /// Kills so often, each time after something more was delivered.
    fn kill(
        &self,
        receivers: &Receivers,
        proof: &Jobs,
        (n_kills, killed): (u32, &AtomicU32),
        mut kill: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        // So the last kill comes a little before the last delivery.
        let between = u32::try_from(proof.n_deliveries)? / n_kills.max(1) * 9 / 5;
        for _ in 0..n_kills {
            let enough = receivers.n_received() + 1 + random(between) as usize;
            let is_over = || self.are_over.load(Ordering::SeqCst);
            receivers.wait_for(enough, is_over)?;
            if is_over() {
                return Ok(());
            }
            kill().inspect_err(|_| self.are_over.store(true, Ordering::SeqCst))?;
            killed.fetch_add(1, Ordering::SeqCst);
            (proof.progress)(&self.count(receivers));
        }
        Ok(())
    }
}

/// Pushes until there are enough deliveries and nobody kills any more.
fn push_under_kills(
    stage: &mut Stage<'_>,
    proof: &Jobs,
    workers: &mut Workers<'_>,
    broker: Option<&mut RabbitServer>,
) -> Result<Kills> {
    let (kills, receivers) = (Kills::default(), stage.receivers());
    std::thread::scope(|scope| {
        let kills = &kills;
        let of_workers = scope.spawn(move || {
            kills.kill(receivers, proof, (proof.n_kills, &kills.n_workers), || workers.kill_one())
        });
        let of_broker = broker.zip(proof.broker).map(|(broker, faults)| {
            let kill = move || {
                broker.kill()?;
                broker.start_again()
            };
            scope.spawn(move || kills.kill(receivers, proof, (faults.n_kills, &kills.n_brokers), kill))
        });
        let killers: Vec<_> = std::iter::once(of_workers).chain(of_broker).collect();
        let pushed = push_until(stage, proof, || killers.iter().all(|killer| killer.is_finished()));
        kills.are_over.store(true, Ordering::SeqCst);
        for killer in killers {
            killer.join().map_err(|_| anyhow!("who kills panicked"))??;
        }
        pushed
    })?;
    Ok(kills)
}

fn push_until(stage: &mut Stage<'_>, proof: &Jobs, nobody_kills: impl Fn() -> bool) -> Result<()> {
    let receivers = stage.receivers();
    let refs: Vec<String> = (0..proof.n_refs).map(|index| format!("refs/heads/of-all/{index}")).collect();
    while stage.n_caused() < proof.n_deliveries || !nobody_kills() {
        let n_enough = stage.n_caused().saturating_sub(MAX_AHEAD * refs.len() * proof.n_hooks);
        receivers.wait_for(n_enough, &nobody_kills)?;
        stage.push(&refs)?;
    }
    Ok(())
}

/// Pushes for a while with the broker, then as long without it; what the pushes cause follows when it is back.
fn push_without(stage: &mut Stage<'_>, broker: &mut RabbitServer, lasting: Duration) -> Result<Outage> {
    let usual = push_for(stage, lasting)?;
    stage.wait_until_idle().context("before the outage")?;
    broker.kill()?;
    let without = push_for(stage, lasting)?;
    let n_waiting = stage.n_waiting()?;
    ensure!(n_waiting > 0, "the broker was away, and no job waits for it");
    broker.start_again()?;
    stage.wait_until_idle().context("after the outage")?;
    let outage =
        Outage { n_pushes: without.len(), n_waiting, usual: median(usual)?, without: median(without)? };
    let (times, more) = SLOWER;
    ensure!(outage.without < outage.usual * times + more, "pushes wait for the broker: {outage:?}");
    Ok(outage)
}

/// Pushes one ref after the other for so long, and measures each push.
fn push_for(stage: &mut Stage<'_>, lasting: Duration) -> Result<Vec<Duration>> {
    let (began, mut took) = (Instant::now(), Vec::new());
    while began.elapsed() < lasting {
        let name = format!("refs/heads/one/{}", took.len() % 5);
        took.push(stage.push(&[name])?);
        std::thread::sleep(PUSH_EVERY);
    }
    Ok(took)
}

fn median(mut took: Vec<Duration>) -> Result<Duration> {
    took.sort_unstable();
    took.get(took.len() / 2).copied().context("nothing was pushed")
}
