//! `prove HAKATA [NAME…]`: runs the proofs in full against a binary.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hakata_testkit::proof::{
    BrokerFaults, Crash, Crashed, Drain, Jobs, Merged, Merges, Outage, Race, Soak, Stall, Worked, crash,
    drain, jobs, merges, race, soak, stall,
};
use hakata_testkit::{Database, Engine, ServerOptions, crash_points, merge_points};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = PathBuf::from(
        arguments.next().context("usage: prove HAKATA [crash|merges|jobs|race|stall|drain|soak]…")?,
    );
    let binary = binary.canonicalize().context("looking for the binary")?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["crash", "merges", "jobs", "race", "stall", "drain", "soak"].map(str::to_owned).to_vec();
    }
    for name in names {
        let started = Instant::now();
        match name.as_str() {
            "crash" => prove_crash(&binary)?,
            "merges" => prove_merges(&binary)?,
            "jobs" => prove_jobs(&binary)?,
            "race" => prove_race(&binary)?,
            "stall" => {
                stall(&binary, &Stall { n_idle: 500, n_stalled: 200, deadline: Duration::from_secs(30) })?
            }
            "drain" => drain(&binary, &Drain { size_bytes: 50_000_000, bytes_per_second: 5_000_000 })?,
            "soak" => prove_soak(&binary)?,
            _ => bail!("no proof {name}"),
        }
        println!("{name}: holds, {:.0?}", started.elapsed());
    }
    Ok(())
}

fn prove_crash(binary: &std::path::Path) -> Result<()> {
    for (engine, n_pushes) in [(Engine::Sqlite, 200), (Engine::Postgres, 60), (Engine::Mariadb, 60)] {
        let database = Database::create(engine)?;
        let proof = Crash {
            points: crash_points(),
            n_pushes,
            options: options(database.as_ref()),
            progress: tell_crashes,
        };
        println!("crash on {}: {n_pushes} pushes are to be killed", engine.name());
        let Crashed { n_killed, n_acknowledged, n_sweeps_killed } = crash(binary, &proof)?;
        println!(
            "crash on {}: {n_killed} pushes killed, {n_acknowledged} of them acknowledged, none lost; \
             {n_sweeps_killed} sweeps killed, nothing left behind",
            engine.name()
        );
    }
    Ok(())
}

/// Says how far a proof of many minutes is.
fn tell_crashes(so_far: &Crashed) {
    const EVERY: u32 = 10;
    if so_far.n_killed.is_multiple_of(EVERY) {
        println!("crash: {} pushes and {} sweeps killed", so_far.n_killed, so_far.n_sweeps_killed);
    }
}

fn prove_merges(binary: &std::path::Path) -> Result<()> {
    for (engine, n_kills) in [(Engine::Sqlite, 72), (Engine::Postgres, 36), (Engine::Mariadb, 36)] {
        let database = Database::create(engine)?;
        let options = options(database.as_ref());
        let proof = Merges { points: merge_points(), n_kills, n_writers: 6, options, progress: tell_merges };
        println!("merges on {}: the server is to be killed {n_kills} times", engine.name());
        let merged = merges(binary, &proof)?;
        let Merged { n_killed, n_acknowledged, n_unanswered, n_happened, .. } = merged;
        println!(
            "merges on {}: {n_killed} kills, at {} of {} points and at any moment; {n_acknowledged} changes acknowledged, \
             none lost; {n_unanswered} without an answer, {n_happened} of which had happened, none in part or twice; {} \
             sweeps killed, nothing left behind; rows of {} moves are there once",
            engine.name(),
            merged.points.len(),
            proof.points.len(),
            merged.n_sweeps_killed,
            merged.n_moves
        );
    }
    Ok(())
}

/// Says how far a proof of many minutes is.
fn tell_merges(so_far: &Merged) {
    const EVERY: u32 = 10;
    if so_far.n_killed.is_multiple_of(EVERY) {
        let Merged { n_killed, n_acknowledged, n_unanswered, .. } = so_far;
        println!(
            "merges: {n_killed} kills, {n_acknowledged} changes acknowledged, {n_unanswered} without an answer"
        );
    }
}

fn prove_jobs(binary: &std::path::Path) -> Result<()> {
    let faults = BrokerFaults { n_kills: 100, outage: Duration::from_secs(60) };
    for (engine, broker) in
        [(Engine::Postgres, None), (Engine::Mariadb, None), (Engine::Postgres, Some(faults))]
    {
        let database = Database::create(engine)?;
        let proof = Jobs {
            n_deliveries: 20_000,
            n_kills: 100,
            n_hooks: 20,
            n_refs: 25,
            broker,
            options: options(database.as_ref()),
            progress: tell_jobs,
        };
        let through = if broker.is_some() { "through RabbitMQ" } else { "from the table" };
        let place = format!("jobs {through} on {}", engine.name());
        println!("{place}: {} workers are to be killed", proof.n_kills);
        let worked = jobs(binary, &proof)?;
        let Worked { n_jobs, n_deliveries, n_receipts, n_workers_killed, n_brokers_killed, outage } = worked;
        println!(
            "{place}: {n_jobs} jobs, {n_workers_killed} kills of workers, {n_brokers_killed} of the broker; \
             {n_deliveries} deliveries received, none lost, none after it was finished, {} repeated before that",
            n_receipts - n_deliveries
        );
        if let Some(Outage { n_pushes, n_waiting, usual, without }) = outage {
            println!(
                "{place}: {n_pushes} pushes without the broker took {without:.0?} each, {usual:.0?} with it ({:.2}); \
                 {n_waiting} jobs waited for it and followed",
                without.as_secs_f64() / usual.as_secs_f64()
            );
        }
    }
    Ok(())
}

/// Says how far a proof of many minutes is.
fn tell_jobs(so_far: &Worked) {
    const EVERY: u32 = 10;
    let Worked { n_receipts, n_workers_killed, n_brokers_killed, .. } = so_far;
    if (n_workers_killed + n_brokers_killed).is_multiple_of(EVERY) {
        println!(
            "jobs: {n_workers_killed} workers and {n_brokers_killed} brokers killed, {n_receipts} deliveries received"
        );
    }
}

fn prove_race(binary: &std::path::Path) -> Result<()> {
    for engine in [Engine::Sqlite, Engine::Postgres, Engine::Mariadb] {
        let database = Database::create(engine)?;
        race(binary, &Race { n_writers: 32, n_rounds: 20, options: options(database.as_ref()) })?;
        println!("race on {}: 20 rounds of 32 writers, one winner each", engine.name());
    }
    Ok(())
}

fn prove_soak(binary: &std::path::Path) -> Result<()> {
    let soaked =
        soak(binary, &Soak { n_ids: 100_000_000, n_servers: 8, n_connections: 2, pause: Duration::ZERO })?;
    println!(
        "soak: {} ids over {} connections, none twice, rising on each; {} requests refused without a lease",
        soaked.n_ids, soaked.n_connections, soaked.n_refused
    );
    for (fault, n) in soaked.faults {
        println!("soak: {n} times {fault}");
    }
    Ok(())
}

fn options(database: Option<&Database>) -> ServerOptions {
    let settings = database.map(|database| ("database.url".to_owned(), database.url())).into_iter().collect();
    ServerOptions { settings, ..ServerOptions::default() }
}
