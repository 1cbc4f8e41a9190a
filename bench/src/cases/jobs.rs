//! Jobs: how fast the queue is against the statements and the broker that it is made of, how soon a job starts, and
//! whether a receiver that hangs delays what others are told.
//!
//! Ours and what it is held against take turns within a round, in this process and over the same database or broker, so
//! that ratios hold on a machine that is never alone. Databases are those of the tests; the broker and Redis are started
//! here. Nothing counts unless every job was done, and was done once.

mod broker;
mod figures;
mod hanging;
mod idle;
mod stage;
mod table;

use std::path::Path;

use anyhow::{Context, Result};
use hakata_testkit::Engine;

use crate::Effort;
use crate::cases::Parts;
use figures::Figures;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Through the table alone.
    Table,
    /// Through RabbitMQ.
    Broker,
    /// From a commit to the start of its job.
    Idle,
    /// Deliveries beside a receiver that hangs.
    Hanging,
}

/// Names of cases, and what is measured for each.
pub(crate) const CASES: Parts<Part> = &[
    ("jobs", &[Part::Table, Part::Broker, Part::Idle, Part::Hanging]),
    ("jobs-table", &[Part::Table]),
    ("jobs-broker", &[Part::Broker]),
    ("jobs-idle", &[Part::Idle]),
    ("jobs-hanging", &[Part::Hanging]),
];

/// The databases that jobs can be in.
const ENGINES: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::Mariadb];

/// Jobs of a kind that run at once, and transactions that enqueue at once.
const AT_ONCE: usize = 16;

/// Sets the number of jobs of one round, to try things out.
const N_JOBS: &str = "HAKATA_BENCH_JOBS";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Amount {
    rounds: usize,
    /// Jobs of one round.
    n_jobs: i64,
    /// Jobs that start while nothing else happens.
    n_starts: usize,
    /// Pushes that webhooks are told of.
    n_pushes: usize,
}

impl Amount {
    fn of(effort: Effort) -> Result<Self> {
        let (n_jobs, n_starts, n_pushes) = match effort {
            Effort::Quick => (2_000, 100, 40),
            Effort::Full => (10_000, 500, 200),
        };
        let all = Self { rounds: effort.rounds(), n_jobs, n_starts, n_pushes };
        let Ok(given) = std::env::var(N_JOBS) else { return Ok(all) };
        let n_jobs: i64 = given.parse().with_context(|| format!("reading {N_JOBS}"))?;
        let few = usize::try_from(n_jobs).context("a number of jobs")?.div_ceil(20);
        Ok(Self { rounds: 1, n_jobs, n_starts: few, n_pushes: few })
    }
}

/// Measures parts of what is to be known about jobs; `false` if a goal is missed.
pub(crate) fn measure(folder: &Path, binary: &Path, parts: &[Part], effort: Effort) -> Result<bool> {
    let folder = folder.join("jobs");
    std::fs::create_dir(&folder)?;
    let amount = Amount::of(effort)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Figures::default();
    for part in parts {
        match part {
            Part::Table => runtime.block_on(table::measure(&folder, amount, &mut figures))?,
            Part::Broker => runtime.block_on(broker::measure(&folder, amount, &mut figures))?,
            Part::Idle => runtime.block_on(idle::measure(&folder, amount, &mut figures))?,
            Part::Hanging => hanging::measure(binary, amount, &mut figures)?,
        }
    }
    Ok(figures.print())
}
