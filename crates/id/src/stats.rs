//! What a server counts, and what it tells about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hakata_runtime::metrics::{Counter, Metric};
use tokio::sync::watch;

use crate::issue::Issuer;
use crate::keeper::Standing;
use crate::memcached::VERSION;

static REFUSED: Counter =
    Counter::new("hakata_id_refused_total", "Ids that clients asked for and did not get, over all protocols");

/// The counts of one server since it started, and the view of its lease.
#[derive(Debug)]
pub struct Stats {
    started: Instant,
    issuer: Issuer,
    standing: watch::Receiver<Standing>,
    open: AtomicU64,
    opened: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a server tells about itself at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Its process id.
    pub pid: u32,
    /// Since it started.
    pub uptime: Duration,
    /// Its time of day, in seconds since 1970.
    pub unix_s: u64,
    /// Its version.
    pub version: &'static str,
    /// Memcached connections that are open.
    pub open: u64,
    /// Memcached connections that were ever opened.
    pub opened: u64,
    /// Ids issued.
    pub hits: u64,
    /// Ids refused.
    pub misses: u64,
    /// What it issues under, if it does.
    pub lease: Option<Held>,
    /// How far the machine's time of day lies ahead of that of the ids, in milliseconds.
    pub clock_offset_ms: i64,
}

/// A worker id as it is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The worker id.
    pub worker_id: u16,
    /// How long ids of it have been issued.
    pub age: Duration,
    /// How long issuing goes on without another renewal.
    pub fence_distance: Duration,
}

/// When readiness may turn: the keeper says so, or time does, which reaches a fence without a word.
#[derive(Debug)]
pub(crate) struct Turns(watch::Receiver<Standing>);

/// How often is looked whether what could be borrowed is used up, which nobody says either.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Keeps a connection counted as open.
#[derive(Debug)]
pub(crate) struct Open<'a>(&'a Stats);

