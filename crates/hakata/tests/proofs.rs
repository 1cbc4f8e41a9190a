//! The proofs of `cargo xtask prove`, each run small.

use std::path::Path;
use std::time::Duration;

use hakata_testkit::proof::{
    Crash, Drain, Jobs, Merges, Race, Soak, Stall, crash, drain, jobs, merges, race, soak, stall,
};
use hakata_testkit::{Database, Engine, ServerOptions, crash_points};

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hakata"))
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_at_any_step() {
    let points = crash_points();
    let n_pushes = u32::try_from(points.len()).expect("a handful");
    let proof = Crash { points, n_pushes, options: ServerOptions::default(), progress: |_| {} };
    let crashed = crash(binary(), &proof).expect("the proof holds");
    assert!(crashed.n_sweeps_killed > 0, "some leftovers were swept, and a sweep was killed: {crashed:?}");
}

#[test]
fn no_merge_is_lost_or_made_twice_when_the_server_is_killed() {
    let points = ["commit.before_commit", "commit.after_commit", "push.blob_put"];
    let proof = Merges {
        points: points.map(str::to_owned).to_vec(),
        n_kills: 6,
        n_writers: 4,
        options: ServerOptions::default(),
        progress: |_| {},
    };
    let merged = merges(binary(), &proof).expect("the proof holds");
    assert!(merged.n_acknowledged > 0 && merged.n_unanswered > 0, "changes met kills: {merged:?}");
    assert!(!merged.points.is_empty(), "kills happened inside of changes: {merged:?}");
}

#[test]
fn no_job_is_lost_or_done_again_when_workers_are_killed() {
    let database = Database::create(Engine::Postgres).expect("a database").expect("one of a server");
    let settings = vec![("database.url".to_owned(), database.url())];
    let proof = Jobs {
        n_deliveries: 300,
        n_kills: 6,
        n_hooks: 5,
        n_refs: 10,
        broker: None,
        options: ServerOptions { settings, ..ServerOptions::default() },
        progress: |_| {},
    };
    let worked = jobs(binary(), &proof).expect("the proof holds");
    assert_eq!(worked.n_workers_killed, 6, "workers died with jobs in their hands: {worked:?}");
    assert!(worked.n_deliveries >= 300 && worked.n_jobs > worked.n_deliveries, "{worked:?}");
}

#[test]
fn one_writer_wins_each_round() {
    let proof = Race { n_writers: 8, n_rounds: 3, options: ServerOptions::default() };
    race(binary(), &proof).expect("the proof holds");
}

#[test]
fn stalled_handshakes_are_cut_and_leave_nothing() {
    let proof = Stall { n_idle: 100, n_stalled: 50, deadline: Duration::from_secs(3) };
    stall(binary(), &proof).expect("the proof holds");
}

#[test]
fn transfers_finish_when_the_server_is_told_to_stop() {
    let proof = Drain { size_bytes: 8_000_000, bytes_per_second: 4_000_000 };
    drain(binary(), &proof).expect("the proof holds");
}

#[test]
fn no_id_comes_twice_while_leases_processes_and_redis_are_hurt() {
    let pause = Duration::from_millis(10);
    let proof = Soak { n_ids: 1_000_000, n_servers: 8, n_connections: 2, pause };
    let soaked = soak(binary(), &proof).expect("the proof holds");
    assert!(soaked.n_refused > 0, "servers stopped at their fence: {soaked:?}");
}
