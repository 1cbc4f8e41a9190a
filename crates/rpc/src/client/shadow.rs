//! Comparing an answer with that of a second route, behind the caller's back and in bounded number.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::task::Poll;

use futures_util::stream::{self, StreamExt};
use prost::Message;

use super::{Inner, State, key};
use crate::call::{Answers, Call};
use crate::metrics::{Comparison, SHADOWS};
use crate::operation::{StreamRpc, UnaryRpc};
use crate::route::Route;
use crate::status::{Origin, Status};

/// Takes note of an answer as it passes.
pub(super) struct Tee {
    inner: Arc<Inner>,
    state: Arc<State>,
    second: Route,
    digest: Digest,
}

/// What is kept of an answer: enough to tell two apart.
#[derive(Default)]
struct Digest {
    hasher: DefaultHasher,
    n_parts: u64,
    /// The transport broke, or the caller left: there is nothing to compare.
    incomplete: bool,
}

impl Digest {
    fn saw<T: Message>(&mut self, part: &Result<T, Status>) {
        match part {
            Ok(message) => {
                let bytes = message.encode_to_vec();
                self.hasher.write_usize(bytes.len());
                self.hasher.write(&bytes);
            }
            Err(status) if status.origin == Origin::Transport => self.incomplete = true,
            Err(status) => self.hasher.write(status.code.name().as_bytes()),
        }
        self.n_parts += 1;
    }

    fn compare(&self, other: &Self) -> Comparison {
        match (self.incomplete || other.incomplete, self.hasher.finish() == other.hasher.finish()) {
            (true, _) => Comparison::Failed,
            (false, true) => Comparison::Equal,
            (false, false) => Comparison::Different,
        }
    }
}

impl Tee {
    pub(super) fn new(inner: &Arc<Inner>, state: &Arc<State>, second: Route) -> Self {
        Self { inner: inner.clone(), state: state.clone(), second, digest: Digest::default() }
    }

    pub(super) fn saw<T: Message>(&mut self, part: &Result<T, Status>) {
        self.digest.saw(part);
    }

    /// Asks the second route and compares.
    pub(super) fn compare_unary<R: UnaryRpc>(self, call: Call, request: R::Request) {
        let answer = self.state.ends.unary::<R>(self.second, call, request);
        self.compare(key::<R>(), R::OPERATION, Box::pin(stream::once(answer)));
    }

    /// Passes an answer on, and compares once it is whole.
    pub(super) fn follow<R: StreamRpc>(
        mut self,
        mut answers: Answers<R::Response>,
        call: Call,
        request: R::Request,
    ) -> Answers<R::Response> {
        let mut left = Some((call, request));
        Box::pin(stream::poll_fn(move |context| match answers.poll_next_unpin(context) {
            Poll::Ready(Some(part)) => {
                self.saw(&part);
                Poll::Ready(Some(part))
            }
            Poll::Ready(None) => {
                if let Some((call, request)) = left.take() {
                    let seen = Self {
                        inner: self.inner.clone(),
                        state: self.state.clone(),
                        second: self.second,
                        digest: std::mem::take(&mut self.digest),
                    };
                    let answers = self.state.ends.stream::<R>(self.second, call, request);
                    seen.compare(key::<R>(), R::OPERATION, answers);
                }
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }))
    }

    fn compare<T: Message + Send + 'static>(
        self,
        key: &'static str,
        of: crate::v1::Operation,
        mut answers: Answers<T>,
    ) {
        let Ok(permit) = self.inner.shadows.clone().try_acquire_owned() else {
            SHADOWS.get((of, Comparison::Skipped)).inc();
            return;
        };
        let tasks = self.inner.tasks.clone();
        tasks.spawn("rpc.shadow", async move {
            let mut other = Digest::default();
            while let Some(part) = answers.next().await {
                other.saw(&part);
            }
            let result = self.digest.compare(&other);
            SHADOWS.get((of, result)).inc();
            if result == Comparison::Different {
                let (first, second) = (self.digest.n_parts, other.n_parts);
                tracing::warn!(
                    operation = key,
                    route = %self.second,
                    n_parts = first,
                    n_parts_there = second,
                    "the second route answers otherwise"
                );
            }
            drop(permit);
        });
    }
}
