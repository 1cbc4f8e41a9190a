//! What rows say of deliveries beside what receivers got.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use hakata_names::{DeliveryId, Oid, RefName, RepositoryId, WebhookId};
use hakata_store::page::PageSize;
use hakata_store::webhooks::deliveries::{self, Delivery};
use hakata_store::{Conn, DeliveryState, JobState};

use super::super::rows::{Rows, all_jobs};
use crate::Received;

/// The kind of the jobs that deliver.
const KIND: &str = "webhook";

/// What was made true from outside, and what of it receivers saw.
pub(super) struct Seen {
    /// Every webhook, of which each is told of every move.
    pub(super) hooks: Vec<WebhookId>,
    /// Where pushes moved refs to.
    pub(super) moves: Vec<(RefName, Oid)>,
    /// All requests.
    pub(super) received: Vec<Received>,
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    /// Where all of it happened.
    pub(super) repository: RepositoryId,
    pub(super) n_jobs: usize,
    pub(super) n_deliveries: usize,
    pub(super) n_receipts: usize,
}

/// One delivery as its rows tell it.
struct Told {
    row: Delivery,
    n_succeeded: usize,
    /// When its job was finished, in ms; no job: `None`.
    job_finished_at: Option<i64>,
}

/// One delivery as its receiver got it, once or more often.
struct Receipts<'a> {
    /// In ms since 1970.
    times: Vec<i64>,
    body: &'a [u8],
}

/// Checks that every move was told to every webhook, in the order of its ref, once but for what was repeated before
/// anybody had written down that it was done.
pub(super) fn check(rows: &Rows, seen: &Seen) -> Result<Counted> {
    let (repository, told, n_jobs) = rows.read(async |conn| read(conn, &seen.hooks).await)?;
    check_caused(&told, seen)?;
    let receipts = receipts_of(seen)?;
    for told in &told {
        let guid = &told.row.guid;
        check_finished(told).with_context(|| format!("delivery {guid}"))?;
        let receipts = receipts.get(guid.as_str()).with_context(|| format!("delivery {guid} is lost"))?;
        check_last(told, receipts).with_context(|| format!("delivery {guid}"))?;
    }
    let guids: BTreeSet<&str> = told.iter().map(|told| told.row.guid.as_str()).collect();
    let stray = receipts.keys().find(|guid| !guids.contains(*guid));
    ensure!(stray.is_none(), "delivery {stray:?} was made and is in no row");
    check_order(&told, &receipts)?;
    Ok(Counted { repository, n_jobs, n_deliveries: told.len(), n_receipts: seen.received.len() })
}

