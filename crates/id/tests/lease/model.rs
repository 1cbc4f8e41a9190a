//! Every history of a few holders of one worker id, within bounds: no time is issued twice.
//!
//! The place is [`Book`], which real places are held to elsewhere. What a holder does is what the keeper and the
//! generator do, reduced to their rules: it asks, waits for an answer or gives up, issues any time between where it may
//! begin and its fence that its clock has reached or that it borrows, dies, or gives the id back. Messages arrive late,
//! answers are lost, the place loses everything or one fence or returns to an older state, clocks differ, and anybody
//! pauses at any point, since in each state everything that can happen is tried.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use hakata_id::lease::memory::{Act, Book, Expiry};

/// How late a question may come.
const PATIENCE: i64 = 1;

/// The one worker id.
const ID: u16 = 1;

/// What is explored.
#[derive(Clone, Copy)]
struct Setting {
    /// How far each holder's clock is ahead of the place's.
    skews: &'static [i64],
    /// How far ahead fences lie.
    ahead: i64,
    /// How far ahead of its clock a holder issues.
    borrow: i64,
    ttl: i64,
    /// When the place's clock stops.
    until: i64,
    /// Terms begun by all holders together.
    terms: u8,
    /// Renewals in one term that were answered.
    renewals: u8,
    crashes: u8,
    /// Answers lost and waits given up by all holders together.
    delays: u8,
    losses: u8,
    /// What a loss is.
    loss: Loss,
    expiry: Expiry,
    broken: Broken,
}

/// What a place loses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Everything,
    /// What was written since an earlier state.
    SinceSaved,
    /// The fence alone.
    Fence,
}

