//! When a command last exchanged a byte with its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The last exchange of bytes of one command, in either direction.
pub(crate) struct Activity {
    started: Instant,
    last_ms: Arc<AtomicU64>,
    has_sent: AtomicBool,
    has_stalled: AtomicBool,
}

impl Activity {
    /// Starts now.
    pub(crate) fn new() -> Self {
        let (has_sent, has_stalled) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { started: Instant::now(), last_ms: Arc::default(), has_sent, has_stalled }
    }

    /// Starts for one of several commands that are idle only together.
    pub(super) fn beside(others: &Self) -> Self {
        let activity = Self { started: others.started, last_ms: others.last_ms.clone(), ..Self::new() };
        activity.touch();
        activity
    }

    /// Notes an exchange.
    pub(super) fn touch(&self) {
        self.last_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// Notes that the client was sent something.
    pub(super) fn sent(&self) {
        self.has_sent.store(true, Ordering::Relaxed);
        self.touch();
    }

    /// Whether the client was sent anything.
    pub(super) fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Relaxed)
    }

    /// Notes that the client took or gave nothing for too long.
    pub(super) fn stalled(&self) {
        self.has_stalled.store(true, Ordering::Relaxed);
    }

    /// Whether the client took or gave nothing for too long.
    pub(super) fn has_stalled(&self) -> bool {
        self.has_stalled.load(Ordering::Relaxed)
    }

    /// Waits until nothing was exchanged for `limit`.
    pub(super) async fn quiet_for(&self, limit: Duration) {
        loop {
            let quiet_ms = self.elapsed_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed));
            match limit.checked_sub(Duration::from_millis(quiet_ms)) {
                Some(rest) if !rest.is_zero() => tokio::time::sleep(rest).await,
                _ => break,
            }
        }
        self.stalled();
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Activity;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn an_exchange_starts_the_wait_again() {
        let activity = Activity::new();
        let start = Instant::now();
        let exchange = async {
            sleep(Duration::from_secs(40)).await;
            activity.touch();
        };
        tokio::join!(activity.quiet_for(Duration::from_secs(60)), exchange);
        assert_eq!(start.elapsed().as_secs(), 100);
        assert!(activity.has_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn commands_that_wait_for_each_other_are_idle_together() {
        let all = Activity::new();
        let start = Instant::now();
        sleep(Duration::from_secs(600)).await;
        let (waiting, busy) = (Activity::beside(&all), Activity::beside(&all));
        let exchange = async {
            sleep(Duration::from_secs(40)).await;
            busy.touch();
        };
        tokio::join!(waiting.quiet_for(Duration::from_secs(60)), exchange);
        assert_eq!(
            start.elapsed().as_secs(),
            700,
            "begun behind ten minutes, and quiet since the fortieth second"
        );
        assert!(waiting.has_stalled() && !busy.has_stalled());
    }
}
