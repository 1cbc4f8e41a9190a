//! One line in the log for each change, not for each attempt.

use crate::lease::LeaseError;

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Option<String>,
    is_clock_off: bool,
}

impl Complaints {
    /// Says what is wrong, unless that was the last thing said, and returns it.
    pub(super) fn about(&mut self, error: &LeaseError, so: &'static str) -> String {
        let why = error.chain();
        if self.last.as_ref() != Some(&why) {
            tracing::warn!("{why}; {so}");
            self.last = Some(why.clone());
        }
        why
    }

    /// Says that it is over, if anything was wrong.
    pub(super) fn settled(&mut self) {
        if self.last.take().is_some() {
            tracing::info!("the lease of the worker id is in order again");
        }
    }

    /// Says that the clocks differ by much, or no longer do.
    pub(super) fn about_clock(&mut self, offset_ms: i64, is_off: bool) {
        if is_off && !self.is_clock_off {
            tracing::warn!(
                offset_ms,
                "the clock differs from that of the lease's place by more than half of id.fence_ahead"
            );
        } else if !is_off && self.is_clock_off {
            tracing::info!(offset_ms, "the clock agrees with that of the lease's place again");
        }
        self.is_clock_off = is_off;
    }
}
