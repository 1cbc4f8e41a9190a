//! What accompanies a request, and the shapes of requests and answers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::Instant;

use crate::status::Status;

/// The one answer of an operation that does not stream.
pub type Pending<T> = BoxFuture<'static, Result<T, Status>>;

/// The parts of an answer. An error ends it. Dropping it cancels the operation.
pub type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// The parts of a request: the first says what is wanted, further ones bring what is too large for it. An error ends the
/// call, and nothing comes of it; the end means that all was said. They are taken as fast as whoever answers can use them.
///
/// ```
/// use hakata_rpc::call::Requests;
///
/// let only_one: Requests<u8> = 7.into();
/// let many = Requests::new(futures_util::stream::iter([Ok(1), Ok(2)]));
/// # drop((only_one, many));
/// ```
pub struct Requests<T>(BoxStream<'static, Result<T, Status>>);

impl<T> Requests<T> {
    /// Takes parts from a stream.
    pub fn new(parts: impl Stream<Item = Result<T, Status>> + Send + 'static) -> Self {
        Self(Box::pin(parts))
    }
}

impl<T: Send + 'static> From<T> for Requests<T> {
    fn from(only: T) -> Self {
        Self::new(stream::iter([Ok(only)]))
    }
}

impl<T> Stream for Requests<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for Requests<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

/// What a caller says beside the request. Nothing here is believed to be authorization: ports accept only callers that
/// know a token of the service, and those are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// For whom it is done: the number of a user, for the ref log and events. Opaque below policy.
    pub actor: Option<i64>,
    /// When the answer is of no use any more.
    pub deadline: Option<Instant>,
    /// A name for a change: repeated under it, the first answer comes again and nothing happens twice.
    pub idempotency_key: Option<String>,
    /// What ties the log lines of all processes together.
    pub request_id: Option<String>,
}
