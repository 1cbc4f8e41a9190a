//! A generator and its clock together: what the servers ask for ids.

use std::sync::Arc;
use std::time::Duration;

use hakata_runtime::metrics::{Counter, CounterFamily, Label, Metric};
use tokio::time::Instant;

use crate::generator::{Generator, Ids, Reservation};
use crate::layout::Slot;
use crate::time_base::TimeBase;

static ISSUED: Counter = Counter::new("hakata_id_issued_total", "Ids issued");

static BORROWED: Counter =
    Counter::new("hakata_id_borrowed_total", "Ids issued of ticks that had not begun, as id.borrow allows");

static REFUSALS: CounterFamily<Reason> =
    CounterFamily::new("hakata_id_refusals_total", "Times that no id could be issued at once");

/// Lists the metrics of this module.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&ISSUED, &BORROWED, &REFUSALS]
}

/// Readings of the clock that one call takes while others empty each tick that begins.
const MAX_READINGS: u32 = 8;

/// Issues ids; clones share one generator.
#[derive(Clone, Debug)]
pub struct Issuer {
    generator: Arc<Generator>,
    time: Arc<TimeBase>,
    max_wait: Duration,
}

/// Why no id was issued.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// No worker id is held, or its durable fence is reached.
    #[error("no lease")]
    NoLease,
    /// Time lies so far behind what was issued that waiting is no use.
    #[error("the clock is behind by {by:?}")]
    Behind {
        /// How long until it has caught up.
        by: Duration,
    },
    /// The layout cannot carry times as late as now.
    #[error("the range of ids has come to its end")]
    Exhausted,
    /// The ids of this tick are used up, and those that may be borrowed: ask again after this time.
    #[error("no ids for {0:?}")]
    Wait(Duration),
}

impl Issuer {
    /// Joins a generator and its clock; waits longer than `max_wait` are refused as [`Refusal::Behind`].
    pub fn new(generator: Arc<Generator>, time: Arc<TimeBase>, max_wait: Duration) -> Self {
        Self { generator, time, max_wait }
    }

    /// The generator, for whoever keeps its lease.
    pub fn generator(&self) -> &Arc<Generator> {
        &self.generator
    }

    /// The clock.
    pub fn time(&self) -> &Arc<TimeBase> {
        &self.time
    }

    /// Gives up to `n` ids of one tick to `each`, in rising order, and returns how many; never waits.
    ///
    /// Costs one reading of the clock and one compare-and-swap, however many ids it gives.
    ///
    /// # Errors
    /// If there is none now; [`Refusal::Wait`] says when to ask again.
    pub fn try_issue(&self, n: u32, each: impl FnMut(u64)) -> Result<u32, Refusal> {
        let mut turn = Turn::default();
        let issued = turn.try_issue(self, n, each);
        turn.end();
        issued
    }

    /// Issues `n` ids, rising, and waits for further ticks if one is not enough, for `max_wait` altogether.
    ///
    /// # Errors
    /// If they cannot all be issued in that time; those already taken are lost, never issued again.
    pub async fn issue(&self, n: u32) -> Result<Vec<u64>, Refusal> {
        let deadline = Instant::now() + self.max_wait;
        let mut ids = Vec::new();
        let mut left = n;
        while left > 0 {
            match self.try_issue(left, |id| ids.push(id)) {
                Ok(issued) => left -= issued,
                Err(Refusal::Wait(by)) if Instant::now() + by <= deadline => tokio::time::sleep(by).await,
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(ids)
    }

    /// Takes ids of a time that was read before, or of now.
    fn reserve(&self, read: &mut Option<Slot>, n: u32) -> Result<Ids, Refusal> {
        let mut left = Duration::ZERO;
        for _ in 0..MAX_READINGS {
            let (now, is_old) = match *read {
                Some(now) => (now, true),
                None => (*read.insert(self.time.now()), false),
            };
            match self.generator.reserve(now, n) {
                Reservation::Ids(ids) => return Ok(ids),
                Reservation::Fenced => return Err(Refusal::NoLease),
                Reservation::Exhausted => return Err(Refusal::Exhausted),
                Reservation::Wait(slot) => left = self.time.until(slot),
            }
            *read = None;
            // A tick that has begun since the clock was read is worth another reading.
            if !left.is_zero() && !is_old {
                break;
            }
        }
        Err(if left > self.max_wait { Refusal::Behind { by: left } } else { Refusal::Wait(left) })
    }
}

/// Requests that are answered in one go: they share a reading of the clock, and their counts are added up once.
///
/// The reading may get old, as if the process had been paused behind it: ids rise all the same and stay below the fence.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    now: Option<Slot>,
    issued: u64,
    borrowed: u64,
}

impl Turn {
    /// As [`Issuer::try_issue`].
    pub(crate) fn try_issue(
        &mut self,
        issuer: &Issuer,
        n: u32,
        each: impl FnMut(u64),
    ) -> Result<u32, Refusal> {
        if n == 0 {
            return Ok(0);
        }
        match issuer.reserve(&mut self.now, n) {
            Ok(ids) => {
                issuer.time.pin();
                let issued = u32::try_from(ids.len()).unwrap_or(n);
                self.issued += u64::from(issued);
                self.borrowed += if ids.is_borrowed() { u64::from(issued) } else { 0 };
                ids.for_each(each);
                Ok(issued)
            }
            Err(refusal) => {
                REFUSALS.get(Reason::from(refusal)).inc();
                Err(refusal)
            }
        }
    }