impl Stats {
    /// Starts to count for an issuer whose lease is kept elsewhere.
    pub fn new(issuer: Issuer, standing: watch::Receiver<Standing>) -> Self {
        Self {
            started: Instant::now(),
            issuer,
            standing,
            open: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Tells whether ids can be had now.
    ///
    /// # Errors
    /// If not: why, in a few words.
    pub fn ready(&self) -> Result<(), String> {
        let standing = self.standing.borrow();
        let generator = self.issuer.generator();
        let now_ms = self.now_ms();
        let reach_ms = now_ms.saturating_add_unsigned(generator.borrow_ms());
        match &*standing {
            // What may be issued up to the fence can be borrowed before time reaches it.
            Standing::Held { trouble, .. } if generator.is_used_up() => {
                Err(trouble.clone().unwrap_or_else(|| "the fence is reached".to_owned()))
            }
            standing if standing.is_serving(now_ms, reach_ms) => Ok(()),
            Standing::Held { trouble: Some(why), .. } => Err(why.clone()),
            Standing::Held { from_ms, .. } if reach_ms < *from_ms => {
                Err("the fence of an earlier holder has not passed".to_owned())
            }
            Standing::Held { trouble: None, .. } => Err("the fence is reached".to_owned()),
            Standing::Seeking { why: Some(why) } => Err(why.clone()),
            Standing::Seeking { why: None } => Err("no lease yet".to_owned()),
            Standing::Stopped => Err("the lease was given back".to_owned()),
        }
    }

    /// Gives somebody who watches readiness the occasions to look again.
    pub(crate) fn turns(&self) -> Turns {
        Turns(self.standing.clone())
    }

    /// Tells how long it is until time alone may turn readiness; `None` if it does not.
    fn turns_in(&self, standing: &Standing) -> Option<Duration> {
        let Standing::Held { from_ms, fence_ms, .. } = standing else { return None };
        let (now_ms, borrow_ms) = (self.now_ms(), self.issuer.generator().borrow_ms());
        let begins_ms = from_ms.saturating_sub_unsigned(borrow_ms);
        let next_ms = [begins_ms, *fence_ms].into_iter().find(|at_ms| *at_ms > now_ms)?;
        let span = Duration::from_millis(u64::try_from(next_ms.saturating_sub(now_ms)).unwrap_or(0));
        Some(if borrow_ms == 0 { span } else { span.min(LOOK_EVERY) })
    }

    /// Counts ids that were issued and refused.
    pub(crate) fn count(&self, hits: u64, misses: u64) {
        if hits > 0 {
            self.hits.fetch_add(hits, Ordering::Relaxed);
        }
        if misses > 0 {
            self.misses.fetch_add(misses, Ordering::Relaxed);
            REFUSED.add(misses);
        }
    }

    /// Counts a connection, as open until the guard goes.
    pub(crate) fn open(&self) -> Open<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        Open(self)
    }

    /// Tells everything.
    pub fn report(&self) -> Report {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Report {
            pid: std::process::id(),
            uptime: self.started.elapsed(),
            unix_s: unix.as_secs(),
            version: VERSION,
            open: self.open.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            lease: self.lease(),
            clock_offset_ms: self.issuer.time().offset_ms(),
        }
    }

    fn lease(&self) -> Option<Held> {
        let Standing::Held { worker_id, from_ms, fence_ms, .. } = *self.standing.borrow() else {
            return None;
        };
        let now_ms = self.now_ms();
        let span = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        Some(Held {
            worker_id: worker_id.get(),
            age: span(now_ms.saturating_sub(from_ms)),
            fence_distance: span(fence_ms.saturating_sub(now_ms)),
        })
    }

    fn now_ms(&self) -> i64 {
        self.issuer.generator().layout().unix_ms(self.issuer.time().now())
    }
}

impl Turns {
    /// Takes note of how things stand now.
    pub(crate) fn see(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until they may stand otherwise than when they were seen.
    pub(crate) async fn next(&mut self, stats: &Stats) {
        let due = stats.turns_in(&self.0.borrow());
        let changed = async {
            if self.0.changed().await.is_err() {
                // The keeper is gone and changes nothing any more.
                std::future::pending::<()>().await;
            }
        };
        match due {
            Some(due) => drop(tokio::time::timeout(due, changed).await),
            None => changed.await,
        }
    }
}

impl Report {
    /// Names each figure, those of katsubushi first and as it calls them; what is not known is left out.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("pid", self.pid.to_string()),
            ("uptime", self.uptime.as_secs().to_string()),
            ("time", self.unix_s.to_string()),
            ("version", self.version.to_owned()),
            ("curr_connections", self.open.to_string()),
            ("total_connections", self.opened.to_string()),
            ("cmd_get", self.asked().to_string()),
            ("get_hits", self.hits.to_string()),
            ("get_misses", self.misses.to_string()),
        ];
        if let Some(held) = self.lease {
            lines.push(("worker_id", held.worker_id.to_string()));
            lines.push(("lease_age", held.age.as_secs().to_string()));
            lines.push(("fence_distance_ms", held.fence_distance.as_millis().to_string()));
        }
        lines.push(("clock_offset_ms", self.clock_offset_ms.to_string()));
        lines
    }

