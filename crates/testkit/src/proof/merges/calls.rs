//! Operations asked by name and JSON, under keys.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use hakata_rpc::grpc::Grpc;
use hakata_rpc::msgpack::Msgpack;
use hakata_rpc::{Call, Endpoint, Operation, Operations, Status, json};
use hakata_runtime::tasks::Tasks;
use serde_json::Value;

use crate::Server;

/// What callers show.
pub(super) const TOKEN: &str = "a-token-of-the-proof";

/// A change that was asked for under a key.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) operation: &'static str,
    pub(super) request: Value,
    pub(super) key: String,
    pub(super) adds: Adds,
    pub(super) outcome: Outcome,
}

/// What a change adds, all of it or nothing.
#[derive(Clone, Debug)]
pub(super) enum Adds {
    /// Commits to a branch: their subjects, which nothing else in the branch has.
    Commits { branch: String, subjects: Vec<String> },
    /// A repository.
    Repository { path: String },
}

/// What its caller knows of a change.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The connection broke before an answer came.
    Unknown,
    /// It happened.
    Acknowledged(Value),
    /// It did not happen, and the caller was told so.
    Refused,
}

/// Asks for a change over one connection of the one or the other protocol, once.
pub(super) type To = Arc<dyn Operations>;

/// Makes a client of each protocol: even numbers speak gRPC. Within the runtime that it is used in.
pub(super) fn client(server: &Server, number: usize, tasks: &Tasks) -> Result<To> {
    let to = |address: &str| Endpoint { n_connections: 1, ..Endpoint::new(address).with_token(TOKEN) };
    if number.is_multiple_of(2) {
        return Ok(Grpc::lazy(&to(&server.rpc_grpc)).context("making a client")?.operations());
    }
    Ok(Msgpack::lazy(to(&server.rpc_msgpack), tasks.clone()).operations())
}

/// Asks and waits for the answer.
pub(super) async fn ask(
    to: &dyn Operations,
    operation: &str,
    request: &Value,
    key: Option<&str>,
) -> Result<Value, Status> {
    let operation = Operation::find(operation).ok_or_else(|| Status::invalid("no such operation"))?;
    let call = Call { idempotency_key: key.map(str::to_owned), ..Call::default() };
    let unreadable = |error: serde_json::Error| Status::invalid(error.to_string());
    let parts = json::ask(to, operation, call, &request.to_string()).map_err(unreadable)?;
    let parts: Vec<String> = parts.try_collect().await?;
    match &parts[..] {
        [only] => serde_json::from_str(only).map_err(unreadable),
        _ => Err(Status::invalid("it has no single answer")),
    }
}
