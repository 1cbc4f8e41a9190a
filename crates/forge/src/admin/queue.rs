//! `hakata queue`.

use hakata_names::JobId;
use serde::{Deserialize, Serialize};

use super::accounts::done;
use super::{Cell, Outcome, Row, Table, words};
use crate::jobs::{Job, JobState, Kind};
use crate::{Actor, Error, Forge};

/// Most jobs of one state that a list shows; also what one command retries or purges.
const MOST: usize = 1_000;

/// `hakata queue …`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum QueueCommand {
    /// Lists jobs that are not done, or those in one state.
    List {
        /// The state; without it all but `done`.
        #[serde(default)]
        state: Option<JobState>,
        /// The kind; without it all.
        #[serde(default)]
        kind: Option<Kind>,
    },
    /// Shows one job.
    Show {
        /// Which.
        #[serde(with = "words")]
        id: JobId,
    },
    /// Lets buried jobs, or one that waits, run as soon as they can.
    Retry {
        /// Which.
        which: Which,
    },
    /// Deletes jobs that no worker has.
    Purge {
        /// Which.
        which: Which,
    },
    /// Lets no worker take jobs of a kind.
    Pause {
        /// The kind.
        kind: Kind,
    },
    /// Takes `pause` back.
    Resume {
        /// The kind.
        kind: Kind,
    },
}

/// Which jobs are meant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// One.
    Job(#[serde(with = "words")] JobId),
    /// All buried ones, of one kind or all.
    Buried(Option<Kind>),
}

pub(super) async fn run(forge: &Forge, actor: &Actor, command: QueueCommand) -> Result<Outcome, Error> {
    match command {
        QueueCommand::List { state, kind } => list(forge, state, kind).await,
        QueueCommand::Show { id } => Ok(Outcome::One(row(&forge.get_job(id).await?))),
        QueueCommand::Retry { which } => {
            let jobs = chosen(forge, which).await?;
            for job in &jobs {
                forge.retry_job(actor, job).await?;
            }
            Ok(done(format!("{} to be tried again", counted(jobs.len())), n_jobs(jobs.len())))
        }
        QueueCommand::Purge { which } => {
            let jobs = chosen(forge, which).await?;
            for job in &jobs {
                forge.purge_job(actor, job).await?;
            }
            Ok(done(format!("{} purged", counted(jobs.len())), n_jobs(jobs.len())))
        }
        QueueCommand::Pause { kind } => {
            forge.set_paused(actor, kind, true).await?;
            Ok(done(format!("{kind} is paused on every node; what runs is finished"), None))
        }
        QueueCommand::Resume { kind } => {
            forge.set_paused(actor, kind, false).await?;
            Ok(done(format!("{kind} goes on"), None))
        }
    }
}

async fn list(forge: &Forge, state: Option<JobState>, kind: Option<Kind>) -> Result<Outcome, Error> {
    let all = [JobState::Claimed, JobState::Waiting, JobState::Buried];
    let states = state.as_ref().map_or(&all[..], std::slice::from_ref);
    let paused = forge.paused_kinds().await?;
    let mut table = Table::new(&["id", "kind", "state", "attempts", "run_at", "worker", "error"]);
    for state in states {
        for job in forge.list_jobs(*state, kind, MOST).await? {
            let shown = match job.state {
                JobState::Waiting if paused.contains(&job.kind) => "paused",
                state => state.as_str(),
            };
            table.push(vec![
                Cell::text(job.id),
                Cell::text(&job.kind),
                Cell::text(shown),
                Cell::Number(job.attempts),
                Cell::Time(job.run_at),
                job.claimed_by.map_or(Cell::Absent, Cell::Text),
                job.last_error.map_or(Cell::Absent, Cell::Text),
            ]);
        }
    }
    Ok(Outcome::List(table))
}

async fn chosen(forge: &Forge, which: Which) -> Result<Vec<Job>, Error> {
    match which {
        Which::Job(id) => Ok(vec![forge.get_job(id).await?]),
        Which::Buried(kind) => forge.list_jobs(JobState::Buried, kind, MOST).await,
    }
}

fn counted(n: usize) -> String {
    if n == 1 { "1 job".to_owned() } else { format!("{n} jobs") }
}

fn n_jobs(n: usize) -> Option<Row> {
    Some(Row::default().with("n_jobs", Cell::Number(i64::try_from(n).unwrap_or(i64::MAX))))
}

fn row(job: &Job) -> Row {
    let text = |value: Option<&String>| value.map_or(Cell::Absent, Cell::text);
    Row::default()
        .with("id", Cell::text(job.id))
        .with("kind", Cell::text(&job.kind))
        .with("state", Cell::text(job.state))
        .with("repository_id", job.repository.map_or(Cell::Absent, Cell::text))
        .with("event_id", job.event.map_or(Cell::Absent, Cell::text))
        .with("lane", text(job.lane.as_ref()))
        .with("sequence", job.sequence.map_or(Cell::Absent, Cell::Number))
        .with("target", text(job.target.as_ref()))
        .with("attempts", Cell::Number(job.attempts))
        .with("created_at", Cell::Time(job.created_at))
        .with("run_at", Cell::Time(job.run_at))
        .with("worker", text(job.claimed_by.as_ref()))
        .with("claimed_until", Cell::time(job.claimed_until))
        .with("finished_at", Cell::time(job.finished_at))
        .with("error", text(job.last_error.as_ref()))
        .with("payload", Cell::text(&job.payload))
}
