//! The server's side of pushes: what a client asks for, and what it is told. Source: gitprotocol-pack(5).
//!
//! ```text
//! client                                       server
//!   [shallow <oid>]…                             advertisement (serve::advertise)
//!   <old> <new> <name>\0<capabilities>
//!   [<old> <new> <name>]…  0000
//!   [<push option>]… 0000
//!   PACK… (unless all are deletions)
//!                                                unpack ok | unpack <why>
//!                                                ok <name> | ng <name> <why> …  0000
//! ```

mod report;
mod request;

pub use report::{KEEPALIVE, Progress, RefReport, Report, encode_fatal, encode_report};
pub use request::{
    PushCapabilities, PushLimits, PushRequest, ReadPushError, RefusedCommand, ReportStatus, read_request,
};
