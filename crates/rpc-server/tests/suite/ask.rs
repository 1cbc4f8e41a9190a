//! Any operation asked in any way, by its key and JSON.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hakata_rpc::{Call, Operation, Operations, Status, StreamRpc, UnaryRpc, UploadRpc, Visitor};
use serde_json::Value;

/// The parts of an answer, or its only one.
pub(crate) type Parts = Vec<Result<Value, Status>>;

/// Asks and waits for all that comes. JSON shows every byte and every field.
pub(crate) async fn ask(to: &dyn Operations, key: &str, request: &Value) -> Parts {
    let operation = Operation::find(key).unwrap_or_else(|| panic!("there is no {key}"));
    operation.visit(Ask { to, request }).await
}

struct Ask<'a> {
    to: &'a dyn Operations,
    request: &'a Value,
}

impl Visitor for Ask<'_> {
    type Output = BoxFuture<'static, Parts>;

    fn unary<R: UnaryRpc>(self) -> Self::Output {
        let request = serde_json::from_value(self.request.clone()).unwrap();
        let answer = R::invoke(self.to, Call::default(), request);
        Box::pin(async move { vec![answer.await.map(|answer| serde_json::to_value(answer).unwrap())] })
    }

    fn stream<R: StreamRpc>(self) -> Self::Output {
        let request = serde_json::from_value(self.request.clone()).unwrap();
        let answers = R::invoke(self.to, Call::default(), request);
        let answers = answers.map(|part| part.map(|part| serde_json::to_value(part).unwrap()));
        Box::pin(answers.collect())
    }

    fn upload<R: UploadRpc>(self) -> Self::Output {
        let request: R::Request = serde_json::from_value(self.request.clone()).unwrap();
        let answer = R::invoke(self.to, Call::default(), request.into());
        Box::pin(async move { vec![answer.await.map(|answer| serde_json::to_value(answer).unwrap())] })
    }
}
