//! Any operation asked in any way, by its key and JSON.

use futures_util::StreamExt;
use hakata_rpc::{Call, Operation, Operations, Status, json};
use serde_json::Value;

/// The parts of an answer, or its only one.
pub(crate) type Parts = Vec<Result<Value, Status>>;

/// Asks and waits for all that comes. JSON shows every byte and every field.
pub(crate) async fn ask(to: &dyn Operations, key: &str, request: &Value) -> Parts {
    let operation = Operation::find(key).unwrap_or_else(|| panic!("there is no {key}"));
    let parts = json::ask(to, operation, Call::default(), &request.to_string()).unwrap();
    parts.map(|part| part.map(|line| serde_json::from_str(&line).unwrap())).collect().await
}
