//! Operations over MessagePack-RPC.
//!
//! ```text
//! request       [0, msgid, "ref.list_branches", [{…}]]
//! response      [1, msgid, error | nil, result | nil]
//! notification  [2, method, params]                     read and passed over
//! ```
//!
//! Parameters are one map with the fields of the request, and beside them `_actor`, `_deadline_ms`,
//! `_idempotency_key`, `_request_id`. A connection begins with the method `auth` and the token. An error is the map
//! `{code, message, detail}`. The protocol has no streams: an operation that answers in parts answers a page,
//! `{parts: […], cursor}`, and goes on when it is asked again with that cursor as the field `cursor`; operations
//! without a field for it (archives, patches) keep the rest for a while under a handle, `{parts, handle}`, and go on
//! with `_handle`. An operation that is asked in parts takes each as a call with `_more`, answered `{upload}`, a handle
//! that the next part names as `_upload`; the part without `_more` is the last, or if it is empty their end, and is
//! answered with the result.
//! Source: the MessagePack-RPC specification.

pub mod client;
mod connection;
pub mod envelope;
pub mod frame;
pub mod raw;
mod upload;

pub use client::Msgpack;
