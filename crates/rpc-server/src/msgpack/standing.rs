//! Answers that stand where the cursor of their last page says.
//!
//! The cursor alone is enough to go on: whoever asks on another connection, or late, is answered anew from there. On the
//! same connection the answer itself goes on, so that nothing is walked, skipped or started a second time.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hakata_rpc::{Answers, Operation};
use tokio::time::Instant;

/// The next request, whose answer is at hand: the operation, and its fields as we encode them.
pub(super) type Expected = (Operation, Vec<u8>);

/// What stands on one connection; clones share it.
#[derive(Clone)]
pub(super) struct Standing(Arc<Mutex<Inner>>);

struct Inner {
    /// The oldest first.
    answers: VecDeque<(Instant, Expected, Box<dyn Any + Send>)>,
    max: usize,
    life: Duration,
}

impl Standing {
    pub(super) fn new(max: usize, life: Duration) -> Self {
        Self(Arc::new(Mutex::new(Inner { answers: VecDeque::new(), max, life })))
    }

    /// Lets an answer stand until the next request comes; if there are too many, the oldest goes.
    pub(super) fn keep<T: Send + 'static>(&self, expected: Expected, answers: Answers<T>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + inner.life;
        inner.answers.push_back((until, expected, Box::new(answers)));
        if inner.answers.len() > inner.max {
            inner.answers.pop_front();
        }
    }

    /// Finds the answer that stands where a request begins.
    pub(super) fn take<T: Send + 'static>(&self, expected: &Expected) -> Option<Answers<T>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = inner.answers.iter().position(|(_, known, _)| known == expected)?;
        let (_, _, answers) = inner.answers.remove(at)?;
        answers.downcast().ok().map(|answers| *answers)
    }

    /// Drops what waited too long.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while inner.answers.front().is_some_and(|(until, ..)| *until <= now) {
            inner.answers.pop_front();
        }
    }

    /// Returns when the next one will have waited too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.front().map(|(until, ..)| *until)
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
        (1..=3).for_each(|n| standing.keep(expected(n), answers(n)));
        assert!(standing.take::<u8>(&expected(1)).is_none(), "the oldest goes when there are too many");
        let mut found = standing.take::<u8>(&expected(2)).unwrap();
        assert_eq!(found.next().await, Some(Ok(2)));
        assert!(standing.take::<u8>(&expected(2)).is_none(), "it was taken");
        assert!(standing.next_expiry().is_some());
        tokio::time::advance(Duration::from_secs(10)).await;
        standing.expire();
        assert!(standing.take::<u8>(&expected(3)).is_none(), "it waited too long");
    }
}
