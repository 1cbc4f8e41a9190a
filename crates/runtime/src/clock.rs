//! The time of day and the time that only rises, as a value that tests can move.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When this process first asked for the time; monotonic readings count from here.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A source of time; cheap to clone.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    System,
    /// Hands moved by a test; see [`Clock::manual`].
    Manual(Arc<Hands>),
}

/// Where a manual clock stands.
#[derive(Debug)]
pub struct Hands {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl Clock {
    /// Makes a clock that stands at `wall_ms` until it is moved.
    pub fn manual(wall_ms: i64) -> Clock {
        Clock::Manual(Arc::new(Hands { wall_ms: AtomicI64::new(wall_ms), monotonic_ms: AtomicU64::new(0) }))
    }

    /// Tells the wall time in milliseconds since 1970, UTC. It can step backwards.
    pub fn now_ms(&self) -> i64 {
        match self {
            Clock::System => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => millis(since),
                Err(before) => -millis(before.duration()),
            },
            Clock::Manual(hands) => hands.wall_ms.load(Ordering::SeqCst),
        }
    }

    /// Tells the time since some fixed moment of this process; it never falls.
    pub fn monotonic(&self) -> Duration {
        match self {
            Clock::System => STARTED.elapsed(),
            Clock::Manual(hands) => Duration::from_millis(hands.monotonic_ms.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward, both hands; does nothing to the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Clock::Manual(hands) = self {
            hands.wall_ms.fetch_add(millis(by), Ordering::SeqCst);
            hands.monotonic_ms.fetch_add(millis(by).unsigned_abs(), Ordering::SeqCst);
        }
    }

    /// Steps only the wall hand of a manual clock, as an administrator or a time server would.
    pub fn step_wall(&self, by_ms: i64) {
        if let Clock::Manual(hands) = self {
            hands.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
        }
    }
}

/// Counts whole milliseconds, saturating: 292 million years are enough.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_hands_move_only_when_told() {
        let clock = Clock::manual(1_000);
        let twin = clock.clone();
        clock.advance(Duration::from_secs(2));
        clock.step_wall(-5_000);
        assert_eq!(twin.now_ms(), -2_000, "clones share their hands");
        assert_eq!(twin.monotonic(), Duration::from_secs(2), "a wall step leaves monotonic time alone");
    }

    #[test]
    fn system_clock_is_in_this_century_and_rises() {
        let clock = Clock::System;
        assert!(clock.now_ms() > 1_600_000_000_000);
        assert!(clock.monotonic() <= clock.monotonic());
    }
}
