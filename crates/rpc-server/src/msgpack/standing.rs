//! Answers that stand where the cursor of their last page says.
//!
//! The cursor alone is enough to go on: whoever asks on another connection, or late, is answered anew from there. On the
//! same connection the answer itself goes on, so that nothing is walked, skipped or started a second time.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hakata_rpc::{Answers, Operation};
use hakata_runtime::metrics::GaugeGuard;
use tokio::time::Instant;

use crate::metrics::{WAITING, Waiting};

/// The next request, whose answer is at hand: the operation, and its fields as we encode them.
pub(super) type Expected = (Operation, Vec<u8>);

/// What stands on one connection; clones share it.
#[derive(Clone)]
pub(super) struct Standing(Arc<Mutex<Inner>>);

struct Inner {
    /// The oldest first.
    answers: VecDeque<One>,
    max: usize,
    life: Duration,
}

struct One {
    until: Instant,
    /// The caller's number for the request whose page was the last.
    msgid: u32,
    expected: Expected,
    answers: Box<dyn Any + Send>,
    _counted: GaugeGuard,
}

impl Standing {
    pub(super) fn new(max: usize, life: Duration) -> Self {
        Self(Arc::new(Mutex::new(Inner { answers: VecDeque::new(), max, life })))
    }

    /// Lets an answer stand until the next request comes; if there are too many, the oldest goes.
    pub(super) fn keep<T: Send + 'static>(&self, msgid: u32, expected: Expected, answers: Answers<T>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + inner.life;
        let (answers, counted) = (Box::new(answers), WAITING.get(Waiting::Cursor).track());
        inner.answers.push_back(One { until, msgid, expected, answers, _counted: counted });
        if inner.answers.len() > inner.max {
            inner.answers.pop_front();
        }
    }

    /// Finds the answer that stands where a request begins.
    pub(super) fn take<T: Send + 'static>(&self, expected: &Expected) -> Option<Answers<T>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = inner.answers.iter().position(|one| one.expected == *expected)?;
        inner.answers.remove(at)?.answers.downcast().ok().map(|answers| *answers)
    }

    /// Drops the answer that stands behind the page of a request: nobody asks for the next.
    pub(super) fn forget(&self, msgid: u32) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.answers.retain(|one| one.msgid != msgid);
    }

    /// Drops what waited too long.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.answers.front().is_some_and(|one| one.until <= now) {
            inner.answers.pop_front();
        }
    }

    /// Returns when the next one will have waited too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.front().map(|one| one.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_one_request_and_not_for_ever() {
        let standing = Standing::new(2, Duration::from_secs(9));
        let expected = |n: u8| (Operation::BlobGet, vec![n]);
        let answers = |n: u8| -> Answers<u8> { Box::pin(stream::iter([Ok(n)])) };
        (1..=3).for_each(|n| standing.keep(n.into(), expected(n), answers(n)));
        assert!(standing.take::<u8>(&expected(1)).is_none(), "the oldest goes when there are too many");
        let mut found = standing.take::<u8>(&expected(2)).unwrap();
        assert_eq!(found.next().await, Some(Ok(2)));
        assert!(standing.take::<u8>(&expected(2)).is_none(), "it was taken");
        assert!(standing.next_expiry().is_some());
        tokio::time::advance(Duration::from_secs(10)).await;
        standing.expire();
        assert!(standing.take::<u8>(&expected(3)).is_none(), "it waited too long");
        (4..=5).for_each(|n| standing.keep(n.into(), expected(n), answers(n)));
        standing.forget(4);
        assert!(standing.take::<u8>(&expected(4)).is_none(), "nobody asks for it any more");
        assert!(standing.take::<u8>(&expected(5)).is_some(), "another answer is not meant");
    }
}