    /// Adds up the counts; the next request reads the clock anew.
    pub(crate) fn end(&mut self) {
        let Turn { issued, borrowed, .. } = std::mem::take(self);
        for (count, counter) in [(issued, &ISSUED), (borrowed, &BORROWED)] {
            if count > 0 {
                counter.add(count);
            }
        }
    }
}

/// Why no id was issued, as a label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    NoLease,
    Behind,
    Exhausted,
    Wait,
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoLease => Reason::NoLease,
            Refusal::Behind { .. } => Reason::Behind,
            Refusal::Exhausted => Reason::Exhausted,
            Refusal::Wait(_) => Reason::Wait,
        }
    }
}

impl Label for Reason {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Reason::NoLease => "no-lease",
            Reason::Behind => "behind",
            Reason::Exhausted => "exhausted",
            Reason::Wait => "wait",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Layout, WorkerId};
    use crate::time_base::Hands;

    const START: i64 = 1_795_309_323_456;
    const LAYOUT: Layout = Layout::Standard;

    fn issuer(hands: &Arc<Hands>) -> Issuer {
        let time = TimeBase::scripted(LAYOUT, hands.clone());
        let generator = Generator::new(LAYOUT);
        let worker = WorkerId::new(LAYOUT, 7).expect("a worker id");
        generator.start(worker, time.now(), LAYOUT.end());
        Issuer::new(Arc::new(generator), Arc::new(time), Duration::from_secs(1))
    }

    /// Lets both the hands and tokio's time pass while a call waits.
    async fn moving<T>(hands: &Hands, call: impl Future<Output = T>) -> T {
        let moving = async {
            loop {
                tokio::time::sleep(Duration::from_micros(500)).await;
                hands.advance(Duration::from_micros(500));
            }
        };
        tokio::select! {
            answer = call => answer,
            () = moving => unreachable!("time goes on for ever"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_ids_than_a_tick_has_come_from_several() {
        let hands = Hands::new(START);
        let issuer = issuer(&hands);
        let ids = moving(&hands, issuer.issue(10_000)).await.expect("ids of three ticks");
        assert_eq!(ids.len(), 10_000);
        assert!(ids.is_sorted_by(|a, b| a < b), "they rise");
        let ticks = (ids[9_999] >> 22) - (ids[0] >> 22);
        assert_eq!(ticks, 2, "each tick was used to its end");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_bounded() {
        let hands = Hands::new(START);
        let issuer = issuer(&hands);
        let refusal = issuer.issue(10_000).await.expect_err("the hands stand still");
        assert_eq!(refusal, Refusal::Wait(Duration::from_millis(1)), "the caller may try again");
    }

    #[test]
    fn a_turn_reads_the_clock_once_until_its_tick_is_used_up() {
        let hands = Hands::new(START);
        let issuer = issuer(&hands);
        let (mut turn, mut ids) = (Turn::default(), Vec::new());
        hands.advance(Duration::from_millis(1));
        assert_eq!(turn.try_issue(&issuer, 4_000, |id| ids.push(id)), Ok(4_000));
        hands.advance(Duration::from_millis(5));
        assert_eq!(turn.try_issue(&issuer, 200, |id| ids.push(id)), Ok(96), "the tick that was read");
        assert_eq!(turn.try_issue(&issuer, 200, |id| ids.push(id)), Ok(200), "and then the one that it is");
        assert_eq!((ids[4_096] >> 22) - (ids[4_095] >> 22), 5, "not the one behind it");
        let before = ISSUED.get();
        turn.end();
        assert!(ISSUED.get() - before >= 4_296, "counted at the end");
        hands.advance(Duration::from_millis(1));
        assert_eq!(turn.try_issue(&issuer, 9_000, |_| ()), Ok(4_096), "the next turn reads anew");
        assert_eq!(turn.try_issue(&issuer, 1, |_| ()), Err(Refusal::Wait(Duration::from_millis(1))));
    }

    #[test]
    fn a_full_tick_says_when_the_next_begins() {
        let hands = Hands::new(START);
        let issuer = issuer(&hands);
        // A term starts behind the tick of the start.
        assert_eq!(issuer.try_issue(9_000, |_| ()), Ok(4_096), "as many as the tick has");
        hands.advance(Duration::from_micros(250));
        assert_eq!(issuer.try_issue(1, |_| ()), Err(Refusal::Wait(Duration::from_micros(750))));
        hands.advance(Duration::from_micros(750));
        assert_eq!(issuer.try_issue(1, |_| ()), Ok(1));
        assert_eq!(issuer.try_issue(0, |_| panic!("none was asked for")), Ok(0));
    }

    #[test]
    fn borrowed_ticks_come_in_order_and_end_at_the_bound() {
        let hands = Hands::new(START);
        let time = TimeBase::scripted(LAYOUT, hands.clone());
        let generator = Generator::new(LAYOUT).borrowing(Duration::from_micros(2_900));
        assert_eq!(generator.borrow_ms(), 2, "whole ticks only");
        let worker = WorkerId::new(LAYOUT, 7).expect("a worker id");
        generator.start(worker, time.now(), LAYOUT.end());
        let issuer = Issuer::new(Arc::new(generator), Arc::new(time), Duration::from_secs(1));
        let (mut ids, before) = (Vec::new(), BORROWED.get());
        for _ in 0..3 {
            assert_eq!(issuer.try_issue(9_000, |id| ids.push(id)), Ok(4_096), "a tick at once");
        }
        assert!(ids.is_sorted_by(|a, b| a < b), "they rise over the ticks");
        assert_eq!((ids[12_287] >> 22) - (ids[0] >> 22), 2, "one tick after the other");
        assert!(BORROWED.get() - before >= 2 * 4_096, "those that had not begun are counted");
        let next = Err(Refusal::Wait(Duration::from_millis(1)));
        assert_eq!(issuer.try_issue(1, |_| ()), next, "the bound moves with time");
        hands.advance(Duration::from_millis(1));
        assert_eq!(issuer.try_issue(9_000, |_| ()), Ok(4_096), "by a tick");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let hands = Hands::new(START);
        let issuer = issuer(&hands);
        let refused =
            |issuer: &Issuer| issuer.try_issue(1, |_| panic!("an id was issued")).expect_err("a refusal");
        let (worker, next) = issuer.generator().stop().expect("a term ran");
        assert_eq!(refused(&issuer), Refusal::NoLease, "after its end");
        let ahead = next.plus(LAYOUT.slots_in(Duration::from_secs(3_600)));
        issuer.generator().start(worker, ahead, LAYOUT.end());
        let by = Duration::from_secs(3_600);
        assert_eq!(refused(&issuer), Refusal::Behind { by }, "a fence of an hour ahead is not waited for");
        hands.advance(Duration::from_secs(3_000_000_000));
        assert_eq!(refused(&issuer), Refusal::Exhausted, "after 2084");
    }

    #[test]
    fn the_first_id_pins_the_time() {
        let hands = Hands::new(START);
        let issuer = issuer(&hands);
        hands.step_real(-1_000);
        issuer.time().observe();
        assert_eq!(LAYOUT.unix_ms(issuer.time().now()), START - 1_000, "no id yet: the machine is believed");
        hands.step_real(1_000);
        issuer.time().observe();
        assert_eq!(issuer.try_issue(1, |_| ()), Ok(1));
        hands.step_real(-1_000);
        issuer.time().observe();
        assert_eq!(LAYOUT.unix_ms(issuer.time().now()), START, "the first id is given: no jump any more");
    }
}
