//! The repository operations: answered from the repositories of this process, and served over gRPC and MessagePack-RPC.
//!
//! [`Local`] answers every operation of the contract, one file a service. [`Grpc`] and [`Msgpack`] serve whatever answers
//! operations. Both ports accept only callers that show a token of the service; for whom something is done is told
//! along with a call and believed: who may do what is decided above.

mod addresses;
mod local;
mod parts;

mod serving;
mod spool;
mod tokens;

pub mod grpc;
pub mod msgpack;

mod metrics;
mod settings;

pub use addresses::ImportSource;
pub use grpc::Grpc;
pub use local::Local;
pub use metrics::metrics;
pub use msgpack::Msgpack;
pub use settings::{Limits, Settings};
pub use spool::{Bounds as SpoolBounds, Spool};
pub use tokens::Tokens;
