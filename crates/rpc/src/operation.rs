//! Operations as types: what lets one function carry, serve or test all of them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::{Answers, Call, Pending, Requests};
use crate::v1::{Operation, Operations};

/// One operation of the contract; its types are in [`v1`](crate::v1), in a module for each service.
pub trait Rpc: Send + Sync + 'static {
    /// What is asked.
    type Request: Message + Default + Clone + Debug + Serialize + DeserializeOwned + PartialEq + 'static;
    /// What is answered, or a part of it.
    type Response: Message + Default + Clone + Debug + Serialize + DeserializeOwned + PartialEq + 'static;
    /// Its place in the list.
    const OPERATION: Operation;
}

/// An operation with one answer.
pub trait UnaryRpc: Rpc {
    /// Asks somebody.
    fn invoke(to: &dyn Operations, call: Call, request: Self::Request) -> Pending<Self::Response>;
}

/// An operation that answers in parts.
pub trait StreamRpc: Rpc {
    /// Asks somebody.
    fn invoke(to: &dyn Operations, call: Call, request: Self::Request) -> Answers<Self::Response>;

    /// Returns behind what a later request can go on after this part; `None` if the operation cannot, empty if this
    /// part is the last. It counts what the request is still to get, if that wanted no more than so much.
    fn cursor(_response: &Self::Response) -> Option<&Bytes> {
        None
    }

    /// Lets a request go on behind a part.
    fn resume(_request: &mut Self::Request, _cursor: Bytes) {}
}

/// An operation that is asked in parts.
pub trait UploadRpc: Rpc {
    /// Asks somebody.
    fn invoke(to: &dyn Operations, call: Call, request: Requests<Self::Request>) -> Pending<Self::Response>;
}

/// Carries operations to somebody else. Whoever implements it has all traits of the contract.
pub trait Transport: Send + Sync {
    /// Carries one with one answer.
    fn unary<R: UnaryRpc>(&self, call: Call, request: R::Request) -> Pending<R::Response>;

    /// Carries one that answers in parts.
    fn stream<R: StreamRpc>(&self, call: Call, request: R::Request) -> Answers<R::Response>;

    /// Carries one that is asked in parts.
    fn upload<R: UploadRpc>(&self, call: Call, request: Requests<R::Request>) -> Pending<R::Response>;
}

/// Does something with an operation of which only the name is known: see [`Operation::visit`].
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// It has one answer.
    fn unary<R: UnaryRpc>(self) -> Self::Output;

    /// It answers in parts.
    fn stream<R: StreamRpc>(self) -> Self::Output;

    /// It is asked in parts.
    fn upload<R: UploadRpc>(self) -> Self::Output;
}

impl Operation {
    /// Finds an operation by its key, `ref.list_branches`.
    pub fn find(key: &str) -> Option<Self> {
        static BY_KEY: LazyLock<HashMap<&str, Operation>> = LazyLock::new(|| by(Operation::key));
        BY_KEY.get(key).copied()
    }

    /// Finds an operation by its path in gRPC.
    pub fn at(path: &str) -> Option<Self> {
        static BY_PATH: LazyLock<HashMap<&str, Operation>> = LazyLock::new(|| by(Operation::path));
        BY_PATH.get(path).copied()
    }

    /// Finds the operations that a configuration file names: one by its key (`ref.list_branches`), all of a service
    /// (`ref`), or one by the name it has in its service if no other has that (`list_branches`).
    pub fn named(name: &str) -> Vec<Self> {
        let all = |is: fn(Self, &str) -> bool| {
            Self::ALL.iter().copied().filter(move |operation| is(*operation, name)).collect::<Vec<_>>()
        };
        let found = all(|operation, name| operation.key() == name || operation.service() == name);
        if !found.is_empty() {
            return found;
        }
        let bare = all(|operation, name| operation.method() == name);
        if bare.len() == 1 { bare } else { Vec::new() }
    }
}

/// Lists the operations by a name of theirs.
fn by(name: fn(Operation) -> &'static str) -> HashMap<&'static str, Operation> {
    Operation::ALL.iter().map(|operation| (name(*operation), *operation)).collect()
}
