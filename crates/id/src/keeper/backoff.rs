//! Pauses that grow, and differ between those who were turned away together.

use std::time::Duration;

use hakata_runtime::secret::random_bytes;

/// The first pause, before chance.
const FIRST: Duration = Duration::from_millis(100);

/// Pauses between attempts: twice as long each time, up to a limit, less up to a half of it by chance.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(longest: Duration) -> Self {
        Self { next: FIRST.min(longest), longest }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        let [chance] = random_bytes::<1>();
        pause - pause / 2 * u32::from(chance) / u32::from(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_limit_and_differ() {
        let longest = Duration::from_millis(700);
        let mut backoff = Backoff::new(longest);
        for whole_ms in [100, 200, 400, 700, 700] {
            let (pause, whole) = (backoff.next(), Duration::from_millis(whole_ms));
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
        }
        let drawn: std::collections::HashSet<Duration> = (0..50).map(|_| backoff.next()).collect();
        assert!(drawn.len() > 10, "chance spreads those who wait: {drawn:?}");
        assert!(Backoff::new(Duration::from_millis(9)).next() <= Duration::from_millis(9));
    }
}
