//! `prove HAKATA [NAME…]`: runs the proofs in full against a binary.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hakata_testkit::proof::{
    Crash, Crashed, Drain, Merged, Merges, Race, Soak, Stall, crash, drain, merges, race, soak, stall,
};
use hakata_testkit::{Database, Engine, ServerOptions, crash_points, merge_points};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary =
        PathBuf::from(arguments.next().context("usage: prove HAKATA [crash|merges|race|stall|drain|soak]…")?);
    let binary = binary.canonicalize().context("looking for the binary")?;
    let mut names: Vec<String> = arguments.collect();
    if names.is_empty() {
        names = ["crash", "merges", "race", "stall", "drain", "soak"].map(str::to_owned).to_vec();
    }
    for name in names {
        let started = Instant::now();
        match name.as_str() {
            "crash" => prove_crash(&binary)?,
            "merges" => prove_merges(&binary)?,
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
