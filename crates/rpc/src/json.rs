//! Operations asked in JSON, by people, scripts and tests. What all callers of one kind need is compiled here once.

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::call::{Answers, Call, Pending, Requests};
use crate::operation::{StreamRpc, UnaryRpc, UploadRpc, Visitor};
use crate::status::{Code, Status};
use crate::v1::{Operation, Operations};

/// Asks somebody for an operation; every part of the answer is one line of JSON, an only answer one part. Of an
/// operation that is asked in parts, `request` holds all of them, one behind the other.
///
/// # Errors
/// If that is not JSON, or not a request of this operation.
pub fn ask(
    to: &dyn Operations,
    operation: Operation,
    call: Call,
    request: &str,
) -> Result<Answers<String>, serde_json::Error> {
    operation.visit(Ask { to, call, request })
}

struct Ask<'a> {
    to: &'a dyn Operations,
    call: Call,
    request: &'a str,
}

impl Visitor for Ask<'_> {
    type Output = Result<Answers<String>, serde_json::Error>;

    fn unary<R: UnaryRpc>(self) -> Self::Output {
        let request = serde_json::from_str(self.request)?;
        Ok(only(R::invoke(self.to, self.call, request)))
    }

    fn stream<R: StreamRpc>(self) -> Self::Output {
        let request = serde_json::from_str(self.request)?;
        let answers = R::invoke(self.to, self.call, request);
        Ok(answers.map(|part| line(&part?)).boxed())
    }

    fn upload<R: UploadRpc>(self) -> Self::Output {
        let parts = serde_json::Deserializer::from_str(self.request).into_iter();
        let parts: Vec<R::Request> = parts.collect::<Result<_, _>>()?;
        let requests = Requests::new(stream::iter(parts.into_iter().map(Ok)));
        Ok(only(R::invoke(self.to, self.call, requests)))
    }
}

fn only<T: Serialize + 'static>(answer: Pending<T>) -> Answers<String> {
    stream::once(async move { line(&answer.await?) }).boxed()
}

fn line(part: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(part).map_err(|error| Status::new(Code::Internal, format!("writing JSON: {error}")))
}
