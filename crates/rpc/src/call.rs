//! What accompanies a request, and the shapes of answers.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use crate::status::Status;

/// The one answer of an operation that does not stream.
pub type Pending<T> = BoxFuture<'static, Result<T, Status>>;

/// The parts of an answer. An error ends it. Dropping it cancels the operation.
pub type Answers<T> = BoxStream<'static, Result<T, Status>>;

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
