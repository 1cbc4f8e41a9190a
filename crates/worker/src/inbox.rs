//! What the dispatcher is told: kinds of which a job might be had.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use hakata_forge::jobs::Kind;
use tokio::sync::Notify;

/// Kinds to look at; telling of one again before it is looked at changes nothing.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    kinds: Mutex<BTreeSet<Kind>>,
    filled: Notify,
}

impl Inbox {
    /// Tells of kinds.
    pub(crate) fn tell(&self, kinds: impl IntoIterator<Item = Kind>) {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).extend(kinds);
        self.filled.notify_one();
    }

    /// Takes what was told, waiting for the first.
    pub(crate) async fn take(&self) -> BTreeSet<Kind> {
        loop {
            let kinds = std::mem::take(&mut *self.kinds.lock().unwrap_or_else(PoisonError::into_inner));
            if !kinds.is_empty() {
                return kinds;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures_util::poll;
    use hakata_forge::jobs::Kind;

    use super::Inbox;

    #[tokio::test]
    async fn what_is_told_is_taken_once() {
        let inbox = Inbox::default();
        let kind = Kind::ALL[0];
        inbox.tell([kind]);
        inbox.tell([kind]);
        assert_eq!(inbox.take().await, BTreeSet::from([kind]));
        let mut next = std::pin::pin!(inbox.take());
        assert!(poll!(&mut next).is_pending(), "a stale notice is no news");
        inbox.tell([kind]);
        assert_eq!(next.await, BTreeSet::from([kind]));
    }
}
