//! How workers get jobs.
//!
//! A claim locks the row of the kind, so claims of one kind follow each other over all nodes; what is counted under the
//! lock cannot grow meanwhile. That makes the limits exact. Rows of jobs that somebody else has locked (an
//! administrator who purges) are passed over instead of waited for.

use std::collections::HashMap;

use hakata_names::{JobId, RepositoryId};

use super::{Job, columns, read, relay};
use crate::clock::clocked_many;
use crate::conn::Conn;
use crate::dialect::Engine;
use crate::sql::{ManySql, Sql, chunks, sql};
use crate::value::{Value, values};
use crate::{StoreError, Tx};

/// Who claims, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Node and worker; unique among the living.
    pub by: &'a str,
    /// How long the claim lasts unless it is renewed, by the database's clock, in ms.
    pub lease_ms: i64,
}

/// How many jobs of a kind may be claimed at one time, over all nodes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub all: i64,
    /// With the same target.
    pub per_target: i64,
    /// About the same repository.
    pub per_repository: i64,
}

/// What is wanted of a claim.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Jobs of this kind.
    pub kind: &'a str,
    /// Bounds on what is claimed, what others have included.
    pub limits: Limits,
    /// The most jobs.
    pub most: i64,
    /// Now, in ms.
    pub now: i64,
}

/// Jobs looked at for each one that is wanted: some of them share a target or a repository.
const SPARE: i64 = 4;

/// The most jobs that one claim takes or looks at; one chunk.
const MOST: i64 = 128;

/// A waiting job that nothing keeps from being claimed, but what is claimed with it.
struct Candidate {
    id: i64,
    target: Option<String>,
    repository: Option<RepositoryId>,
}

/// What holds for a waiting job that nothing keeps from being claimed; behind "WHERE", with the values of [`bounds`].
macro_rules! is_free {
    () => {
        "j.kind = ? AND j.state = 'waiting' AND j.run_at <= ? \
         AND (j.lane IS NULL OR NOT EXISTS (SELECT 1 FROM job e WHERE e.lane = j.lane AND e.kind = j.kind \
         AND e.state IN ('waiting', 'claimed') \
         AND (e.sequence < j.sequence OR (e.sequence = j.sequence AND e.id < j.id)) \
         AND (e.held_until IS NULL OR e.held_until > ?))) \
         AND (j.target IS NULL OR j.target NOT IN (SELECT t.target FROM job t WHERE t.kind = ? \
         AND t.state = 'claimed' AND t.target IS NOT NULL GROUP BY t.target HAVING COUNT(*) >= ?)) \
         AND (j.repository_id IS NULL OR j.repository_id NOT IN (SELECT r.repository_id FROM job r \
         WHERE r.kind = ? AND r.state = 'claimed' AND r.repository_id IS NOT NULL \
         GROUP BY r.repository_id HAVING COUNT(*) >= ?)) \
         ORDER BY j.priority, j.run_at, j.id LIMIT ?"
    };
}

macro_rules! candidates {
    ($which:literal, $lock:literal) => {
        concat!("SELECT j.id, j.target, j.repository_id FROM job j WHERE ", $which, is_free!(), $lock)
    };
}

/// The values of [`is_free`].
fn bounds(wanted: Wanted<'_>, look_at: i64) -> [Value<'_>; 8] {
    let Wanted { kind, limits, now, .. } = wanted;
    let (kind, now) = (Value::from(kind), Value::from(now));
    let (per_target, per_repository) = (Value::from(limits.per_target), Value::from(limits.per_repository));
    [kind, now, now, kind, per_target, kind, per_repository, Value::from(look_at)]
}

/// Claims jobs whose time has come, by priority and time. Fewer than wanted does not mean that there are no more, none
/// does; so one that gave any is to be repeated.
///
/// # Errors
/// Any [`StoreError`].
pub async fn claim(tx: &mut Tx<'_>, claim: Claim<'_>, wanted: Wanted<'_>) -> Result<Vec<Job>, StoreError> {
    const NEXT: Sql = sql!(
        sqlite: candidates!("", ""),
        postgres: candidates!("", " FOR UPDATE OF j SKIP LOCKED"),
        mysql: candidates!("", " FOR UPDATE SKIP LOCKED")
    );
    let Some((taken, room)) = room(tx, wanted).await? else { return Ok(Vec::new()) };
    let candidates = tx.list(&NEXT, &bounds(wanted, (room * SPARE).min(MOST)), candidate).await?;
    take(tx, claim, chosen(candidates, taken, wanted.limits, room)).await
}

