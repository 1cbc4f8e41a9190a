//! The benchmark that Hakata ships: its server beside Git's own ways of serving, beside memcached and Redis for ids, and
//! its queue beside the database and the broker below it, in one run.
//!
//! Every peer and Hakata run on the same machine over the same repositories, in turns, and the CPU time of
//! everything that a server starts is counted. Rates and wall times are shown; only ratios of CPU within one
//! run are judged, since these hold on a shared machine too. No figure counts if an answer was wrong.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod cases;
mod client;
mod machine;
mod meter;
mod peers;
mod report;
mod repositories;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cases::{chosen_parts, jobs, parts_of, rpc};
use crate::peers::Peers;
use crate::report::Report;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// Small repositories, three rounds: about five minutes.
    Quick,
    /// All repositories, seven rounds.
    Full,
}

impl Effort {
    /// Rounds of each case; peers alternate within a round.
    const fn rounds(self) -> usize {
        match self {
            Self::Quick => 3,
            Self::Full => 7,
        }
    }
}

/// The name of the cases about ids, which need other peers than all the rest.
const IDS: &str = "ids";

/// The name of the case about the reading engine, which needs no server.
const READ: &str = "read";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the cases; `false` if a goal is missed.
fn run() -> Result<bool> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, port] = arguments.as_slice()
        && first == cases::ids::floor::ARGUMENT
    {
        return cases::ids::floor::serve(port).map(|()| true);
    }
    if let [first, ready] = arguments.as_slice()
        && first == rpc::FLOOR
    {
        return rpc::serve_floor(ready).map(|()| true);
    }
    let quick = arguments.iter().position(|argument| argument == "--quick");
    let effort = if quick.map(|at| arguments.remove(at)).is_some() { Effort::Quick } else { Effort::Full };
    let given: Vec<PathBuf> = arguments
        .iter()
        .filter_map(|argument| argument.strip_prefix("--repository="))
        .map(PathBuf::from)
        .collect();
    arguments.retain(|argument| !argument.starts_with("--repository="));
    let mut arguments = arguments.into_iter();
    let usage = "usage: hakata-bench HAKATA [--quick] [--repository=PATH…] [CASE…]";
    let binary = PathBuf::from(arguments.next().context(usage)?);
    let chosen: Vec<String> = arguments.collect();
    let folder =
        tempfile::Builder::new().prefix("hakata-bench-").tempdir().context("making a working folder")?;
    println!("{}", machine::describe()?);
    let is_git = |wanted: &String| {
        let is_other = [IDS, READ].contains(&wanted.as_str());
        !is_other && parts_of(rpc::CASES, wanted).is_empty() && parts_of(jobs::CASES, wanted).is_empty()
    };
    let git = chosen.is_empty() || chosen.iter().any(is_git);
    let git = !git || compare_git(folder.path(), &binary, effort, &chosen)?;
    let ids = chosen.is_empty() || chosen.iter().any(|wanted| wanted == IDS);
    if ids {
        eprintln!("measuring ids");
    }
    let ids = !ids || cases::ids::measure(folder.path(), &binary, effort).context("case ids")?;
    let read = chosen.is_empty() || chosen.iter().any(|wanted| wanted == READ);
    if read {
        eprintln!("measuring reads");
    }
    let read = !read || cases::read::measure(folder.path(), &given, effort).context("case read")?;
    let parts = chosen_parts(rpc::CASES, &chosen);
    if !parts.is_empty() {
        eprintln!("measuring the repository service");
    }
    let rpc = parts.is_empty()
        || rpc::measure(folder.path(), &binary, &given, (&parts, effort)).context("case rpc")?;
    let parts = chosen_parts(jobs::CASES, &chosen);
    let jobs =
        parts.is_empty() || jobs::measure(folder.path(), &binary, &parts, effort).context("case jobs")?;
    Ok(git && ids && read && rpc && jobs)
}

/// Runs the cases about repositories; `false` if a goal is missed.
fn compare_git(folder: &Path, binary: &Path, effort: Effort, chosen: &[String]) -> Result<bool> {
    eprintln!("making repositories");
    let repositories = repositories::make(folder, effort)?;
    eprintln!("starting peers");
    let peers = Peers::start(folder, binary, &repositories)?;
    cases::check_truth(&peers, &repositories)?;
    let mut report = Report::default();
    for (name, case) in cases::ALL {
        if chosen.is_empty() || chosen.iter().any(|wanted| name.contains(wanted.as_str())) {
            eprintln!("measuring {name}");
            case(&peers, &repositories, effort, &mut report).with_context(|| format!("case {name}"))?;
        }
    }
    Ok(report.print())
}
