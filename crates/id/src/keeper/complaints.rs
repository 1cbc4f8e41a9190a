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
        if self.is_new(&why) {
            tracing::warn!("{why}; {so}");
        }
        why
    }

    /// Remembers what is wrong, and tells whether it is something else than before.
    fn is_new(&mut self, why: &str) -> bool {
        let is_new = self.last.as_deref() != Some(why);
        if is_new {
            self.last = Some(why.to_owned());
        }
        is_new
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_said_once() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_new("frozen"));
        assert!(!complaints.is_new("frozen"), "attempts are many, the trouble is one");
        assert!(complaints.is_new("wrong password"));
        assert!(complaints.is_new("frozen"), "it came back");
        complaints.settled();
        assert!(complaints.is_new("frozen"), "it was over in between");
    }
}
