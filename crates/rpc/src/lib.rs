//! Repositories at a distance: the contract, and clients that choose a protocol for each operation.
//!
//! The contract is `proto/hakata/git/v1`, one service a file. What is generated from it: the messages, one trait a
//! service (`RefService` and so on, all of them together [`Operations`]), a type for each operation, and
//! [`Operation`], their list. Whoever answers operations implements the traits; whoever carries them to somebody
//! else implements [`Transport`] and has the traits for nothing. So a caller holds `Arc<dyn Operations>` and does not
//! know whether the answer comes from a function, over gRPC or over MessagePack-RPC.
//!
//! ```text
//! caller ──▶ Client ──route──┬── local     Arc<dyn Operations>
//!                            ├── grpc      HTTP/2, protobuf
//!                            └── msgpack   TCP, MessagePack-RPC
//! ```
//!
//! The crate knows no repository, no git and no policy, and can be used by other programs without the rest of Hakata.

pub mod call;
pub mod operation;
pub mod status;
mod wire;

pub mod endpoint;
pub mod grpc;
pub mod msgpack;
mod stream;
pub mod tls;

pub mod client;
pub mod json;
mod metrics;
pub mod route;

/// The messages, traits and operations of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, clippy::wildcard_imports)] // Generated.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/hakata.git.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/words.rs"));

    /// The compiled description of the contract, for reflection.
    pub const DESCRIBED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hakata.git.v1.bin"));
}

pub use call::{Answers, Call, Pending, Requests};
pub use client::{Client, Ends, Settings};
pub use endpoint::Endpoint;
pub use metrics::metrics;
pub use operation::{Rpc, StreamRpc, Transport, UnaryRpc, UploadRpc, Visitor};
pub use route::{Canary, Route, Routes, RoutesError};
pub use status::{Code, Status};
pub use tls::Tls;
pub use v1::{Operation, Operations};