    /// Ids that were asked for. Like memcached, and unlike katsubushi, this counts keys, not commands.
    pub fn asked(&self) -> u64 {
        self.hits + self.misses
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lists the metrics of this module.
pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&REFUSED]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Generator, Hands, Layout, TimeBase, WorkerId};
    use std::sync::Arc;

    const NOW: i64 = 1_800_000_000_000;

    fn stats() -> (Stats, watch::Sender<Standing>) {
        let generator = Arc::new(Generator::new(Layout::Standard));
        let time = Arc::new(TimeBase::scripted(Layout::Standard, Hands::new(NOW)));
        let (sender, standing) = watch::channel(Standing::Seeking { why: None });
        (Stats::new(Issuer::new(generator, time, Duration::from_secs(1)), standing), sender)
    }

    fn held(from_ms: i64, fence_ms: i64) -> Standing {
        let worker_id = WorkerId::new(Layout::Standard, 7).unwrap();
        Standing::Held { worker_id, from_ms, fence_ms, trouble: None }
    }

    #[test]
    fn the_lines_are_those_of_katsubushi_and_the_lease() {
        let (stats, standing) = stats();
        let first = stats.open();
        stats.count(5, 2);
        let names =
            |report: &Report| report.lines().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
        const KATSUBUSHI: &str = "pid uptime time version curr_connections total_connections cmd_get get_hits \
                                  get_misses";
        assert_eq!(names(&stats.report()), format!("{KATSUBUSHI} clock_offset_ms"));
        standing.send_replace(held(NOW - 5_000, NOW + 3_000));
        drop(first);
        let report = stats.report();
        let all = format!("{KATSUBUSHI} worker_id lease_age fence_distance_ms clock_offset_ms");
        assert_eq!(names(&report), all);
        let values: Vec<String> = report.lines().into_iter().skip(3).map(|(_, value)| value).collect();
        assert_eq!(values, [VERSION, "0", "1", "7", "5", "2", "7", "5", "3000", "0"]);
        assert_eq!(stats.issuer.generator().worker_id(), None, "counting issues nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_watches_hears_of_the_lease_and_of_time() {
        let (stats, standing) = stats();
        let mut turns = stats.turns();
        let turned = async |turns: &mut Turns| {
            turns.see();
            let began = tokio::time::Instant::now();
            let waited = tokio::time::timeout(Duration::from_secs(60), turns.next(&stats)).await;
            waited.is_ok().then(|| began.elapsed().as_millis())
        };
        assert_eq!(turned(&mut turns).await, None, "nothing happens, and nobody looks");
        standing.send_replace(held(NOW + 700, NOW + 3_000));
        // The hands stand still: only the wait is looked at.
        assert_eq!(turned(&mut turns).await, Some(700), "an earlier holder's fence passes");
        standing.send_replace(held(NOW, NOW + 3_000));
        assert_eq!(turned(&mut turns).await, Some(3_000), "our own is reached");
        turns.see();
        standing.send_replace(Standing::Stopped);
        let began = tokio::time::Instant::now();
        turns.next(&stats).await;
        assert!(began.elapsed().is_zero(), "what the keeper says is heard at once");
        drop(standing);
        assert_eq!(turned(&mut turns).await, None, "and its end is no reason to spin");
    }

    #[test]
    fn readiness_counts_what_can_be_borrowed() {
        let (time, borrow) =
            (TimeBase::scripted(Layout::Standard, Hands::new(NOW)), Duration::from_millis(5));
        let generator = Arc::new(Generator::new(Layout::Standard).borrowing(borrow));
        let (sender, standing) = watch::channel(held(NOW + 5, NOW + 8));
        let issuer = Issuer::new(generator.clone(), Arc::new(time), Duration::from_secs(1));
        let stats = Stats::new(issuer.clone(), standing);
        let worker = WorkerId::new(Layout::Standard, 7).unwrap();
        let slot = |ms| Layout::Standard.slot_at(ms).unwrap();
        generator.start(worker, slot(NOW + 5), slot(NOW + 6));
        assert_eq!(stats.ready(), Ok(()), "the first id can be borrowed");
        assert_eq!(issuer.try_issue(5_000, |_| ()), Ok(4_096));
        assert_eq!(stats.ready(), Err("the fence is reached".to_owned()), "long before time does");
        assert_eq!(issuer.try_issue(1, |_| ()), Err(crate::Refusal::NoLease));
        generator.raise_fence(slot(NOW + 7));
        assert_eq!(stats.ready(), Ok(()));
        sender.send_replace(held(NOW + 6, NOW + 8));
        assert_eq!(stats.ready(), Err("the fence of an earlier holder has not passed".to_owned()));
    }

    #[test]
    fn readiness_says_what_is_missing() {
        let (stats, standing) = stats();
        let seeking = Standing::Seeking { why: Some("every worker id is taken".to_owned()) };
        for (now, wanted) in [
            (Standing::Seeking { why: None }, Err("no lease yet")),
            (seeking, Err("every worker id is taken")),
            (held(NOW + 1, NOW + 2), Err("the fence of an earlier holder has not passed")),
            (held(NOW - 1, NOW), Err("the fence is reached")),
            (held(NOW - 1, NOW + 1), Ok(())),
            (Standing::Stopped, Err("the lease was given back")),
        ] {
            standing.send_replace(now);
            assert_eq!(stats.ready(), wanted.map_err(str::to_owned));
        }
    }
}
