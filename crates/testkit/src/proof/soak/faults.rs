//! What is done to leases, processes and Redis. Each fault ends once its effect was seen.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::arena::{Arena, Slot};
use crate::{Kept, wait_until};

/// How long an effect may take to show.
const EFFECT_LIMIT: Duration = Duration::from_secs(30);

/// How far clocks are stepped, in milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// A fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    LeaseStolen,
    LeaseDeleted,
    LeaseStolenFromStopped,
    StoppedPastTtl,
    StoppedWhileRedisIsEmptied,
    Killed,
    AllKilled,
    Restarted,
    RedisKilled,
    RedisFrozen,
    RedisEmptied,
    RedisReplaced,
    ClocksAhead,
    ClocksBack,
}

impl Fault {
    pub(super) const ALL: [Self; 14] = [
        Self::LeaseStolen,
        Self::LeaseDeleted,
        Self::LeaseStolenFromStopped,
        Self::StoppedPastTtl,
        Self::StoppedWhileRedisIsEmptied,
        Self::Killed,
        Self::AllKilled,
        Self::Restarted,
        Self::RedisKilled,
        Self::RedisFrozen,
        Self::RedisEmptied,
        Self::RedisReplaced,
        Self::ClocksAhead,
        Self::ClocksBack,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::LeaseStolen => "a lease is stolen",
            Self::LeaseDeleted => "a lease is deleted",
            Self::LeaseStolenFromStopped => "a stopped process is robbed of its lease",
            Self::StoppedPastTtl => "a process is stopped until another has its worker id",
            Self::StoppedWhileRedisIsEmptied => "a process is stopped while Redis is emptied",
            Self::Killed => "a process is killed",
            Self::AllKilled => "all processes are killed",
            Self::Restarted => "a process is restarted",
            Self::RedisKilled => "Redis is killed",
            Self::RedisFrozen => "Redis is frozen",
            Self::RedisEmptied => "Redis is emptied",
            Self::RedisReplaced => "Redis is replaced by an empty one",
            Self::ClocksAhead => "the time of day is set ahead an hour",
            Self::ClocksBack => "the time of day is set back an hour",
        }
    }

    /// Does it and undoes it.
    pub(super) fn commit(self, arena: &mut Arena<'_>) -> Result<()> {
        match self {
            Self::LeaseStolen => lease_stolen(arena),
            Self::LeaseDeleted => lease_deleted(arena),
            Self::LeaseStolenFromStopped => lease_stolen_from_stopped(arena),
            Self::StoppedPastTtl => stopped_past_ttl(arena),
            Self::StoppedWhileRedisIsEmptied => stopped_while_redis_is_emptied(arena),
            Self::Killed => {
                let victim = arena.any();
                kill_and_start(arena, &victim)
            }
            Self::AllKilled => arena.slots.clone().iter().try_for_each(|slot| kill_and_start(arena, slot)),
            Self::Restarted => {
                let victim = arena.any();
                victim.act(|server| server.process().stop())?;
                arena.start_server(&victim)
            }
            Self::RedisKilled => {
                arena.redis.kill()?;
                arena.wait_for_refusals()?;
                arena.redis.start_again(Kept::Everything)
            }
            Self::RedisFrozen => {
                arena.redis.signal(Signal::STOP)?;
                arena.wait_for_refusals()?;
                arena.redis.signal(Signal::CONT)
            }
            Self::RedisEmptied => empty(arena),
            Self::RedisReplaced => {
                arena.redis.kill()?;
                arena.redis.start_again(Kept::Nothing)
            }
            Self::ClocksAhead => step_clocks(arena, HOUR_MS),
            Self::ClocksBack => step_clocks(arena, -HOUR_MS),
        }
    }
}

/// The holder must notice within a renewal, and wait or take another id.
fn lease_stolen(arena: &mut Arena<'_>) -> Result<()> {
    let victim = arena.any();
    let (worker_id, n_refused) = (victim.worker_id(), victim.n_refused());
    arena.steal(worker_id)?;
    wait_until("the loss of a stolen lease", EFFECT_LIMIT, || {
        let is_lost = victim.n_refused() > n_refused || victim.worker_id() != worker_id;
        if !is_lost {
            // The thief keeps what it stole.
            let _ = arena.steal(worker_id);
        }
        is_lost
    })
}