/// What became of jobs that messages named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Those that are claimed now, and others that messages had named before in vain.
    pub claimed: Vec<Job>,
    /// How many of the named wait on: a limit is reached, their lane is not at them, or the kind is paused. Whoever
    /// makes room finds them here, their messages are of no more use. All others are claimed already, done, gone, or
    /// wait for another attempt, and are named again for that.
    pub passed: u64,
}

/// Claims jobs that messages named, under the same rules as [`claim`], and before them those of the kind that were named
/// when they could not be claimed. At most 128 are named.
///
/// # Errors
/// Any [`StoreError`].
pub async fn claim_told(
    tx: &mut Tx<'_>,
    claim: Claim<'_>,
    wanted: Wanted<'_>,
    named: &[JobId],
) -> Result<Told, StoreError> {
    const PASSED: Sql = sql!(
        sqlite: candidates!("j.relay_at = 9223372036854775807 AND ", ""),
        postgres: candidates!("j.relay_at = 9223372036854775807 AND ", " FOR UPDATE OF j SKIP LOCKED"),
        mysql: candidates!("j.relay_at = 9223372036854775807 AND ", " FOR UPDATE SKIP LOCKED")
    );
    let mut ids = Vec::new();
    if let Some((taken, room)) = room(tx, wanted).await? {
        let mut candidates = tx.list(&PASSED, &bounds(wanted, (room * SPARE).min(MOST)), candidate).await?;
        for free in free_among(tx, wanted, named).await? {
            if candidates.iter().all(|passed| passed.id != free.id) {
                candidates.push(free);
            }
        }
        ids = chosen(candidates, taken, wanted.limits, room);
    }
    let claimed = take(tx, claim, ids).await?;
    let is_left = |id: &&JobId| claimed.iter().all(|job| job.id != **id);
    let left: Vec<JobId> = named.iter().filter(is_left).copied().collect();
    let passed = relay::pass(tx, wanted.kind, wanted.now, &left).await?;
    Ok(Told { claimed, passed })
}

/// Finds those of the named that nothing keeps from being claimed.
async fn free_among(
    conn: &mut Conn,
    wanted: Wanted<'_>,
    named: &[JobId],
) -> Result<Vec<Candidate>, StoreError> {
    const fn among(tail: &'static str) -> ManySql {
        let head = "SELECT j.id, j.target, j.repository_id FROM job j WHERE j.id IN (";
        ManySql { head, row: "?", between: ", ", tail, again: None }
    }
    const SQLITE: ManySql = among(concat!(") AND ", is_free!()));
    const POSTGRES: ManySql = among(concat!(") AND ", is_free!(), " FOR UPDATE OF j SKIP LOCKED"));
    const MYSQL: ManySql = among(concat!(") AND ", is_free!(), " FOR UPDATE SKIP LOCKED"));
    let many = match conn.engine() {
        Engine::Sqlite => &SQLITE,
        Engine::Postgres => &POSTGRES,
        Engine::MySql => &MYSQL,
    };
    let mut found = Vec::new();
    for ids in chunks(named) {
        let mut values: Vec<Value<'_>> = ids.iter().map(|id| Value::from(*id)).collect();
        values.extend(bounds(wanted, MOST));
        found.extend(conn.list_many(many, ids.len(), &values, candidate).await?);
    }
    Ok(found)
}

fn candidate(row: &crate::row::Row) -> Result<Candidate, StoreError> {
    Ok(Candidate { id: row.int(0)?, target: row.opt_text(1)?, repository: row.opt_id(2)? })
}

/// How many jobs are claimed already.
#[derive(Default)]
struct Taken {
    by_target: HashMap<String, i64>,
    by_repository: HashMap<RepositoryId, i64>,
}

