//! What both protocols do with a call: count it, and end it at its deadline.

use std::task::Poll;

use futures_util::stream::{self, StreamExt};
use hakata_rpc::{
    Answers, Call, Code, Operation, Operations, Pending, Requests, Status, StreamRpc, UnaryRpc, UploadRpc,
};
use tokio::time::Instant;

use crate::metrics::{CALLS, OPEN, Outcome, Protocol, SECONDS};

/// Counts a call from its beginning to its end, also if the caller leaves.
pub(crate) struct Counted {
    operation: Operation,
    protocol: Protocol,
    begun: Instant,
    outcome: Outcome,
    is_open: bool,
    _open: hakata_runtime::metrics::GaugeGuard,
}

impl Counted {
    pub(crate) fn new(operation: Operation, protocol: Protocol) -> Self {
        let cancelled = Outcome::of(&Status::new(Code::Cancelled, ""));
        let open = OPEN.get(protocol).track();
        Self { operation, protocol, begun: Instant::now(), outcome: cancelled, is_open: true, _open: open }
    }

    /// Looks at what comes of an answer in parts: an error, or nothing more, is its end.
    pub(crate) fn saw<T>(&mut self, part: Option<&Result<T, Status>>) {
        match part {
            Some(Ok(_)) => {}
            Some(Err(status)) => self.ended(Some(status)),
            None if self.is_open => self.ended(None),
            None => {}
        }
    }

    /// Notes how it ended.
    pub(crate) fn ended(&mut self, status: Option<&Status>) {
        self.is_open = false;
        self.outcome = status.map_or(Outcome::OK, Outcome::of);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        CALLS.get((self.operation, self.protocol, self.outcome)).inc();
        SECONDS.get((self.operation, self.protocol)).observe_duration(self.begun.elapsed());
    }
}

/// Asks, and waits no longer than the deadline.
pub(crate) async fn answered<R: UnaryRpc>(
    operations: &dyn Operations,
    call: Call,
    request: R::Request,
) -> Result<R::Response, Status> {
    let deadline = call.deadline;
    within(deadline, R::invoke(operations, call, request)).await
}

/// Asks in parts, and waits no longer than the deadline for all of them and the answer.
pub(crate) async fn uploaded<R: UploadRpc>(
    operations: &dyn Operations,
    call: Call,
    request: Requests<R::Request>,
) -> Result<R::Response, Status> {
    let deadline = call.deadline;
    within(deadline, R::invoke(operations, call, request)).await
}

async fn within<T>(deadline: Option<Instant>, answer: Pending<T>) -> Result<T, Status> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(late())),
        None => answer.await,
    }
}

/// Asks, and lets the answer end at the deadline.
pub(crate) fn streamed<R: StreamRpc>(
    operations: &dyn Operations,
    call: Call,
    request: R::Request,
) -> Answers<R::Response> {
    let deadline = call.deadline;
    let mut answers = R::invoke(operations, call, request);
    let Some(deadline) = deadline else { return answers };
    let mut sleep = Box::pin(tokio::time::sleep_until(deadline));
    let mut over = false;
    Box::pin(stream::poll_fn(move |context| {
        if over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(part) = answers.poll_next_unpin(context) {
            return Poll::Ready(part);
        }
        sleep.as_mut().poll(context).map(|()| {
            over = true;
            Some(Err(late()))
        })
    }))
}

fn late() -> Status {
    Status::new(Code::DeadlineExceeded, "the operation took longer than the caller or the server allows")
}