/// A rule that is broken on purpose, to see that the model finds out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The time to live alone protects, as in katsubushi.
    NoFence,
    /// A fence is used before it is known to be durable.
    UsedBeforeDurable,
    /// Whoever ends deletes the lease without looking whose it is.
    ReleasesBlindly,
    /// After fences were lost only their distance is waited for, not the difference of clocks.
    ShortWait,
    /// A question that was long under way is answered.
    AnswersLate,
    /// A lost fence is not noticed.
    LossUnnoticed,
    /// The fence is lowered below what was issued.
    LowersTooFar,
    /// What is borrowed does not end at the fence.
    BorrowsPastFence,
    /// The fence is lowered to the holder's clock, although more was borrowed.
    ForgetsBorrowed,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    clock: i64,
    book: Book<u8>,
    saved: Option<Book<u8>>,
    holders: Vec<Holder>,
    /// A bit for each time of which ids were issued.
    issued: u64,
    terms: u8,
    crashes: u8,
    delays: u8,
    losses: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Holder {
    term: Option<Term>,
    /// What was sent and is waited for.
    asked: Option<Message>,
    /// What was sent, given up, and may still arrive.
    stray: Option<Message>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Term {
    /// Eight times the number of the term and the number of the renewal.
    current: u8,
    /// Next time to issue.
    from: i64,
    fence: i64,
    /// The greatest fence known to be durable.
    durable: i64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Message {
    Acquire { token: u8, now: i64, asked: i64 },
    Renew { current: u8, mine: i64, now: i64 },
    Release { current: u8, next: i64 },
}

enum Answer {
    Acquired(Option<(i64, i64)>),
    Renewed(Option<i64>),
    Released,
}

/// Walks through all states, depth first, each once.
struct Explorer {
    setting: Setting,
    seen: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
    path: Vec<String>,
}

impl Explorer {
    /// Explores a setting: the number of states, or the history that issues a time twice.
    fn explore(setting: Setting) -> Result<usize, Vec<String>> {
        let start = State {
            clock: 1,
            book: Book::durable(setting.expiry),
            saved: None,
            holders: vec![Holder::default(); setting.skews.len()],
            issued: 0,
            terms: 0,
            crashes: 0,
            delays: 0,
            losses: 0,
        };
        let mut explorer = Self { setting, seen: HashSet::default(), path: Vec::new() };
        explorer.visit(&start).map_err(|()| std::mem::take(&mut explorer.path))?;
        Ok(explorer.seen.len())
    }

    fn visit(&mut self, state: &State) -> Result<(), ()> {
        if !self.seen.insert(self.seen.hasher().hash_one(state)) {
            return Ok(());
        }
        for who in 0..state.holders.len() {
            self.issue(state, who)?;
            self.send(state, who)?;
            self.deliver(state, who)?;
            self.fail(state, who)?;
        }
        self.harm_place(state)?;
        if state.clock < self.setting.until {
            let mut next = state.clone();
            next.clock += 1;
            self.step(next, || "the clock ticks".to_owned())?;
        }
        Ok(())
    }

    fn step(&mut self, next: State, what: impl Fn() -> String) -> Result<(), ()> {
        self.path.push(what());
        self.visit(&next)?;
        self.path.pop();
        Ok(())
    }

    /// Issues every time that the term allows by now, or later, or never. To issue some of them is to issue all with fewer
    /// chances of a clash; to issue them late, by a clock that was read long ago, is to clash with the same others.
    fn issue(&mut self, state: &State, who: usize) -> Result<(), ()> {
        let Some(term) = &state.holders[who].term else { return Ok(()) };
        let reach = state.clock + self.setting.skews[who] + self.setting.borrow;
        let fence = if self.setting.broken == Broken::BorrowsPastFence { 60 } else { term.fence };
        let times = term.from..reach.min(fence - 1) + 1;
        if times.is_empty() {
            return Ok(());
        }
        let mut next = state.clone();
        if let Some(term) = &mut next.holders[who].term {
            term.from = times.end;
        }
        for time in times.clone() {
            if next.issued & (1 << time) != 0 {
                self.path.push(format!("holder {who} issues {time} AGAIN"));
                return Err(());
            }
            next.issued |= 1 << time;
        }
        self.step(next, || format!("holder {who} issues {times:?}"))
    }

    fn send(&mut self, state: &State, who: usize) -> Result<(), ()> {
        let holder = &state.holders[who];
        if holder.asked.is_some() {
            return Ok(());
        }
        let now = state.clock + self.setting.skews[who];
        let mut next = state.clone();
        let message = match &holder.term {
            None if state.terms < self.setting.terms => {
                next.terms += 1;
                Message::Acquire { token: 8 * next.terms, now, asked: state.clock }
            }
            Some(Term { current, durable, .. }) if current % 8 < self.setting.renewals => {
                Message::Renew { current: *current, mine: *durable, now }
            }
            _ => return Ok(()),
        };
        next.holders[who].asked = Some(message.clone());
        if let Some(term) =
            next.holders[who].term.as_mut().filter(|_| self.setting.broken == Broken::UsedBeforeDurable)
        {
            term.fence = term.fence.max(now + self.setting.ahead);
        }
        self.step(next, || format!("holder {who} sends {message:?}"))
    }

    /// A message arrives, and its answer does or does not; a stray one has nobody who waits.
    fn deliver(&mut self, state: &State, who: usize) -> Result<(), ()> {
        if let Some(message) = &state.holders[who].asked {
            let mut next = state.clone();
            next.holders[who].asked = None;
            let answer = self.place(&mut next, message);
            if state.delays < self.setting.delays {
                let unheard = State { delays: state.delays + 1, ..next.clone() };
                self.step(unheard, || format!("{message:?} of holder {who} arrives, its answer is lost"))?;
            }
            self.hear(&mut next, who, message, &answer);
            self.step(next, || format!("{message:?} of holder {who} is answered"))?;
        }
        if let Some(message) = &state.holders[who].stray {
            let mut next = state.clone();
            next.holders[who].stray = None;
            self.place(&mut next, message);
            self.step(next, || format!("{message:?} of holder {who} arrives late"))?;
        }
        Ok(())
    }

    /// A holder gives up waiting, gives the id back, or dies.
    fn fail(&mut self, state: &State, who: usize) -> Result<(), ()> {
        let holder = &state.holders[who];
        if holder.asked.is_some() && holder.stray.is_none() && state.delays < self.setting.delays {
            let mut next = state.clone();
            next.delays += 1;
            next.holders[who].stray = next.holders[who].asked.take();
            self.step(next, || format!("holder {who} gives up waiting"))?;
        }
        let Some(term) = &holder.term else { return Ok(()) };
        if holder.asked.is_none() && holder.stray.is_none() {
            let mut next = state.clone();
            next.holders[who].term = None;
            let now = state.clock + self.setting.skews[who];
            let lowered = match self.setting.broken {
                Broken::LowersTooFar => term.from - 1,
                Broken::ForgetsBorrowed => term.from.min(now + 1),
                _ => term.from,
            };
            let release = Message::Release { current: term.current, next: lowered };
            next.holders[who].stray = Some(release);
            self.step(next, || format!("holder {who} ends"))?;
        }
        if state.crashes < self.setting.crashes {
            let mut next = state.clone();
            next.crashes += 1;
            let stray = holder.stray.clone().or(holder.asked.clone());
            next.holders[who] = Holder { stray, ..Holder::default() };
            self.step(next, || format!("holder {who} dies"))?;
        }
        Ok(())
    }

    fn harm_place(&mut self, state: &State) -> Result<(), ()> {
        if self.setting.loss == Loss::SinceSaved && state.saved.is_none() {
            let next = State { saved: Some(state.book.clone()), ..state.clone() };
            self.step(next, || "the place writes a file".to_owned())?;
        }
        if state.losses < self.setting.losses {
            let mut next = state.clone();
            next.losses += 1;
            match (self.setting.loss, &state.saved) {
                (Loss::Everything | Loss::Fence, _) if self.setting.broken == Broken::LossUnnoticed => {
                    next.book = Book::durable(self.setting.expiry);
                }
                (Loss::Everything, _) => next.book.lose(),
                (Loss::Fence, _) => next.book.delete_fence(ID),
                (Loss::SinceSaved, Some(saved)) => next.book.restore(saved.clone()),
                (Loss::SinceSaved, None) => return Ok(()),
            }
            self.step(next, || "the place loses what it had".to_owned())?;
        }
        Ok(())
    }

    fn place(&self, state: &mut State, message: &Message) -> Answer {
        let Setting { ahead, ttl, broken, .. } = self.setting;
        let wait = if broken == Broken::ShortWait { ahead } else { 2 * ahead };
        let patience = if broken == Broken::AnswersLate { 60 } else { PATIENCE };
        let place_ms = state.clock;
        let act = |now: i64, asked: i64| Act {
            worker_id: ID,
            place_ms,
            asked_ms: asked,
            patience_ms: patience,
            ttl_ms: ttl,
            now_ms: now,
            fence_ms: now + ahead,
            after_loss_ms: now + wait + PATIENCE,
        };
        match message {
            Message::Acquire { token, now, asked } => {
                Answer::Acquired(state.book.acquire(*token, act(*now, *asked)))
            }
            Message::Renew { current, mine, now } => {
                Answer::Renewed(state.book.renew(current, current + 1, *mine, act(*now, place_ms)))
            }
            Message::Release { current, next } => {
                if broken == Broken::ReleasesBlindly {
                    state.book.delete_lease(ID);
                } else {
                    state.book.release(ID, [current, &(current + 1)], *next);
                }
                Answer::Released
            }
        }
    }

    fn hear(&self, state: &mut State, who: usize, message: &Message, answer: &Answer) {
        let has_fence = self.setting.broken != Broken::NoFence;
        let term = &mut state.holders[who].term;
        match (message, answer) {
            (Message::Acquire { token, now, .. }, Answer::Acquired(Some((from, fence)))) => {
                let (from, fence) = if has_fence { (*from, *fence) } else { (*now, 60) };
                *term = Some(Term { current: *token, from, fence, durable: fence });
            }
            (Message::Renew { .. }, Answer::Renewed(Some(fence))) => {
                if let Some(term) = term {
                    term.fence = if has_fence { *fence } else { term.fence };
                    term.durable = term.fence;
                    term.current += 1;
                }
            }
            (_, Answer::Renewed(None)) => *term = None,
            _ => {}
        }
    }
}

/// Bounds that a debug build explores in seconds.
const BASE: Setting = Setting {
    skews: &[],
    ahead: 2,
    borrow: 0,
    ttl: 2,
    until: 4,
    terms: 3,
    renewals: 1,
    crashes: 1,
    delays: 1,
    losses: 0,
    loss: Loss::Everything,
    expiry: Expiry::Forgets,
    broken: Broken::Nothing,
};

/// A place that loses its fences once.
const LOSSY: Setting = Setting { terms: 2, crashes: 0, delays: 0, losses: 1, until: 7, ..BASE };

/// Whether the bounds are wider: on an optimised build.
const IS_DEEP: bool = !cfg!(debug_assertions);

fn holds(what: &str, setting: Setting) {
    match Explorer::explore(setting) {
        Ok(n_states) => {
            println!("{what}: {n_states} states, no time issued twice");
            assert!(n_states > 1_000, "{what}: the setting must let things happen");
        }
        Err(history) => panic!("{what}: a time was issued twice:\n{}", history.join("\n")),
    }
}

fn is_found(what: &str, setting: Setting) {
    let history = Explorer::explore(setting).expect_err(what);
    println!("{what}: found after {} steps, the last: {:?}", history.len(), history.last());
    assert!(history.last().is_some_and(|last| last.ends_with("AGAIN")), "{history:?}");
}

#[test]
fn no_time_is_issued_twice_by_two_holders() {
    for expiry in [Expiry::Forgets, Expiry::Remembers] {
        let two = Setting { skews: &[0, 0], delays: u8::from(IS_DEEP), expiry, ..BASE };
        holds("two holders", two);
        holds(
            "two holders whose clocks differ by more than the fence's distance",
            Setting { skews: &[0, 3], ..two },
        );
        let late = Setting { skews: &[0, 0], terms: 2, expiry, ..BASE };
        holds("late messages and lost answers", late);
        if IS_DEEP {
            holds("the same for longer", Setting { renewals: 2, until: 5, ..late });
        }
    }
}

/// Half of the way to the fence, all of it, and further than it lies.
#[test]
fn no_time_is_issued_twice_by_holders_who_borrow() {
    for borrow in [1, 2, 3] {
        let two = Setting { skews: &[0, 0], borrow, delays: u8::from(IS_DEEP), ..BASE };
        holds("two holders who borrow", two);
        holds("two holders who borrow, with other clocks", Setting { skews: &[0, 3], ..two });
        let late = Setting { skews: &[0, 0], borrow, terms: 2, ..BASE };
        holds("late messages and lost answers", late);
        for skews in [&[1, 0], &[0, 1]] {
            holds("a place that was emptied", Setting { skews, borrow, ..LOSSY });
        }
    }
}

#[test]
fn no_time_is_issued_twice_by_three_holders() {
    let three = Setting { skews: &[0, 1, 2], ttl: 1, ahead: 1, crashes: 0, delays: 0, until: 3, ..BASE };
    holds("three holders", three);
    if IS_DEEP {
        holds("three holders for longer", Setting { ahead: 2, until: 4, ..three });
    }
}

/// Clocks differ by less than the fence's distance, which is what is promised after a loss.
#[test]
fn no_time_is_issued_twice_after_a_loss() {
    for skews in [&[1, 0], &[0, 1]] {
        holds("a place that was emptied", Setting { skews, ..LOSSY });
        holds("a place that lost one fence", Setting { skews, loss: Loss::Fence, crashes: 1, ..LOSSY });
        let old_file = Setting { skews, loss: Loss::SinceSaved, ..LOSSY };
        holds(
            "a place that returned to an old file",
            Setting { until: if IS_DEEP { 7 } else { 5 }, ..old_file },
        );
        if IS_DEEP {
            holds("more renewals", Setting { skews, renewals: 2, ..LOSSY });
        }
    }
}

#[test]
fn each_broken_rule_is_found() {
    let broken = |broken| Setting { skews: &[0, 0], until: 5, renewals: 2, broken, ..BASE };
    is_found("time to live alone", broken(Broken::NoFence));
    is_found("a fence used before it is durable", broken(Broken::UsedBeforeDurable));
    is_found("a fence lowered too far", broken(Broken::LowersTooFar));
    let borrowing = |broken_rule| Setting { borrow: 1, ..broken(broken_rule) };
    is_found("borrowing behind the fence", borrowing(Broken::BorrowsPastFence));
    is_found("a stop that forgets what was borrowed", borrowing(Broken::ForgetsBorrowed));
    let lossy = |broken| Setting { skews: &[1, 0], broken, ..LOSSY };
    is_found("late answers after a loss", lossy(Broken::AnswersLate));
    is_found("a short wait after a loss", lossy(Broken::ShortWait));
    is_found("a loss that nobody notices", lossy(Broken::LossUnnoticed));
    let one_fence = Setting { loss: Loss::Fence, crashes: 1, ..lossy(Broken::LossUnnoticed) };
    is_found("one lost fence that nobody notices", one_fence);
}

/// With fences a blind release costs availability only: a comparison is for that, and for places that lost theirs.
#[test]
fn fences_hold_even_against_blind_releases() {
    holds("blind releases", Setting { skews: &[0, 0], broken: Broken::ReleasesBlindly, delays: 0, ..BASE });
}