/// Reads the deliveries of all webhooks, and counts the finished jobs of their repository.
async fn read(conn: &mut Conn, hooks: &[WebhookId]) -> Result<(RepositoryId, Vec<Told>, usize)> {
    let mut rows = Vec::new();
    for hook in hooks {
        let mut before = None;
        loop {
            let page = deliveries::list(conn, *hook, before, PageSize::MAX).await?;
            rows.extend(page.rows);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    }
    let repository = rows.first().and_then(|row| row.repository).context("nobody was told of anything")?;
    let (finished, n_jobs) = finished(conn, repository).await?;
    ensure!(finished.len() == rows.len(), "{} jobs for {} deliveries", finished.len(), rows.len());
    let mut told = Vec::with_capacity(rows.len());
    for row in rows {
        let attempts = deliveries::attempts(conn, row.id).await?;
        let is_success = |status: i64| (200..300).contains(&status);
        let n_succeeded = attempts.iter().filter(|tried| tried.status.is_some_and(is_success)).count();
        told.push(Told { n_succeeded, job_finished_at: finished.get(&row.id).copied(), row });
    }
    Ok((repository, told, n_jobs))
}

/// Lists when the one job of each delivery was finished, and counts all jobs: none may be unfinished.
async fn finished(conn: &mut Conn, repository: RepositoryId) -> Result<(HashMap<DeliveryId, i64>, usize)> {
    let jobs = all_jobs(conn, repository).await?;
    let mut finished = HashMap::new();
    for job in jobs.values() {
        ensure!(job.state == JobState::Done, "job {} is {}: {:?}", job.id, job.state, job.last_error);
        if job.kind != KIND {
            continue;
        }
        let payload: serde_json::Value = serde_json::from_str(&job.payload).context("reading a job")?;
        let delivery = payload["delivery"].as_i64().map(DeliveryId::new).context("it names a delivery")?;
        let at = job.finished_at.with_context(|| format!("job {} was finished at no time", job.id))?;
        ensure!(finished.insert(delivery, at).is_none(), "delivery {delivery} has two jobs");
    }
    Ok((finished, jobs.len()))
}

/// Every webhook has one delivery of every move, and none of anything else.
fn check_caused(told: &[Told], seen: &Seen) -> Result<()> {
    let mut caused: Vec<(&RefName, Oid)> = seen.moves.iter().map(|(name, oid)| (name, *oid)).collect();
    caused.sort();
    for hook in &seen.hooks {
        let its = told.iter().filter(|told| told.row.webhook == *hook);
        let mut recorded = Vec::new();
        for told in its {
            let move_of = told.row.ref_name.as_ref().zip(told.row.new);
            recorded.push(move_of.with_context(|| format!("delivery {} tells of no move", told.row.guid))?);
        }
        recorded.sort();
        ensure!(
            recorded == caused,
            "webhook {hook} has {} deliveries, of {} moves",
            recorded.len(),
            caused.len()
        );
    }
    Ok(())
}

/// Gathers the requests of each delivery; all of one have the same bytes.
fn receipts_of(seen: &Seen) -> Result<HashMap<&str, Receipts<'_>>> {
    let mut receipts: HashMap<&str, Receipts<'_>> = HashMap::new();
    for request in &seen.received {
        let guid = request.headers.get("x-hakata-delivery").context("a request names its delivery")?;
        let since = request.time.duration_since(SystemTime::UNIX_EPOCH).context("it is after 1970")?;
        let its = receipts.entry(guid).or_insert_with(|| Receipts { times: Vec::new(), body: &request.body });
        its.times.push(i64::try_from(since.as_millis())?);
        ensure!(its.body == request.body, "delivery {guid} was made with other bytes");
    }
    receipts.values_mut().for_each(|its| its.times.sort_unstable());
    Ok(receipts)
}

fn check_finished(told: &Told) -> Result<()> {
    let Told { row, n_succeeded, .. } = told;
    ensure!(row.state == DeliveryState::Delivered, "it is {}, not delivered", row.state);
    ensure!(*n_succeeded == 1, "{n_succeeded} attempts are recorded as succeeded");
    Ok(())
}

/// Nothing was sent any more when it was written down that it was done.
fn check_last(told: &Told, receipts: &Receipts<'_>) -> Result<()> {
    let last = receipts.times.last().context("it was received")?;
    let written = [("the delivery", told.row.finished_at), ("its job", told.job_finished_at)];
    for (what, finished_at) in written {
        let finished_at = finished_at.with_context(|| format!("{what} was finished at no time"))?;
        ensure!(*last <= finished_at, "it was received {} ms after {what} was finished", last - finished_at);
    }
    Ok(())
}

/// What one webhook is told of one ref comes in the order in which the ref moved.
fn check_order(told: &[Told], receipts: &HashMap<&str, Receipts<'_>>) -> Result<()> {
    let mut lanes: BTreeMap<(WebhookId, &RefName), Vec<&Delivery>> = BTreeMap::new();
    for row in told.iter().map(|told| &told.row) {
        let name = row.ref_name.as_ref().context("it tells of a move")?;
        lanes.entry((row.webhook, name)).or_default().push(row);
    }
    for ((hook, name), mut rows) in lanes {
        rows.sort_by_key(|row| row.sequence);
        for pair in rows.windows(2) {
            let [earlier, later] = pair else { continue };
            ensure!(earlier.sequence < later.sequence, "webhook {hook}, {name}: two have one place");
            let times = |row: &Delivery| receipts.get(row.guid.as_str()).map(|its| &its.times);
            let last = times(earlier).and_then(|times| times.last());
            let first = times(later).and_then(|times| times.first());
            ensure!(
                last <= first,
                "webhook {hook}, {name}: {} came at {first:?}, {} before it at {last:?}",
                later.sequence,
                earlier.sequence
            );
        }
    }
    Ok(())
}