fn lease_deleted(arena: &mut Arena<'_>) -> Result<()> {
    let victim = arena.any();
    let key = Arena::lease_key(victim.worker_id());
    ensure!(arena.redis.call(&["DEL", &key])?.is_some(), "Redis deletes the lease");
    wait_until("a new lease", EFFECT_LIMIT, || {
        arena.redis.call(&["EXISTS", &key]).is_ok_and(|exists| exists.as_deref() == Some("1"))
    })
}

fn lease_stolen_from_stopped(arena: &mut Arena<'_>) -> Result<()> {
    let victim = arena.any();
    let worker_id = victim.worker_id();
    signal(&victim, Signal::STOP)?;
    arena.steal(worker_id)?;
    arena.wait_for_end_of_lease(worker_id)?;
    signal(&victim, Signal::CONT)
}

/// There are as many worker ids as servers, so one that starts anew takes the stopped one's as soon as it is free.
fn stopped_past_ttl(arena: &mut Arena<'_>) -> Result<()> {
    let (sleeper, heir) = arena.any_two();
    let worker_id = sleeper.worker_id();
    signal(&sleeper, Signal::STOP)?;
    arena.wait_for_end_of_lease(worker_id)?;
    // The clean end of the heir frees another id: that one is kept away from it.
    let other = heir.worker_id();
    heir.act(|server| server.process().stop())?;
    arena.steal(other)?;
    arena.start_server(&heir)?;
    let inherited = wait_until("an heir of a worker id", EFFECT_LIMIT, || {
        if heir.worker_id() != worker_id {
            // The thief keeps what it stole.
            let _ = arena.steal(other);
        }
        heir.worker_id() == worker_id
    });
    signal(&sleeper, Signal::CONT)?;
    inherited
}

fn stopped_while_redis_is_emptied(arena: &mut Arena<'_>) -> Result<()> {
    let victim = arena.any();
    signal(&victim, Signal::STOP)?;
    empty(arena)?;
    // All others begin anew, one of them perhaps with the id of the one that sleeps.
    arena.wait_for_leases(arena.slots.len() - 1)?;
    signal(&victim, Signal::CONT)
}

/// Each server must see the step and go on as if nothing were; then its clock is set nearly right again.
fn step_clocks(arena: &mut Arena<'_>, by_ms: i64) -> Result<()> {
    let slots = arena.slots.clone();
    slots.iter().try_for_each(|slot| slot.clock.set(by_ms))?;
    let half = by_ms / 2;
    wait_until("clocks seen to be off", EFFECT_LIMIT, || {
        slots.iter().all(|slot| offset_ms(slot).is_some_and(|seen| (seen - half).signum() == half.signum()))
    })?;
    arena.wait_for_all("ids by clocks that are off")?;
    slots.iter().try_for_each(|slot| arena.skew(slot))?;
    wait_until("clocks seen to be right", EFFECT_LIMIT, || {
        slots.iter().all(|slot| offset_ms(slot).is_some_and(|seen| seen.abs() < half.abs()))
    })
}

/// How far a server says that the time of day is off from its own.
fn offset_ms(slot: &Slot) -> Option<i64> {
    let mut stream = BufReader::new(TcpStream::connect(slot.address()?).ok()?);
    stream.get_mut().write_all(b"stats\r\nquit\r\n").ok()?;
    let line = stream.lines().map_while(Result::ok).find(|line| line.starts_with("STAT clock_offset_ms "));
    line?.rsplit(' ').next()?.parse().ok()
}

fn empty(arena: &mut Arena<'_>) -> Result<()> {
    ensure!(arena.redis.call(&["FLUSHALL"])?.as_deref() == Some("OK"), "Redis is emptied");
    Ok(())
}

fn kill_and_start(arena: &mut Arena<'_>, slot: &Slot) -> Result<()> {
    slot.act(|server| server.process().kill())?;
    arena.start_server(slot)
}

fn signal(slot: &Slot, signal: Signal) -> Result<()> {
    slot.act(|server| server.process().signal(signal))
}