/// Locks the kind and counts what is claimed of it; `None`: paused, or no room.
async fn room(conn: &mut Conn, wanted: Wanted<'_>) -> Result<Option<(Taken, i64)>, StoreError> {
    const CLAIMED: Sql = sql!("SELECT target, repository_id FROM job WHERE kind = ? AND state = 'claimed'");
    if lock(conn, wanted.kind).await?.is_some() {
        return Ok(None);
    }
    let claimed =
        conn.list(&CLAIMED, values![wanted.kind], |row| Ok((row.opt_text(0)?, row.opt_id(1)?))).await?;
    let n_claimed = i64::try_from(claimed.len()).unwrap_or(i64::MAX);
    let room = (wanted.limits.all - n_claimed).min(wanted.most).min(MOST);
    let mut taken = Taken::default();
    for (target, repository) in claimed {
        if let Some(target) = target {
            *taken.by_target.entry(target).or_default() += 1;
        }
        if let Some(repository) = repository {
            *taken.by_repository.entry(repository).or_default() += 1;
        }
    }
    Ok((room > 0).then_some((taken, room)))
}

/// Locks the row of a kind, which is made when it is first asked for; the answer is since when the kind is paused.
async fn lock(conn: &mut Conn, kind: &str) -> Result<Option<i64>, StoreError> {
    macro_rules! lock {
        ($tail:literal) => {
            concat!("SELECT paused_at FROM job_kind WHERE kind = ?", $tail)
        };
    }
    const LOCK: Sql = sql!(sqlite: lock!(""), postgres: lock!(" FOR UPDATE"), mysql: lock!(" FOR UPDATE"));
    const START: Sql = sql!(insert_absent "INSERT INTO job_kind (kind, paused_at) VALUES (?, NULL)");
    if let Some(paused_at) = conn.find(&LOCK, values![kind], |row| row.opt_int(0)).await? {
        return Ok(paused_at);
    }
    conn.insert_absent(&START, values![kind]).await?;
    Ok(conn.find(&LOCK, values![kind], |row| row.opt_int(0)).await?.flatten())
}

/// Takes candidates in their order as long as none has too many beside it.
fn chosen(candidates: Vec<Candidate>, mut taken: Taken, limits: Limits, room: i64) -> Vec<i64> {
    let mut ids = Vec::new();
    for Candidate { id, target, repository } in candidates {
        let of_target = target.map(|target| taken.by_target.entry(target).or_default());
        let of_repository = repository.map(|repository| taken.by_repository.entry(repository).or_default());
        if of_target.as_ref().is_some_and(|n| **n >= limits.per_target)
            || of_repository.as_ref().is_some_and(|n| **n >= limits.per_repository)
        {
            continue;
        }
        of_target.into_iter().for_each(|n| *n += 1);
        of_repository.into_iter().for_each(|n| *n += 1);
        ids.push(id);
        if i64::try_from(ids.len()).unwrap_or(i64::MAX) >= room {
            break;
        }
    }
    ids
}

async fn take(conn: &mut Conn, claim: Claim<'_>, ids: Vec<i64>) -> Result<Vec<Job>, StoreError> {
    // The dedupe goes: from now on the same work must be enqueued anew.
    let take = clocked_many!(
        conn.engine(),
        "UPDATE job SET state = 'claimed', dedupe = NULL, attempts = attempts + 1, claimed_by = ?, claimed_until = ",
        " + ? WHERE state = 'waiting' AND id IN (",
        ")"
    );
    const READ: ManySql = ManySql {
        head: concat!(columns!(), "WHERE state = 'claimed' AND claimed_by = ? AND id IN ("),
        row: "?",
        between: ", ",
        tail: ") ORDER BY priority, run_at, id",
        again: None,
    };
    let mut jobs = Vec::with_capacity(ids.len());
    for ids in chunks(&ids) {
        let ids: Vec<Value<'_>> = ids.iter().copied().map(Value::from).collect();
        let mut taking = vec![Value::from(claim.by), Value::from(claim.lease_ms)];
        taking.extend(&ids);
        if conn.execute_many(&take, ids.len(), &taking).await? == 0 {
            continue;
        }
        let mut reading = vec![Value::from(claim.by)];
        reading.extend(&ids);
        jobs.extend(conn.list_many(&READ, ids.len(), &reading, read).await?);
    }
    Ok(jobs)
}
