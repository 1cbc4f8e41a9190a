//! How little a peer may take of what we have for it.

use hakata_runtime::metrics::{CounterFamily, Label, Metric};
use std::time::Duration;
use tokio::time::Instant;

static CUT: CounterFamily<Late> =
    CounterFamily::new("hakata_peers_cut_total", "Peers that were cut since they took too little, by why");

/// How long we wait for a peer that takes what is written too slowly. Time in which nothing waits for the peer does not
/// count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The longest wait without a byte.
    pub stall: Duration,
    /// Bytes a second, on the average of `window`, below which a peer is cut; 0 cuts nobody.
    pub min_rate: u64,
    /// Over how much waiting the rate is judged.
    pub window: Duration,
}

impl Default for Patience {
    /// A minute without a byte, 1 KiB a second over five minutes.
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { stall: minute, min_rate: 1_024, window: 5 * minute }
    }
}

impl Patience {
    /// Bytes that a peer must take in a window.
    fn floor(&self) -> u64 {
        let bytes = u128::from(self.min_rate) * self.window.as_millis() / 1_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Why a peer is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Late {
    /// It took nothing.
    Stalled,
    /// It took too little.
    Slow,
}

impl Label for Late {
    const KEY: &'static str = "reason";

    fn value(self) -> &'static str {
        match self {
            Late::Stalled => "stalled",
            Late::Slow => "slow",
        }
    }
}

impl Late {
    /// Counts a peer that is cut.
    pub(crate) fn count(self) {
        CUT.get(self).inc();
    }
}

/// What a peer took, and how long it let us wait for that.
#[derive(Debug)]
pub(crate) struct Meter {
    patience: Patience,
    /// Since when we wait now.
    since: Option<Instant>,
    /// Of the present window, up to `since`.
    waited: Duration,
    n_bytes: u64,
}

impl Meter {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, since: None, waited: Duration::ZERO, n_bytes: 0 }
    }

    /// Notes that there is something that the peer does not take; answers whether that is new.
    pub(crate) fn wait(&mut self) -> bool {
        let is_new = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        is_new
    }

    /// Notes that the peer took something; ends the wait.
    pub(crate) fn took(&mut self, n_bytes: usize) {
        self.n_bytes = self.n_bytes.saturating_add(n_bytes as u64);
        let Some(since) = self.since.take() else { return };
        self.waited += since.elapsed();
        if self.waited >= self.patience.window && self.n_bytes >= self.patience.floor() {
            (self.waited, self.n_bytes) = (Duration::ZERO, 0);
        }
    }

    /// When the present wait is too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (stalled, slow) = (self.stalled_at(), self.slow_at());
        stalled.into_iter().chain(slow).min()
    }

    /// Tells what a peer has done that is late now.
    pub(crate) fn late(&self) -> Option<Late> {
        let now = Instant::now();
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match (is_over(self.stalled_at()), is_over(self.slow_at())) {
            (true, _) => Some(Late::Stalled),
            (false, true) => Some(Late::Slow),
            (false, false) => None,
        }
    }

    fn stalled_at(&self) -> Option<Instant> {
        self.since.map(|since| since + self.patience.stall)
    }

    fn slow_at(&self) -> Option<Instant> {
        let since = self.since.filter(|_| self.n_bytes < self.patience.floor())?;
        Some(since + self.patience.window.saturating_sub(self.waited))
    }
}

pub(crate) fn metrics() -> Vec<&'static dyn Metric> {
    vec![&CUT]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    fn meter() -> Meter {
        Meter::new(Patience { stall: 10 * SECOND, min_rate: 100, window: 60 * SECOND })
    }

    /// Lets a peer take `n_bytes` after each of `n` waits; answers why and in which it is late, if it is.
    async fn run(meter: &mut Meter, n: u32, wait: Duration, n_bytes: usize) -> Option<(Late, u32)> {
        for turn in 0..n {
            meter.wait();
            advance(wait).await;
            if let Some(late) = meter.late() {
                return Some((late, turn));
            }
            meter.took(n_bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_enough_is_never_late() {
        assert_eq!(run(&mut meter(), 1_000, 5 * SECOND, 560).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_trickles_is_late_after_a_window_and_who_stops_earlier() {
        assert_eq!(run(&mut meter(), 1_000, 5 * SECOND, 490).await, Some((Late::Slow, 11)));
        assert_eq!(run(&mut meter(), 1_000, 5 * SECOND, 1).await, Some((Late::Slow, 11)));
        assert_eq!(run(&mut meter(), 1_000, 10 * SECOND, 5_000).await, Some((Late::Stalled, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_at_once_lasts_one_window() {
        let mut meter = meter();
        meter.took(1 << 30);
        assert_eq!(run(&mut meter, 1_000, 5 * SECOND, 1).await, Some((Late::Slow, 23)));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_waits_does_not_count() {
        let mut meter = meter();
        for _ in 0..100 {
            assert_eq!(run(&mut meter, 1, SECOND / 10, 1).await, None);
            advance(3_600 * SECOND).await;
        }
        assert_eq!(meter.deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_rate_cuts_nobody() {
        let mut meter = Meter::new(Patience { min_rate: 0, ..meter().patience });
        assert_eq!(run(&mut meter, 1_000, 9 * SECOND, 0).await, None);
    }
}
