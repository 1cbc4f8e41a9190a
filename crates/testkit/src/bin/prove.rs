//! `prove HAKATA [NAME…]`: runs the proofs in full against a binary.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hakata_testkit::proof::{Crash, Crashed, Drain, Race, Soak, Stall, crash, drain, race, soak, stall};
use hakata_testkit::{Database, Engine, ServerOptions, crash_points};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary =
        PathBuf::from(arguments.next().context("usage: prove HAKATA [crash|race|stall|drain|soak]…")?);
    let binary = binary.canonicalize().context("looking for the binary")?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["crash", "race", "stall", "drain", "soak"].map(str::to_owned).to_vec();
    }
    for name in names {
        let started = Instant::now();
        match name.as_str() {
            "crash" => prove_crash(&binary)?,
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
