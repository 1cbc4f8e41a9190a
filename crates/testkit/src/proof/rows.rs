//! The rows of one installation, and what must be true of them after any crash.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};
use hakata_names::{EventId, JobId, Oid, RefName, RepositoryId};
use hakata_store::events::{self, Event};
use hakata_store::jobs::{self, Job};
use hakata_store::page::PageSize;
use hakata_store::ref_log::{self, LoggedMove};
use hakata_store::{Conn, Db, JobState, Settings, refs};

use crate::{Sandbox, ServerOptions};

/// A kind of job that follows every change of refs on its own; of the other kinds one may stand for several changes.
const OF_EACH_CHANGE: &str = "commits";

/// Kinds of which a change has as many jobs as there are webhooks and readers to be told.
const OF_EACH_READER: [&str; 2] = ["webhook", "mail"];

/// The database of a sandbox's installation.
pub(super) struct Rows {
    url: String,
    runtime: tokio::runtime::Runtime,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) n_moves: usize,
    pub(super) n_events: usize,
}

impl Rows {
    /// Finds the database that a server with these options uses.
    pub(super) fn of(sandbox: &Sandbox, options: &ServerOptions) -> Result<Self> {
        let url = options.settings.iter().find(|(key, _)| key == "database.url");
        let file = || sandbox.data().join("hakata.db").display().to_string();
        let url = url.map_or_else(file, |(_, value)| value.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { url, runtime: runtime.context("starting a runtime")? })
    }

    /// Reads with a connection of its own.
    pub(super) fn read<T>(&self, question: impl AsyncFnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        self.runtime.block_on(async {
            let settings = Settings { max_connections: 1, ..Settings::new(&self.url) };
            let db = Db::open(&settings).await.context("opening the server's database")?;
            let answer = match db.read().await {
                Ok(mut conn) => question(&mut conn).await,
                Err(error) => Err(error.into()),
            };
            db.close().await;
            answer
        })
    }

    /// Checks that the log of a repository leads to its refs without a gap, and that every change of it has one event
    /// and its jobs once. Nobody may change it meanwhile.
    pub(super) fn check_changes(&self, repository: RepositoryId) -> Result<Counted> {
        self.read(async |conn| {
            let moves = logged(conn, repository).await?;
            let tips: BTreeMap<RefName, Oid> =
                refs::list(conn, repository).await?.into_iter().map(|row| (row.name, row.oid)).collect();
            ensure!(replayed(&moves)? == tips, "the log of moves does not lead to the refs");
            let events = listed(conn, repository).await?;
            check_events(&moves, &events)?;
            check_jobs(&events, &all_jobs(conn, repository).await?)?;
            Ok(Counted { n_moves: moves.len(), n_events: events.len() })
        })
    }
}

/// Lists the moves of a repository, oldest first.
async fn logged(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<LoggedMove>> {
    let (mut moves, mut after) = (Vec::new(), None);
    loop {
        let page = ref_log::list(conn, repository, after.as_ref(), PageSize::MAX).await?;
        moves.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    moves.sort_by(|one, other| (one.version, &one.name).cmp(&(other.version, &other.name)));
    Ok(moves)
}

/// Lists the events of a repository.
async fn listed(conn: &mut Conn, repository: RepositoryId) -> Result<Vec<Event>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = events::list(conn, repository, after, PageSize::MAX).await?;
        all.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Lists the jobs of a repository, done or not.
pub(super) async fn all_jobs(conn: &mut Conn, repository: RepositoryId) -> Result<BTreeMap<JobId, Job>> {
    let mut all = BTreeMap::new();
    for state in [JobState::Waiting, JobState::Claimed, JobState::Done, JobState::Buried] {
        let mut after = None;
        loop {
            let page = jobs::list(conn, state, None, after, PageSize::MAX).await?;
            let its = page.rows.into_iter().filter(|job| job.repository == Some(repository));
            all.extend(its.map(|job| (job.id, job)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(all)
}

/// Makes all moves; each must begin where the one before ended.
fn replayed(moves: &[LoggedMove]) -> Result<BTreeMap<RefName, Oid>> {
    let mut tips: BTreeMap<RefName, Oid> = BTreeMap::new();
    for logged in moves {
        let was = tips.get(&logged.name).copied();
        let LoggedMove { name, version, old, .. } = logged;
        ensure!(*old == was, "version {version} moved {name} from {old:?}, where {was:?} was");
        match logged.new {
            Some(new) => tips.insert(name.clone(), new),
            None => tips.remove(name),
        };
    }
    Ok(tips)
}

/// Every version that moved refs has one event, which tells of as many.
fn check_events(moves: &[LoggedMove], events: &[Event]) -> Result<()> {
    let mut moved: BTreeMap<i64, u64> = BTreeMap::new();
    for logged in moves {
        *moved.entry(logged.version).or_default() += 1;
    }
    let mut versions = BTreeSet::new();
    for event in events {
        ensure!(versions.insert(event.version), "version {} has two events", event.version);
        let n_moves = moved.remove(&event.version).unwrap_or(0);
        let n_told = n_refs(event)?;
        ensure!(n_told == n_moves, "the event of version {} tells of {n_told}, not {n_moves}", event.version);
    }
    ensure!(moved.is_empty(), "versions without an event: {:?}", moved.keys());
    Ok(())
}

/// Every event that moved refs has its jobs, and no job tells of what did not happen.
fn check_jobs(events: &[Event], jobs: &BTreeMap<JobId, Job>) -> Result<()> {
    let mut n_of: HashMap<(EventId, &str), usize> = HashMap::new();
    for job in jobs.values() {
        if let Some(event) = job.event {
            *n_of.entry((event, &job.kind)).or_default() += 1;
        }
    }
    for ((event, kind), n) in &n_of {
        ensure!(*n == 1 || OF_EACH_READER.contains(kind), "event {event} has {n} jobs {kind}");
        ensure!(events.iter().any(|known| known.id == *event), "a job {kind} tells of no event: {event}");
    }
    for event in events {
        let is_there = n_of.contains_key(&(event.id, OF_EACH_CHANGE));
        ensure!(
            is_there == (n_refs(event)? > 0),
            "version {}: job {OF_EACH_CHANGE}: {is_there}",
            event.version
        );
    }
    Ok(())
}

fn n_refs(event: &Event) -> Result<u64> {
    let payload: serde_json::Value = serde_json::from_str(&event.payload).context("reading an event")?;
    Ok(payload["n_refs"].as_u64().unwrap_or(0))
}
