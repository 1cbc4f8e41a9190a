//! Answers in parts: before the first one another route can still be taken, and behind a cursor an answer that broke off
//! is taken up again, by whatever route answers then.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::time::timeout_at;

use super::{Client, State};
use crate::call::{Answers, Call};
use crate::metrics::RESUMED;
use crate::operation::StreamRpc;
use crate::status::{Code, Origin, Status};

/// Where an answer stands.
struct Progress<R: StreamRpc> {
    client: Client,
    state: Arc<State>,
    call: Call,
    /// What is to be asked, behind the last part that was seen.
    request: R::Request,
    answers: Option<Answers<R::Response>>,
    /// Behind which part the answer can be taken up again.
    cursor: Option<Bytes>,
    /// Breaks without a part between them.
    n_breaks: u32,
    is_over: bool,
}

/// Asks, and goes on where an answer breaks off.
pub(super) fn resumed<R: StreamRpc>(
    client: Client,
    state: Arc<State>,
    call: Call,
    request: R::Request,
) -> Answers<R::Response> {
    let progress = Progress::<R> {
        client,
        state,
        call,
        request,
        answers: None,
        cursor: None,
        n_breaks: 0,
        is_over: false,
    };
    Box::pin(stream::unfold(progress, |mut progress| async move {
        let part = progress.next().await?;
        progress.is_over = part.is_err();
        Some((part, progress))
    }))
}

impl<R: StreamRpc> Progress<R> {
    async fn next(&mut self) -> Option<Result<R::Response, Status>> {
        loop {
            if self.is_over {
                return None;
            }
            let part = match self.within_deadline().await {
                Ok(part) => part.map(Ok),
                Err(status) => Some(Err(status)),
            };
            match part {
                Some(Ok(part)) => {
                    self.n_breaks = 0;
                    self.cursor = R::cursor(&part).filter(|cursor| !cursor.is_empty()).cloned();
                    return Some(Ok(part));
                }
                Some(Err(status)) if status.origin == Origin::Transport && self.can_go_on() => {}
                end => return end,
            }
        }
    }

    /// Takes the next part, or a late answer's end.
    async fn within_deadline(&mut self) -> Result<Option<R::Response>, Status> {
        let late = || Status::new(Code::DeadlineExceeded, "the server did not answer in time");
        match self.call.deadline {
            Some(deadline) => timeout_at(deadline, self.part()).await.unwrap_or_else(|_| Err(late())),
            None => self.part().await,
        }
    }

    async fn part(&mut self) -> Result<Option<R::Response>, Status> {
        if let Some(answers) = &mut self.answers {
            return answers.next().await.transpose();
        }
        let (call, request) = (&self.call, &self.request);
        let ask = |route| begin(self.state.ends.stream::<R>(route, call.clone(), request.clone()));
        let (first, rest) = self.client.attempts(&self.state, R::OPERATION, call, ask).await?;
        self.answers = Some(rest);
        Ok(first)
    }

    /// Prepares to ask for what is missing, if the answer had begun and says how.
    fn can_go_on(&mut self) -> bool {
        let reads = R::OPERATION.reads() && self.answers.is_some();
        let Some(cursor) = self.cursor.clone().filter(|_| reads) else { return false };
        self.n_breaks += 1;
        if self.n_breaks > self.state.settings.max_attempts {
            return false;
        }
        R::resume(&mut self.request, cursor);
        self.answers = None;
        RESUMED.get(R::OPERATION).inc();
        true
    }
}

/// Waits for the first part.
async fn begin<T: Send + 'static>(mut answers: Answers<T>) -> Result<(Option<T>, Answers<T>), Status> {
    let first = answers.next().await.transpose()?;
    Ok((first, answers))
}
